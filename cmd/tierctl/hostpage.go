package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tierd/tierd/agent/budget"
	"github.com/tierd/tierd/rocm"
)

// printHost writes a page about a host.
func (a *app) printHost(s rocm.Snapshot) {
	writePairs(a.stdout, "", hostPairs(s))
	if len(s.GPUs) == 0 {
		fmt.Fprintln(a.stdout, "\nNo GPU.")
	}
	chosen, why := s.TierGPU("")
	for i := range s.GPUs {
		g := &s.GPUs[i]
		title := fmt.Sprintf("GPU %s (%s, %s)", g.PCI, g.Card, g.Driver)
		if g == chosen {
			title += ", which tiers use: " + why
		}
		fmt.Fprintln(a.stdout)
		say(a.stdout, 2, title)
		writePairs(a.stdout, "  ", gpuPairs(s, *g))
	}
	if chosen == nil && len(s.GPUs) > 0 {
		fmt.Fprintf(a.stdout, "\nTiers use no GPU: %s.\n", why)
	}
	a.printClients(s)
	a.printProblems(s)
}

// pair is a line of the page: a name and what there is to say; "" leaves the line out.
type pair struct{ name, text string }

func hostPairs(s rocm.Snapshot) []pair {
	return []pair{
		{"CPU", cpuText(s.Platform)},
		{"System", systemText(s)},
		{"RAM", ramText(s.Memory)},
		{"Swap", swapText(s)},
		{"Pressure", pressureText(s.Pressure)},
		{"Boot line", s.Kernel.CommandLine},
		{"Parameters", parametersText(s.Kernel)},
		{"Cgroup", controllersText(s.Kernel)},
	}
}

func cpuText(p rocm.Platform) string {
	if p.Threads == 0 {
		return "not known"
	}
	return fmt.Sprintf("%s, %s, %s", dash(p.CPU), count(p.Cores, "core"), count(p.Threads, "thread"))
}

func systemText(s rocm.Snapshot) string {
	var parts []string
	if s.Platform.OS != "" {
		parts = append(parts, s.Platform.OS)
	}
	if s.Kernel.Release != "" {
		parts = append(parts, "kernel "+s.Kernel.Release)
	}
	if s.Platform.Uptime != nil {
		parts = append(parts, "up "+formatAge(*s.Platform.Uptime))
	}
	return list(parts)
}

func ramText(m rocm.Memory) string {
	text := sizeOr(m.MemTotal, "not known")
	if free := m.Free(); free != nil {
		text += fmt.Sprintf(", %s free", size(*free))
	}
	if m.CmaFree != nil && *m.CmaFree > 0 {
		text += fmt.Sprintf(" besides %s that only movable pages may use", size(*m.CmaFree))
	}
	if m.GPUActive != nil {
		text += fmt.Sprintf(", %s held by GPU objects", size(*m.GPUActive))
	}
	return text
}

func swapText(s rocm.Snapshot) string {
	var parts []string
	for _, w := range s.Swaps {
		kind := string(w.Kind)
		if w.Rotational != nil && *w.Rotational {
			kind += " on a rotating disk"
		}
		parts = append(parts, fmt.Sprintf("%s (%s), %s of %s used", w.Name, kind, size(w.Used), size(w.Size)))
	}
	if parts == nil {
		return "none"
	}
	return strings.Join(parts, "; ")
}

func pressureText(p rocm.Pressure) string {
	var parts []string
	for _, r := range []struct {
		name string
		psi  *rocm.PSI
	}{{"memory", p.Memory}, {"io", p.IO}, {"cpu", p.CPU}} {
		if r.psi == nil || r.psi.Some == nil {
			continue
		}
		text := fmt.Sprintf("%s some %.1f %%", r.name, r.psi.Some.Avg10)
		if r.psi.Full != nil {
			text += fmt.Sprintf(" full %.1f %%", r.psi.Full.Avg10)
		}
		parts = append(parts, text)
	}
	if parts == nil {
		return "the kernel does not tell (psi=1 on the boot line makes it)"
	}
	return list(parts) + " of the last 10 s"
}

func parametersText(k rocm.Kernel) string {
	var parts []string
	for name, value := range k.Parameters {
		if value != "" {
			parts = append(parts, name+"="+value)
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, " ")
}

func controllersText(k rocm.Kernel) string {
	if k.Controllers == nil {
		return "not known"
	}
	return strings.Join(k.Controllers, " ")
}

func gpuPairs(s rocm.Snapshot, g rocm.GPU) []pair {
	if !g.AMD {
		return []pair{{"kind", g.ID + ", not AMD's"}}
	}
	kind := g.ID
	if k := g.KFD; k != nil {
		kind = fmt.Sprintf("%s, %d compute units", k.Gfx, k.CUs)
	}
	if g.APU {
		kind += ", part of the CPU"
	}
	return []pair{
		{"kind", kind},
		{"render node", g.Render},
		{"pool", poolText(g)},
		{"VRAM", usedOf(g.VRAMUsed, g.VRAMTotal)},
		{"GTT", usedOf(g.GTTUsed, g.GTTTotal)},
		{"carve-out", carveOutText(g.CarveOut)},
		{"KFD", kfdText(g.KFD)},
		{"now", nowText(g)},
		{"leaked", leakText(s, g)},
	}
}

// poolText says where models go, how much there is, and why there.
func poolText(g rocm.GPU) string {
	if g.PoolSize == nil {
		return "not known"
	}
	why := "the card has memory of its own"
	switch {
	case g.Pool == rocm.PoolGTT:
		why = fmt.Sprintf("the %s carved out are less than the GTT, so the driver takes the host's memory", sizeOr(g.VRAMTotal, "?"))
	case g.APU:
		why = "more was carved out for the GPU than it may map of the rest"
	}
	return fmt.Sprintf("%s, %s: %s", strings.ToUpper(string(g.Pool)), size(*g.PoolSize), why)
}

func usedOf(used, total *uint64) string {
	if total == nil {
		return ""
	}
	return fmt.Sprintf("%s, %s used", size(*total), sizeOr(used, "?"))
}

func carveOutText(c *rocm.CarveOut) string {
	if c == nil {
		return ""
	}
	var options []string
	next := "not known"
	for _, o := range c.Options {
		options = append(options, sizeOr(o.Size, o.Text))
		if c.Selected != nil && *c.Selected == o.Index {
			next = sizeOr(o.Size, o.Text)
		}
	}
	return fmt.Sprintf("%s at the next boot; the firmware offers %s", next, list(options))
}

func kfdText(k *rocm.KFD) string {
	if k == nil {
		return "none: ROCm cannot use it"
	}
	text := fmt.Sprintf("node %d, memory bank %s", k.Node, sizeOr(k.Bank, "not known"))
	if !k.CWSR {
		text += ", no CWSR sizes (a kernel before 6.18.4)"
	}
	return text
}

func nowText(g rocm.GPU) string {
	if g.Suspended {
		return "powered down"
	}
	var parts []string
	if g.Busy != nil {
		parts = append(parts, fmt.Sprintf("busy %d %%", *g.Busy))
	}
	if g.Temperature != nil {
		parts = append(parts, fmt.Sprintf("%d °C", *g.Temperature/1000))
	}
	if g.Power != nil {
		parts = append(parts, fmt.Sprintf("%.0f W", float64(*g.Power)/1e6))
	}
	if g.Clock != nil {
		parts = append(parts, fmt.Sprintf("%d MHz", *g.Clock/1e6))
	}
	if m := g.Metrics; m != nil && m.DRAMReads != nil && m.DRAMWrites != nil {
		parts = append(parts, fmt.Sprintf("memory %d MB/s read, %d MB/s written", *m.DRAMReads, *m.DRAMWrites))
	}
	return list(parts)
}

// leakText is what no process owns, beyond what the driver needs for itself.
func leakText(s rocm.Snapshot, g rocm.GPU) string {
	pool := budget.GPUOf(s, g.PCI)
	if pool == nil || pool.Leaked == 0 {
		return ""
	}
	return fmt.Sprintf("%s are in use and belong to no process; only a reboot brings them back", pool.Leaked)
}

package doctor

import (
	"cmp"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/tierd/tierd/agent/budget"
	"github.com/tierd/tierd/rocm"
	"github.com/tierd/tierd/units"
)

// Process is one that runs.
type Process struct {
	PID, Parent int
	Comm        string // at most 15 bytes
}

func (f *Files) lookAtProcesses(root fs.FS) {
	for _, name := range f.glob(root, "proc/[0-9]*/stat") {
		if text, ok := f.read(root, name); ok {
			if p, ok := parseStat(text); ok {
				f.Processes = append(f.Processes, p)
			}
		}
	}
	slices.SortFunc(f.Processes, func(a, b Process) int { return cmp.Compare(a.PID, b.PID) })
}

// parseStat reads the beginning of proc/PID/stat: "7311 (VLLM::EngineCor) S 1 ...". The name may hold anything.
func parseStat(text string) (Process, bool) {
	open, close := strings.Index(text, " ("), strings.LastIndex(text, ") ")
	if open < 0 || close < open+2 {
		return Process{}, false
	}
	fields := strings.Fields(text[close+2:])
	if len(fields) < 2 {
		return Process{}, false
	}
	pid, err1 := strconv.Atoi(text[:open])
	parent, err2 := strconv.Atoi(fields[1])
	return Process{PID: pid, Parent: parent, Comm: text[open+2 : close]}, err1 == nil && err2 == nil
}

// runs tells whether a program of that name runs.
func (f *Files) runs(comm string) bool {
	return slices.ContainsFunc(f.Processes, func(p Process) bool { return p.Comm == comm })
}

// orphan tells whether a process's parent has ended before it: init has adopted it.
func (f *Files) orphan(pid int) bool {
	if f == nil {
		return false
	}
	return slices.ContainsFunc(f.Processes, func(p Process) bool { return p.PID == pid && p.Parent == 1 })
}

func (r *report) checkLeak() {
	if r.pool == nil {
		return
	}
	const source = "peonist-ai/halogen-flash-server#34 and #79"
	switch {
	case r.pool.Leaked > 0:
		r.add(Finding{ID: "gpu-leak", Severity: Error, Source: source,
			What: fmt.Sprintf("%s of GPU memory are in use and belong to no process", r.pool.Leaked),
			Why:  "an engine that died has left them behind, and the driver does not give them back: so much less can be loaded",
			Fix:  "sudo tierctl down && sudo systemctl reboot"})
	case r.Snapshot.ClientsComplete:
		r.fine("gpu-leak", source, "all GPU memory in use belongs to processes")
	}
}

// holder is a unit, or a process outside of units, that holds GPU memory and is no tier's.
type holder struct {
	name   string // of the unit; "" for none
	user   bool   // it is the user manager's
	pids   []int
	comm   string // of the process with the most
	most   units.Bytes
	bytes  units.Bytes
	engine bool
	orphan bool
}

// checkClients tells of other programs with GPU memory. The desktop's few hundred MiB are nobody's business.
func (r *report) checkClients() {
	for _, h := range r.holders() {
		if h.bytes < units.GiB {
			continue
		}
		what := fmt.Sprintf("%s (pid %s) holds %s of the GPU's memory and is no tier", h.comm, list(h.pids), h.bytes)
		if h.name != "" {
			what = fmt.Sprintf("%s of %s (pid %s) holds %s of the GPU's memory and is no tier", h.comm, h.name, list(h.pids), h.bytes)
		}
		f := Finding{ID: "gpu-user", Severity: Note, Source: "ROCm/amdgpu#223", What: what,
			Why: "tierd takes it off what tiers can have; vLLM does not see memory that Vulkan or a desktop holds", Fix: "end it to have its memory: " + h.end()}
		switch {
		case h.engine && h.orphan:
			f.ID, f.Severity, f.Source = "engine-orphan", Error, "vllm-project/vllm#55510"
			f.What += ": what started it has ended"
			f.Why = "an engine whose server was killed keeps the whole model in memory, serves nobody, and does not end by itself"
			f.Fix = h.end()
		case h.engine:
			f.ID, f.Severity, f.Source = "engine-outside", Warning, "ROCm/amdgpu#223"
			f.Why = "it was not started by tierd, which cannot ask it to give way"
			f.Fix = h.end() + "; to keep it, make it a tier in tiers.toml"
		}
		r.add(f)
	}
}

// holders are those who hold memory of the tiers' GPU, the largest first.
func (r *report) holders() []holder {
	byName := map[string]*holder{}
	var order []*holder
	for _, c := range r.Snapshot.Clients {
		held := r.held(c)
		if held == 0 || budget.IsTier(c.Unit) {
			continue
		}
		name, user := c.Unit, false
		if c.UserUnit != "" {
			name, user = c.UserUnit, true
		}
		key := name
		if !strings.HasSuffix(name, ".service") { // a session's programs have nothing to do with each other
			key = strconv.Itoa(c.PID)
		}
		h := byName[key]
		if h == nil {
			h = &holder{name: name, user: user}
			byName[key] = h
			order = append(order, h)
		}
		h.pids = append(h.pids, c.PID)
		h.bytes += held
		if held > h.most {
			h.most, h.comm = held, c.Comm
		}
		h.engine = h.engine || isEngine(c.Comm)
		h.orphan = h.orphan || r.Files.orphan(c.PID) && !strings.HasSuffix(name, ".service") && isEngine(c.Comm)
	}
	list := make([]holder, len(order))
	for i, h := range order {
		list[i] = *h
	}
	slices.SortStableFunc(list, func(a, b holder) int { return cmp.Compare(b.bytes, a.bytes) })
	return list
}

// held is what a client has of the pool that tiers use.
func (r *report) held(c rocm.Client) units.Bytes {
	var sum units.Bytes
	for _, m := range c.Memory {
		if r.gpu == nil || m.PCI != r.gpu.PCI {
			continue
		}
		if r.gpu.Pool == rocm.PoolGTT {
			sum += units.Bytes(m.GTT)
		} else {
			sum += units.Bytes(m.VRAM)
		}
	}
	return sum
}

// isEngine goes by the names of programs that serve models.
func isEngine(comm string) bool {
	for _, name := range []string{"VLLM::", "vllm", "llama-", "ollama", "lemonade", "sglang", "koboldcpp", "lm-studio"} {
		if strings.HasPrefix(comm, name) {
			return true
		}
	}
	return false
}

// end is the command that ends it.
func (h holder) end() string {
	switch {
	case strings.HasSuffix(h.name, ".service") && h.user:
		return "systemctl --user stop " + h.name
	case strings.HasSuffix(h.name, ".service"):
		return "sudo systemctl disable --now " + h.name
	}
	return "sudo kill " + strings.ReplaceAll(list(h.pids), ", ", " ")
}

func list(pids []int) string {
	words := make([]string, len(pids))
	for i, p := range pids {
		words[i] = strconv.Itoa(p)
	}
	return strings.Join(words, ", ")
}

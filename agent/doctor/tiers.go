package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/budget"
	"github.com/tierd/tierd/units"
)

const ownSource = "tiers.toml(5)"

// checkConfig tells of what is wrong in tiers.toml, apart from what keeps units from starting.
func (r *report) checkConfig() {
	wrong := false
	for _, f := range r.Faults {
		if _, _, blocks := r.blocked(f); blocks || r.ofHost(f.Msg) != "" {
			continue
		}
		wrong = true
		what, fix := cut(f.Msg)
		found := Finding{ID: "config", Severity: Error, Source: ownSource, What: at(f) + what, Fix: fix,
			Why: "tierd cannot use the file, and goes on with what it has read before, if anything"}
		if f.Warning {
			found.Severity, found.Why = Warning, "what the file says is not what will be"
		}
		if found.Fix == "" {
			found.Fix = "sudoedit " + f.File + ", then: tierctl check " + f.File
		}
		r.add(found)
	}
	if !wrong && r.Plan != nil {
		r.fine("config", ownSource, "%s has no fault", r.Config)
	}
}

func at(f units.Fault) string {
	if f.Line == 0 {
		return f.File + ": "
	}
	return fmt.Sprintf("%s:%d: ", f.File, f.Line)
}

// cut takes a fault's sentence apart: what is wrong; what to do.
func cut(sentence string) (what, fix string) {
	if at := strings.LastIndex(sentence, "; "); at >= 0 {
		return sentence[:at], sentence[at+2:]
	}
	return sentence, ""
}

// ofHost is the finding that says the same of the host itself, "" when none does.
func (r *report) ofHost(message string) string {
	for _, v := range r.hostVerdicts() {
		if message == units.QuirkVerdict(v).String() {
			return v.ID
		}
	}
	return ""
}

// blocked tells whether a fault keeps a unit from starting, and why: "tier-orch.service cannot start: ...".
func (r *report) blocked(f units.Fault) (unit units.Unit, reason string, ok bool) {
	name, reason, ok := strings.Cut(f.Msg, " cannot start: ")
	if !ok || !f.Warning || r.Plan == nil {
		return unit, "", false
	}
	unit, ok = r.Plan.Unit(name)
	return unit, reason, ok
}

// checkUnits tells of tiers that cannot start: whose engine, model or credential is missing, or whose format is refused.
// The same reason for several is one finding.
func (r *report) checkUnits() {
	if r.Plan == nil {
		return
	}
	type block struct {
		units []units.Unit
		fix   string
	}
	blocked := map[string]*block{}
	var order []string
	for _, f := range r.Faults {
		u, reason, ok := r.blocked(f)
		if !ok {
			continue
		}
		what, fix := cut(reason)
		if blocked[what] == nil {
			blocked[what] = &block{fix: fix}
			order = append(order, what)
		}
		blocked[what].units = append(blocked[what].units, u)
	}
	wanted, _ := r.Plan.Mode("")
	for _, what := range order {
		list := blocked[what].units
		f := Finding{ID: "tier-blocked", Severity: Warning, Source: ownSource, What: what, Fix: blocked[what].fix, Why: members(list) + " cannot start"}
		for _, id := range []string{"engine", "model", "credential"} {
			if strings.HasPrefix(what, id+" ") {
				f.ID = id
			}
		}
		if strings.Contains(f.Fix, "allow_unsupported") { // the words end with who found it out
			f.ID, f.Source = "unsupported", "quirks.toml"
			if id := r.ofHost(what); id != "" {
				f.Fix = "mend first: " + id + "; or allow_unsupported = true in each variant that is to be tried all the same"
			}
		}
		needed := slices.DeleteFunc(slices.Clone(list), func(u units.Unit) bool {
			return !slices.ContainsFunc(wanted, func(w units.Unit) bool { return w.Name == u.Name })
		})
		if len(needed) > 0 {
			f.Severity = Error
			f.Why += ", and `tierctl up` starts " + members(needed)
		}
		r.add(f)
	}
	if len(order) == 0 && len(r.Plan.Units) > 0 && r.Files != nil {
		r.fine("tiers", ownSource, "every tier has its engine and its model")
	}
}

// members names variants as a mode does: "coder", "orch/llama".
func members(list []units.Unit) string {
	var names []string
	for _, u := range list {
		if u.Default {
			names = append(names, u.Tier)
		} else {
			names = append(names, u.Tier+"/"+u.Variant)
		}
	}
	return strings.Join(names, " and ")
}

// checkModes sums every mode up.
func (r *report) checkModes() {
	if r.Plan == nil {
		return
	}
	for _, mode := range r.Plan.Config.Modes {
		want, err := r.Plan.Mode(mode.Name)
		if err != nil {
			continue
		}
		isDefault := mode.Name == r.Plan.Config.Host.DefaultMode
		m := budget.OfMode(r.host(), want)
		if !m.Fits() {
			r.add(r.tooLarge(mode.Name, want, m, isDefault))
			continue
		}
		if r.unknownSize(want) || m.Sums.Host.RAM == nil {
			continue
		}
		text := fmt.Sprintf("mode %q fits: %s of %s with the reserve", mode.Name, m.Sums.RAM+m.Sums.Host.Reserve, *m.Sums.Host.RAM)
		if m.Sums.GPU > 0 && m.Sums.Host.GPU != nil {
			text += fmt.Sprintf(", and %s of %s on the GPU", m.Sums.GPU, m.Sums.Host.GPU.Size)
		}
		for _, u := range want {
			if m.Left[u.Name] != "" {
				text += "; " + m.Left[u.Name]
			}
		}
		r.fine("mode", ownSource, "%s", text)
	}
}

func (r *report) tooLarge(name string, want []units.Unit, m budget.Mode, isDefault bool) Finding {
	f := Finding{ID: "mode", Severity: Warning, Source: ownSource,
		What: fmt.Sprintf("mode %q does not fit: %s", name, m.Sums.Words()),
		Why:  fmt.Sprintf("tierctl up %s is refused", name),
		Fix:  "in tiers.toml, give its tiers smaller models or contexts, or take tiers out of [mode." + name + "]"}
	if isDefault {
		f.Severity = Error
	}
	if g := m.Sums.Host.GPU; g != nil && g.Broken != "" && m.Sums.GPU > 0 {
		f.What = fmt.Sprintf("mode %q does not fit: nothing may be loaded on the GPU", name)
	}
	if len(m.GiveWay) > 0 {
		f.Fix = fmt.Sprintf("in tiers.toml, take %s out of [mode.%s], or give a tier a smaller model or context", strings.Join(m.GiveWay, " and "), name)
	}
	if ids := r.inTheWay(want); ids != "" {
		f.Fix = "mend first: " + ids
	}
	return f
}

// inTheWay names the findings without which a mode would fit, "" when it would not.
func (r *report) inTheWay(want []units.Unit) string {
	h := r.host()
	if h.GPU == nil {
		return ""
	}
	mended := budget.GPU{Pool: h.GPU.Pool, Size: h.GPU.Size}
	switch {
	case h.GPU.Broken != "":
		mended = budget.GPU{Pool: budget.VRAM, Size: amount(r.gpu.VRAMTotal)}
	case r.gpu.APU && h.GPU.Pool == budget.GTT && h.RAM != nil:
		mended.Size = max(h.GPU.Size, bestLimit(*h.RAM))
	}
	h.GPU = &mended
	if m := budget.OfMode(h, want); !m.Fits() {
		return ""
	}
	var ids []string
	for _, f := range r.found {
		if slices.Contains(takers, f.ID) && f.Severity != OK && !slices.Contains(ids, f.ID) {
			ids = append(ids, f.ID)
		}
	}
	return strings.Join(ids, ", ")
}

// takers are the findings about what takes memory from the tiers' pool.
var takers = []string{"ttm-above-ram", "ttm-pages-limit", "ttm-pages-limit-unset", "gttsize-only", "gpu-leak", "engine-orphan", "engine-outside", "gpu-user"}

// unknownSize tells whether nobody knows what some tier takes, since its model is not there.
func (r *report) unknownSize(list []units.Unit) bool {
	return slices.ContainsFunc(list, func(u units.Unit) bool { return u.Charge.Total() == 0 })
}

// checkStatus tells what tierd says of the tiers that are up, or should be.
func (r *report) checkStatus() {
	if r.Status == nil {
		return
	}
	for _, t := range r.Status.Tiers {
		if t.State == api.Failed {
			r.add(Finding{ID: "tier-failed", Severity: Error, Source: "tierd",
				What: fmt.Sprintf("%s has failed: %s", t.Name, t.Reason),
				Why:  "requests to it are answered with an error",
				Fix:  fmt.Sprintf("journalctl -u %s -e tells more; then: tierctl start %s", t.Unit, t.Name)})
		}
	}
	if r.Status.Gateway == "absent" {
		r.add(Finding{ID: "gateway", Severity: Error, Source: "tierd",
			What: "the gateway is not connected to tierd", Why: "the tiers' ports may be closed", Fix: "systemctl status tier-gateway"})
	}
}

package doctor

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/tierd/tierd/units"
)

const guardSource = "tierd(8), MEMORY PRESSURE"

// guarded tells whether tiers.toml wants a pressure guard.
func (r *report) guarded() bool {
	if r.Guard != nil {
		return r.Guard.Enabled
	}
	return r.Plan != nil && r.Plan.Config.Guard.Enabled
}

// softLine and hardLine are the guard's: those that it goes by where it tells, else those that it will.
func (r *report) softLine() units.Bytes {
	if r.Guard != nil && r.Guard.State != nil {
		return units.Bytes(r.Guard.State.Soft)
	}
	return r.Plan.Config.SoftOf()
}

func (r *report) hardLine() units.Bytes {
	if r.Guard != nil && r.Guard.State != nil {
		return units.Bytes(r.Guard.State.Hard)
	}
	return r.Plan.Config.HardOf()
}

// checkGuard goes by what tierd says: without it nobody knows whether the guard is armed.
func (r *report) checkGuard() {
	const why = "when memory runs short no tier gives way: the desktop stands still, until the kernel ends something"
	if r.Plan != nil && !r.guarded() {
		r.add(Finding{ID: "guard", Severity: Note, Source: guardSource, What: "the pressure guard is off in [guard] of tiers.toml", Why: why,
			Fix: "in tiers.toml, [guard]: enabled = true, then: sudo tierctl reload"})
		return
	}
	if r.Guard == nil || !r.Guard.Enabled {
		return
	}
	f := Finding{ID: "guard", Severity: Warning, Source: guardSource, Why: why, Fix: "sudo systemctl restart tier-guard, then: tierctl guard"}
	switch s := r.Guard.State; {
	case !r.Guard.Connected:
		f.What = "the pressure guard is not connected to tierd: it does not run, or has just been started"
		f.Fix = "sudo systemctl enable --now tier-guard, then: tierctl guard; systemctl status tier-guard says why it ended"
	case s == nil:
		f.What = "the pressure guard does not answer"
	case !s.Armed:
		f.What = "the pressure guard is not armed: " + cmp.Or(s.Why, "it does not say why")
		f.Why = "it acts only as far as it can: when memory runs short it may be that no tier gives way"
	case s.DryRun:
		f.Severity, f.What = Note, "the pressure guard only tells what it would do (dry run)"
		f.Fix = "in tiers.toml, [guard]: remove dry_run, then: sudo tierctl reload"
	default:
		r.fine("guard", guardSource, "the pressure guard is armed: an idle tier gives way below %s of available memory, busy ones below %s", r.softLine(), r.hardLine())
		return
	}
	r.add(f)
}

// byGuard adds to a reason what it means for the guard, where there is one.
func (r *report) byGuard(why, forGuard string) string {
	if !r.guarded() {
		return why
	}
	return why + "; " + forGuard
}

// firstVictim is the tier that whatever goes by the OOM score takes first: the one with the lowest priority of those that may be
// up together.
func (r *report) firstVictim() string {
	if r.Plan == nil {
		return ""
	}
	list, err := r.Plan.Mode("")
	if err != nil || len(list) == 0 {
		list = r.Plan.Units
	}
	list = slices.DeleteFunc(slices.Clone(list), func(u units.Unit) bool { return u.Engine == units.KindRemote })
	if len(list) == 0 {
		return ""
	}
	return slices.MinFunc(list, func(a, b units.Unit) int { return cmp.Compare(a.Priority, b.Priority) }).Tier
}

// oomPreferences are what the units of tiers tell systemd-oomd: "ManagedOOMPreference=avoid".
func (r *report) oomPreferences() string {
	var values []string
	if r.Plan != nil {
		for _, u := range r.Plan.Units {
			for _, p := range u.Properties {
				if v, ok := p.Value.(string); ok && p.Name == "ManagedOOMPreference" && !slices.Contains(values, v) {
					values = append(values, v)
				}
			}
		}
	}
	slices.Sort(values)
	switch len(values) {
	case 0:
		return ""
	case 1:
		return "tiers carry ManagedOOMPreference=" + values[0]
	}
	return fmt.Sprintf("tiers carry ManagedOOMPreference=%s, pinned ones %s", values[0], values[1])
}

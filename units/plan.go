package units

import (
	"fmt"
	"io/fs"
)

// Host is what MakePlan has to know of the machine.
type Host struct {
	SystemdVersion int             // properties that are newer are left out; 0 counts as the floor, 255
	MemTotal       Bytes           // 0: not known, nothing is checked against it
	CPUs           int             // 0: not known
	Groups         map[string]bool // groups that exist: a unit that names a missing one fails with 216/GROUP
	FS             fs.FS           // rooted at "/": where models, engines and credentials are looked for; nil: do not look
}

// Plan is a Config as systemd units.
type Plan struct {
	Config *Config
	Units  []Unit // in file order, a tier's default variant first
}

// Unit returns the unit of that name, with its suffix.
func (p *Plan) Unit(name string) (Unit, bool) {
	for _, u := range p.Units {
		if u.Name == name {
			return u, true
		}
	}
	return Unit{}, false
}

// Variant returns the unit of a tier's variant; "" is the default one.
func (p *Plan) Variant(tier, variant string) (Unit, bool) {
	for _, u := range p.Units {
		if u.Tier == tier && (u.Variant == variant || variant == "" && u.Default) {
			return u, true
		}
	}
	return Unit{}, false
}

// Mode returns the units of a mode in the order that the mode names them; "" is the default mode.
func (p *Plan) Mode(name string) ([]Unit, error) {
	if name == "" {
		name = p.Config.Host.DefaultMode
	}
	for _, m := range p.Config.Modes {
		if m.Name != name {
			continue
		}
		units := make([]Unit, 0, len(m.Tiers))
		for _, member := range m.Tiers {
			u, ok := p.Variant(splitMember(member))
			if !ok {
				return nil, fmt.Errorf("mode %q names %q, which is not in the plan", name, member)
			}
			units = append(units, u)
		}
		return units, nil
	}
	return nil, fmt.Errorf("no mode is called %q%s", name, suggest(name, names(p.Config.Modes, func(m Mode) string { return m.Name })))
}

// MakePlan turns a Config into units for a host. A unit whose model, engine or credential is missing is Blocked and comes
// with a warning; the others are not affected. The Plan is nil when a fault is more than a warning: then nothing could
// start as the file stands.
func MakePlan(c *Config, h Host) (*Plan, []Fault) {
	fs := &faults{file: c.File}
	p := &Plan{Config: c}
	for _, t := range c.Tiers {
		for i, v := range t.Variants {
			e, _ := c.Engine(v.Engine)
			u := Unit{
				Name: unitName(t.Name, v.Name, i == 0), Tier: t.Name, Variant: v.Name, Default: i == 0,
				Port: t.Port, Engine: e.Kind, GPU: e.UsesGPU(), Model: v.Model, Context: int(v.Context),
				Memory: v.Memory, Priority: t.Priority, Start: t.Start,
			}
			u.Socket = socketPath(u.Name)
			p.Units = append(p.Units, u)
		}
	}
	return p, fs.list()
}

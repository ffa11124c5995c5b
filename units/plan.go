package units

import (
	"fmt"
	"io/fs"
)

// Host is what MakePlan has to know of the machine.
type Host struct {
	SystemdVersion int             // properties that are newer are left out; 0 counts as the floor, 255
	MemTotal       Bytes           // 0: not known, nothing is checked against it
	GPUTotal       Bytes           // the size of GPU memory as HIP reports it, of which vLLM's shares are; 0: not known
	VRAM           Bytes           // what was carved out for the GPU, where models on it go; 0: they go into the RAM
	ChargesGPU     bool            // the kernel charges what a GPU has of the RAM to the cgroup of who asked for it
	CPUs           int             // 0: not known
	Groups         map[string]bool // groups that exist: a unit that names a missing one fails with 216/GROUP
	FS             fs.FS           // rooted at "/": where models, engines and credentials are looked for; nil: do not look

	// Measured is the most that earlier runs took, by Unit.MeasureKey. What is missing was not measured.
	Measured map[string]Bytes
	// Quirks says what is known of this host's GPU, by topic, the worst of a topic alone; nil: nothing, or there is none.
	Quirks func(QuirkQuery) []QuirkVerdict
	// Faults are of other files that were read for this, such as those of quirks: MakePlan passes them on.
	Faults []Fault
	// Models keeps what was read from models' files for the next plan; nil: every plan reads them again.
	Models *ModelCache
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
	if len(p.Config.Modes) == 0 {
		return nil, fmt.Errorf("%s has no mode", p.Config.File)
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
	return nil, fmt.Errorf("no mode is called %q%s", name, suggest(name, each(p.Config.Modes, func(m Mode) string { return m.Name })))
}

// MakePlan turns a Config into units for a host. A unit whose model, engine or credential is missing is Blocked and comes
// with a warning; the others are not affected. All faults that it returns are warnings.
func MakePlan(c *Config, h Host) (*Plan, []Fault) {
	fs := &faults{file: c.File}
	p := &Plan{Config: c}
	for _, t := range c.Tiers {
		for i := range t.Variants {
			p.Units = append(p.Units, makeUnit(c, h, fs, t, i))
		}
	}
	c.checkSize(fs, h, p)
	return p, append(fs.list(), h.Faults...)
}

// makeUnit makes the unit of a tier's variant with that index.
func makeUnit(c *Config, h Host, fs *faults, t Tier, index int) Unit {
	v := t.Variants[index]
	e, _ := c.Engine(v.Engine)
	u := Unit{
		Name: unitName(t.Name, v.Name, index == 0), Tier: t.Name, Variant: v.Name, Default: index == 0,
		Port: t.Port, Engine: e.Kind, GPU: e.UsesGPU(), Model: v.Model, Served: v.ServedName,
		Context: int(v.Context), Priority: t.Priority, Start: t.Start,
		Adapters: adapters(e, v),
	}
	u.Charge = Charge{Written: v.Memory}
	if u.GPU {
		u.Charge.Device = v.Memory // as long as its model does not say more
	}
	u.Socket = socketPath(u.Name)
	s := &spec{host: h, config: c, tier: t, variant: v, engine: e, unit: &u, keyFound: true}
	for i, other := range t.Variants {
		if i != index {
			s.siblings = append(s.siblings, unitName(t.Name, other.Name, i == 0))
		}
		if i < index {
			s.earlier = append(s.earlier, unitName(t.Name, other.Name, i == 0))
		}
	}
	s.look(fs)
	u.Memory = u.Charge.Total()
	u.Hash = s.hash()
	s.argv = s.shim()
	u.Properties = properties(s)
	return u
}

// look finds on the host what the unit needs. The first thing that is missing blocks it; each is a warning.
func (s *spec) look(fs *faults) {
	if s.host.FS == nil {
		return
	}
	h := tree{s.host.FS}
	if s.engine.Kind == KindRemote {
		if s.variant.Key != "" && !h.hasCredential(s.variant.Key) {
			s.keyFound = false
			s.block(fs, "key", "configuration", fmt.Sprintf(
				"credential %q is not in %s; make it with `systemd-creds encrypt --name=%s - %s/%s`",
				s.variant.Key, credentialDirs[0], s.variant.Key, credentialDirs[0], s.variant.Key))
		}
		return
	}
	if err := h.executable(s.engine.Command[0]); err != nil {
		s.block(fs, "engine", "configuration", fmt.Sprintf(
			"engine %q: %v; install it, or change `command` in [engine.%s]", s.engine.Name, err, s.engine.Name))
	}
	if s.engine.Kind == KindVLLM {
		s.unit.EngineVersion = h.engineVersion(s.engine.Command[0])
	}
	m, err := findModel(h, s.config.Host.Models, s.variant.Model, s.engine.Kind)
	s.model = m
	if err != nil {
		s.block(fs, "model", "model", err.Error())
	} else {
		s.sumUp(fs, h)
	}
	s.lookForAdapters(fs, h)
	s.askQuirks(fs)
}

// block says why the unit cannot start, at a key of its variant.
func (s *spec) block(fs *faults, key, class, sentence string) {
	s.blockAt(fs, []string{"tier", s.tier.Name, "variant", s.variant.Name, key}, class, sentence)
}

func (s *spec) blockAt(fs *faults, key []string, class, sentence string) {
	if s.unit.Blocked == "" {
		s.unit.Blocked, s.unit.BlockClass = sentence, class
	}
	fs.warn(s.config.line(key...), s.tier.Name, "%s cannot start: %s", s.unit.Name, sentence)
}

// line is where the deepest known part of a key path stands.
func (c *Config) line(path ...string) int {
	if c.source == nil { // a Config that was not parsed from a file
		return 0
	}
	return c.source.at(path...)
}

package agent

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/units"
)

// statusAge is how old the sizes in a Status may be before one asks for new ones: no signal tells of memory.
const statusAge = 5 * time.Second

// Status is served from what the loop learned last, so that it waits for nobody.
func (a *Agent) Status(ctx context.Context) (api.Status, error) {
	return inLoop(ctx, a, func() (api.Status, error) {
		if a.observations == 0 {
			return api.Status{}, a.unavailable()
		}
		if time.Since(a.readAll) > statusAge {
			a.observe(ReadAll) // for the next one
		}
		s := api.Status{
			Version: a.opts.Version, Started: a.started, Systemd: a.opts.Systemd.Version(), ConfigPath: a.opts.ConfigPath,
			ConfigHash: a.configHash, ConfigError: a.configErr, ConfigEdited: a.configured && a.file.edited(a.opts.ConfigPath),
			Warnings: slices.Clone(a.warnings), Gateway: "absent", Tiers: []api.Tier{},
		}
		if a.gateway.connected(time.Now()) {
			s.Gateway = "connected"
		}
		if a.systemdErr != nil {
			s.Warnings = append(s.Warnings, "systemd does not answer, this is what it said last: "+a.systemdErr.Error())
		}
		if text := a.guardFault(); text != "" {
			s.Warnings = append(s.Warnings, text)
		}
		if a.plan != nil && a.plan.Config.Gateway.Port != 0 {
			s.PortError = a.portError(a.plan.Config.Gateway.Port)
		}
		for _, name := range a.tierNames() {
			s.Tiers = append(s.Tiers, a.tier(name))
		}
		return s, nil
	})
}

// Tier is one tier of Status.
func (a *Agent) Tier(name string) (api.Tier, error) {
	return inLoop(context.Background(), a, func() (api.Tier, error) {
		if a.observations == 0 {
			return api.Tier{}, a.unavailable()
		}
		if slices.Contains(a.tierNames(), name) {
			return a.tier(name), nil
		}
		return api.Tier{}, a.checkVariant(name, "")
	})
}

func (a *Agent) tier(name string) api.Tier {
	shown := a.shownUnit(name)
	u, s, v := a.unit(shown), a.seen[shown], a.states[shown]
	t := api.Tier{
		Name: name, Port: cmp.Or(u.Port, s.Port), Start: u.Start, Priority: u.Priority, State: v.State, Reason: v.Reason, Class: v.Class,
		Since: s.Since, Variant: cmp.Or(u.Variant, s.Variant), Variants: []api.Variant{}, Unit: shown, Engine: u.Engine, Model: u.Model,
		Context: u.Context, Memory: uint64(a.memoryOf(u, s)), MemoryCurrent: s.MemoryNow, Restarts: s.Restarts,
		LeavesMachine: u.Engine == units.KindRemote, DropIns: s.DropIns, Removed: a.plan != nil && u.Name == "",
	}
	if up(v.State) {
		t.MainPID = s.MainPID
		if v.Reason == "" { // else the words are those of a process that has ended
			t.Status = s.StatusText
		}
		t.RestartPending = a.pending(u, s)
	}
	t.PortError = a.portError(t.Port)
	t.IdleSince = a.idleSince(name)
	t.Warning = a.stale[shown]
	if a.plan == nil {
		t.Variants = append(t.Variants, api.Variant{Name: s.Variant, Unit: shown, State: v.State, Memory: uint64(s.Memory), Reason: v.Reason})
		return t
	}
	if c, ok := a.plan.Config.Tier(name); ok {
		t.Role = c.Role
		t.StopsAt = a.stopsAt(c)
	}
	for _, u := range a.plan.Units {
		if u.Tier != name {
			continue
		}
		s, v := a.seen[u.Name], a.states[u.Name]
		t.Status = cmp.Or(a.waits(u.Name), t.Status)
		t.Variants = append(t.Variants, api.Variant{
			Name: u.Variant, Unit: u.Name, Engine: u.Engine, Model: u.Model, State: v.State,
			Memory: uint64(a.memoryOf(u, s)), Reason: v.Reason,
		})
	}
	return t
}

// pending tells whether a running unit was started from another configuration than the one in force, and could be from it.
func (a *Agent) pending(u units.Unit, s UnitStatus) bool {
	return u.Name != "" && u.Blocked == "" && running(s) && s.Hash != u.Hash
}

// Modes lists the modes in the order of the file.
func (a *Agent) Modes() ([]api.Mode, error) {
	return inLoop(context.Background(), a, func() ([]api.Mode, error) {
		if a.plan == nil {
			return nil, a.checkVariant("", "")
		}
		list := []api.Mode{}
		for _, m := range a.plan.Config.Modes {
			mode := api.Mode{Name: m.Name, Default: m.Name == a.plan.Config.Host.DefaultMode, Tiers: map[string]string{}}
			members, err := a.plan.Mode(m.Name)
			if err != nil {
				return nil, &api.Error{Kind: api.KindInternal, Message: err.Error()}
			}
			for _, u := range members {
				mode.Tiers[u.Tier] = u.Variant
			}
			list = append(list, mode)
		}
		return list, nil
	})
}

// PlanMode tells what `up` would do for a mode, and with which units. Nothing is changed.
func (a *Agent) PlanMode(ctx context.Context, mode string) (api.Plan, error) {
	if err := a.lookAgainFor(ctx, ""); err != nil {
		return api.Plan{}, err
	}
	r, err := a.look(ctx)
	if err != nil {
		return api.Plan{}, err
	}
	return inLoop(ctx, a, func() (api.Plan, error) {
		want, name, err := a.members(api.StackRequest{Mode: mode})
		if err != nil {
			return api.Plan{}, err
		}
		p := api.Plan{Mode: name, Warnings: slices.Clone(a.warnings)}
		left, refused := leaveOut(name, want, a.host(r))
		if refused != nil {
			p.Refusal = refused.Message
		}
		actions := map[string]string{}
		running := a.running()
		for _, j := range planUp(want, left, running, a.besides(want, left, running, a.host(r))) {
			switch {
			case j.conditional():
			case j.left != "":
				p.Warnings = append(p.Warnings, j.left)
				actions[j.unit] = cmp.Or(actions[j.unit], "none")
			case actions[j.unit] == string(opStop):
				actions[j.unit] = "restart"
			default:
				actions[j.unit] = string(j.op)
			}
		}
		wanted := map[string]bool{}
		for _, u := range want {
			wanted[u.Name] = true
			p.Units = append(p.Units, a.unitText(u, cmp.Or(actions[u.Name], "keep")))
		}
		for _, u := range a.plan.Units {
			if !wanted[u.Name] && actions[u.Name] != "" {
				p.Units = append(p.Units, a.unitText(u, actions[u.Name]))
			}
		}
		return p, nil
	})
}

func (a *Agent) unitText(u units.Unit, action string) api.UnitText {
	return api.UnitText{Unit: u.Name, Tier: u.Tier, Variant: u.Variant, Action: action, Text: u.Text()}
}

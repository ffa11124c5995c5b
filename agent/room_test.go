package agent

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/budget"
	"github.com/tierd/tierd/units"
)

func TestWhatCannotStartTakesNoRoom(t *testing.T) {
	const memory = 100 * gib
	orch := units.Unit{Name: "tier-orch.service", Tier: "orch", Charge: units.Charge{Written: memory}}
	ghost := orch
	ghost.Name, ghost.Tier, ghost.Blocked = "tier-ghost.service", "ghost", "its model is missing"
	ram := units.Bytes(128 * gib)
	if left, refused := leaveOut("full", []units.Unit{ghost, orch}, budget.Host{RAM: &ram}); len(left) > 0 || refused != nil {
		t.Errorf("left %q, refused %v", left, refused)
	}
	ghost.Blocked = ""
	_, refused := leaveOut("full", []units.Unit{ghost, orch}, budget.Host{RAM: &ram})
	mustKind(t, refused, api.KindBudget, "mode full does not fit: 100GiB for tier-ghost.service + 100GiB for tier-orch.service + 0 reserve is 200GiB, and the host has 128GiB")
	if !slices.Equal(refused.Budget.GiveWay, []string{"orch"}) {
		t.Errorf("to give way: %q", refused.Budget.GiveWay)
	}
}

func TestUpLeavesATierOnDemandThatDoesNotFit(t *testing.T) {
	inBed(t, func(b *bed) {
		b.change("start = \"manual\"", "start = \"demand\"")
		mustReload(b, false)
		b.memory.MemTotal = bytesOf(91) // 20 + 60 and 10 in reserve: 1 is free, and util needs 2
		p, err := b.PlanMode(context.Background(), "full")
		if err != nil || p.Refusal != "" || !slices.Contains(p.Warnings, "util stays on demand: it needs 2GiB and 1GiB is free; it needs the room of coder") {
			t.Errorf("the plan: %q, %q, %v", p.Warnings, p.Refusal, err)
		}
		for _, u := range p.Units {
			if u.Unit == util && u.Action != "none" {
				t.Errorf("the plan is to %s %s", u.Action, util)
			}
		}
		c := b.up("full")
		mustDone(t, c)
		i := slices.IndexFunc(c.Tasks, func(t api.Task) bool { return t.Tier == "util" })
		if i < 0 || c.Tasks[i].State != "skipped" || c.Tasks[i].Err != "util stays on demand: it needs 2GiB and 1GiB is free; it needs the room of coder" {
			t.Errorf("the tasks: %+v", c.Tasks)
		}
		b.mustState("coder", api.Ready)
		b.mustState("util", api.Stopped)
	})
}

func TestUpStopsATierOnDemandWhoseRoomIsNeeded(t *testing.T) {
	inBed(t, func(b *bed) {
		b.change("start = \"manual\"", "start = \"demand\"")
		mustReload(b, false)
		mustDone(t, b.act("util", "start", ""))
		b.memory.MemTotal = bytesOf(91)
		if p, err := b.PlanMode(context.Background(), "full"); err != nil || !slices.ContainsFunc(p.Units, func(u api.UnitText) bool { return u.Unit == util && u.Action == "stop" }) {
			t.Errorf("the plan: %+v, %v", p.Units, err)
		}
		b.systemd.did()
		mustDone(t, b.up("full"))
		if got := b.systemd.did("start", "stop"); len(got) != 3 || got[0] != "stop "+util {
			t.Errorf("it did %q", got)
		}
	})
}

func TestAModeThatDoesNotFitIsRefusedBeforeAnythingIsTouched(t *testing.T) {
	inBed(t, func(b *bed) {
		mustDone(t, b.up("small"))
		b.systemd.did()
		b.memory.MemTotal = bytesOf(91)
		_, err := b.Stack(context.Background(), api.StackRequest{Action: "up", Mode: "full"})
		mustKind(t, err, api.KindBudget, "mode full does not fit: 20GiB for tier-orch.service + 60GiB for tier-coder.service + 2GiB for tier-util.service + 10GiB reserve is 92GiB, and the host has 91GiB")
		if got := b.systemd.did("start", "stop"); len(got) > 0 {
			t.Errorf("it did %q", got)
		}
		changes, err := b.Changes()
		if err != nil || len(changes) != 1 {
			t.Errorf("a refusal is no change: %+v, %v", changes, err)
		}
		b.mustState("orch", api.Ready)
	})
}

func TestABootStartsWhatItCan(t *testing.T) {
	inBed(t, func(b *bed) {
		b.memory.MemTotal = bytesOf(60)
		id, err := b.Stack(context.Background(), api.StackRequest{Action: "up", Boot: true})
		if err != nil {
			t.Fatal(err)
		}
		if c := b.wait(id); c.State != "error" || c.Err.Kind != api.KindBudget || !strings.Contains(c.Err.Message, coder) {
			t.Errorf("the boot: %s, %v", c.State, c.Err)
		}
		b.mustState("orch", api.Ready)
	})
}

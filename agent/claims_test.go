package agent

import (
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/budget"
	"github.com/tierd/tierd/units"
)

func TestWhatOfAClaimIsTakenAlready(t *testing.T) {
	const unit = "tier-x.service"
	cpu, gpu := budget.Need{RAM: 50 * gib}, budget.Need{RAM: 50 * gib, GPU: 50 * gib}
	for _, c := range []struct {
		rule   string
		need   budget.Need
		phase  budget.Phase
		mapped units.Bytes
		shown  units.Bytes // by its cgroup; 0: nobody says
		want   units.Bytes
	}{
		{"of one that loads only what its cgroup shows", cpu, budget.Loading, 40 * gib, 7 * gib, 7 * gib},
		{"nothing where nobody shows it", cpu, budget.Loading, 40 * gib, 0, 0},
		{"of one that is ready what its end alone gives back", cpu, budget.Ready, 40 * gib, 10 * gib, 10 * gib},
		{"all but its mapped weights where nobody says", cpu, budget.Ready, 40 * gib, 0, 10 * gib},
		{"all of it when nothing is mapped", cpu, budget.Ready, 0, 0, 50 * gib},
		{"never more than was promised", cpu, budget.Ready, 0, 70 * gib, 50 * gib},
		{"mapped beyond the promise leaves nothing", cpu, budget.Ready, 70 * gib, 0, 0},
		{"on the GPU all of it once it is ready, whatever its cgroup shows", gpu, budget.Ready, 0, 3 * gib, 50 * gib},
		{"on the GPU what its cgroup shows while it loads", gpu, budget.Loading, 0, 3 * gib, 3 * gib},
		{"nothing of one that systemd will start again", cpu, budget.Retrying, 0, 0, 0},
		{"one that ends holds its memory still", cpu, budget.Ending, 0, 0, 50 * gib},
	} {
		t.Run(c.rule, func(t *testing.T) {
			held := map[string]units.Bytes{}
			if c.shown > 0 {
				held[unit] = c.shown
			}
			got := taken(budget.Claim{Unit: unit, Need: c.need, Phase: c.phase}, units.Charge{Mapped: c.mapped}, held)
			if got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestWhenATierIsBusy(t *testing.T) {
	now := time.Now()
	polls := gatewayState{polls: 1, reported: now}
	gone := gatewayState{last: now.Add(-time.Hour), reported: now.Add(-time.Hour)}
	for _, c := range []struct {
		rule    string
		use     use
		gateway gatewayState
		started time.Time
		want    bool
	}{
		{"with requests in flight", use{inFlight: 1}, polls, now.Add(-time.Hour), true},
		{"not without", use{}, polls, now.Add(-time.Hour), false},
		{"nor by what a gateway said that is gone", use{inFlight: 3}, gone, now.Add(-2 * time.Hour), false},
		{"as long as a gateway may be about to tell", use{}, gatewayState{}, now, true},
		{"and no longer", use{}, gatewayState{}, now.Add(-time.Minute), false},
	} {
		t.Run(c.rule, func(t *testing.T) {
			if got := c.use.busy(c.gateway, c.started); got != c.want {
				t.Errorf("got %t", got)
			}
		})
	}
}

// claimNow is the claim of a unit as admission sees it now.
func (b *bed) claimNow(unit string) (budget.Claim, bool) {
	b.t.Helper()
	r, err := b.look(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	claims, err := inLoop(b.t.Context(), b.Agent, func() ([]budget.Claim, error) { return b.claims(r, b.host(r).Pool()), nil })
	if err != nil {
		b.t.Fatal(err)
	}
	i := slices.IndexFunc(claims, func(c budget.Claim) bool { return c.Unit == unit })
	if i < 0 {
		return budget.Claim{}, false
	}
	return claims[i], true
}

func TestAClaimFollowsItsUnit(t *testing.T) {
	inBed(t, func(b *bed) {
		b.change("role = \"coder\"", "role = \"coder\"\npinned = true\nmin_residency = \"90s\"")
		mustReload(b, false)
		b.systemd.load = time.Minute
		if c, there := b.claimNow(coder); there {
			t.Errorf("a stopped unit holds %+v", c)
		}
		id := b.begin("coder")
		b.after(time.Second)
		c, there := b.claimNow(coder)
		if !there || c.Phase != budget.Loading || c.Need != (budget.Need{RAM: 60 * gib, GPU: 60 * gib}) || c.Taken != 0 || c.Priority != 50 || !c.Pinned || c.Keeps != 90*time.Second {
			t.Errorf("while it loads: %+v", c)
		}
		mustDone(t, b.wait(id))
		b.after(5 * time.Second)
		if c, _ = b.claimNow(coder); c.Phase != budget.Ready || c.Taken != 60*gib || c.Resident.Truncate(time.Second) != 5*time.Second || c.Idle.Truncate(time.Second) != 5*time.Second || c.Busy {
			t.Errorf("when it is ready: %+v", c)
		}
		defer poll(b).cancel()
		b.reports(map[string]int{"coder": 1}, nil)
		if c, _ = b.claimNow(coder); !c.Busy {
			t.Errorf("with a request: %+v", c)
		}
		b.after(time.Minute)
		b.reports(nil, map[string]float64{"coder": 2})
		if c, _ = b.claimNow(coder); c.Busy || c.Idle != 2*time.Second || c.Resident.Truncate(time.Second) != 65*time.Second {
			t.Errorf("after it: %+v", c)
		}
		b.systemd.by(func() { b.systemd.halt(coder) })
		b.after(50 * time.Millisecond)
		if c, there = b.claimNow(coder); !there || c.Phase != budget.Ending || c.Need.RAM != 60*gib {
			t.Errorf("while it ends: %+v", c)
		}
		b.after(time.Second)
		if c, there = b.claimNow(coder); there {
			t.Errorf("when it has ended: %+v", c)
		}
		b.after(time.Hour)
		mustDone(t, b.act("coder", "start", ""))
		if c, _ = b.claimNow(coder); c.Idle != c.Resident || c.Idle > time.Second { // and not since the request of its life before
			t.Errorf("up again: %+v", c)
		}
	})
}

func TestAUnitThatSystemdWillStartAgainKeepsItsRoom(t *testing.T) {
	inBed(t, func(b *bed) {
		mustDone(t, b.act("coder", "start", ""))
		b.systemd.by(func() {
			b.systemd.units[coder].die()
			b.systemd.set(b.systemd.units[coder], "activating", "auto-restart", "exit-code", 70)
		})
		b.after(time.Second)
		c, there := b.claimNow(coder)
		if !there || c.Phase != budget.Retrying || c.Taken != 0 || c.Need.RAM != 60*gib {
			t.Errorf("got %+v, %t", c, there)
		}
		b.mustState("coder", api.Starting)
		mustDone(t, b.act("orch", "start", "")) // it does not hold the turn on the GPU
	})
}

func TestAnOlderDefinitionCountsWithItsOwnFigure(t *testing.T) {
	inBed(t, func(b *bed) {
		mustDone(t, b.act("coder", "start", ""))
		b.change(`"60GiB"`, `"70GiB"`)
		mustReload(b, false)
		if c, _ := b.claimNow(coder); c.Need != (budget.Need{RAM: 60 * gib, GPU: 60 * gib}) {
			t.Errorf("got %+v", c)
		}
		mustDone(t, b.act("coder", "restart", ""))
		if c, _ := b.claimNow(coder); c.Need.RAM != 70*gib {
			t.Errorf("after a restart: %+v", c)
		}
	})
}

func TestWithoutTiersTomlTiersOnTheGPUStillLoadOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, filepath.Join(t.TempDir(), "tiers.toml"))
		b.run()
		mustDone(t, b.act("orch", "start", ""))
		b.begin("coder")
		b.after(100 * time.Millisecond)
		b.write("garbage")
		b.end()
		b.systemd.by(func() { b.systemd.units[orchA].Held = true; b.systemd.crash(orchA) })
		b.run()
		b.systemd.by(func() { b.systemd.boot(b.systemd.units[orchA]) }) // it must wait for the coder, which loads
		b.after(5 * time.Second)
		b.mustState("orch", api.Ready)
		b.end()
		for _, wrong := range b.systemd.wrongs {
			t.Error("it must not happen: " + wrong)
		}
	})
}

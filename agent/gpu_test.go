package agent

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tierd/tierd/agent/api"
)

// begin asks for the start of a tier and does not wait for its end.
func (b *bed) begin(tier string) string {
	b.t.Helper()
	id, err := b.Act(context.Background(), tier, api.TierRequest{Action: "start"})
	if err != nil {
		b.t.Fatalf("start %s: %v", tier, err)
	}
	return id
}

// The fake notes it as wrong when two load on the GPU at the same time.
func TestTiersOnTheGPULoadOneAtATimeOverAllChanges(t *testing.T) {
	inBed(t, func(b *bed) {
		b.systemd.load = time.Minute
		orch, code, small := b.begin("orch"), b.begin("coder"), b.begin("util")
		b.after(30 * time.Second)
		b.mustState("util", api.Starting) // on the CPU, it loads beside them
		first, second := "orch", "coder"
		if b.tierNow("orch").Status != "" {
			first, second = second, first
		}
		b.mustState(first, api.Starting)
		b.mustState(second, api.Starting)
		want := "waits for " + first + " to load: on the GPU one does so at a time"
		if got := b.tierNow(second).Status; got != want {
			t.Errorf("%s says %q, want %q", second, got, want)
		}
		ids := map[string]string{"orch": orch, "coder": code}
		c, err := b.Change(ids[second])
		if err != nil || c.Tasks[0].State != "doing" || c.Tasks[0].Status != want {
			t.Errorf("the change: %+v, %v", c.Tasks, err)
		}
		for _, id := range []string{orch, code, small} {
			mustDone(t, b.wait(id))
		}
		if got := b.tierNow(second).Status; got != "Serving" {
			t.Errorf("when it is ready it says %q", got)
		}
	})
}

func TestAStartWaitsAlsoForWhatAnAdministratorLoads(t *testing.T) {
	inBed(t, func(b *bed) {
		b.systemd.load = time.Minute
		b.systemd.by(func() { b.systemd.boot(b.systemd.units[orchA]) })
		b.after(time.Second)
		b.systemd.did()
		id := b.begin("coder")
		b.after(time.Second)
		if got := b.tierNow("coder").Status; !strings.HasPrefix(got, "waits for orch to load") {
			t.Errorf("coder says %q", got)
		}
		mustDone(t, b.wait(id))
		if got := b.systemd.did("start"); !slices.Equal(got, []string{"start " + coder}) {
			t.Errorf("it did %q", got)
		}
	})
}

func TestAWaitForTheGPUCanBeGivenUp(t *testing.T) {
	inBed(t, func(b *bed) {
		b.systemd.slow[orchA] = true
		first, second := b.begin("orch"), ""
		b.after(time.Second)
		second = b.begin("coder")
		b.after(time.Minute)
		b.systemd.did()
		if err := b.AbortChange(second); err != nil {
			t.Fatal(err)
		}
		if c := b.wait(second); c.State != "aborted" {
			t.Errorf("the one that waited: %s, %v", c.State, c.Err)
		}
		if got := b.systemd.did("start", "stop"); !slices.Equal(got, []string{"stop " + coder}) {
			t.Errorf("to give up it did %q", got)
		}
		if tier := b.tierNow("coder"); tier.State != api.Stopped || tier.Status != "" {
			t.Errorf("coder is %s and says %q", tier.State, tier.Status)
		}
		third := b.begin("coder")
		mustDone(t, b.act("orch", "stop", ""))
		mustDone(t, b.wait(third))
		if c := b.wait(first); c.State == "done" {
			t.Error("a start that was stopped is done")
		}
	})
}

func TestATierThatSystemdWillTryAgainHoldsNobodyUp(t *testing.T) {
	inBed(t, func(b *bed) {
		b.systemd.by(func() {
			b.systemd.slow[orchA] = true
			b.systemd.boot(b.systemd.units[orchA])
		})
		b.after(time.Second)
		id := b.begin("coder")
		b.after(time.Minute)
		b.mustState("coder", api.Starting)
		b.systemd.by(func() { b.systemd.set(b.systemd.units[orchA], "failed", "failed-before-auto-restart", "exit-code", 70) })
		mustDone(t, b.wait(id))
	})
}

func TestTheGPUIsGivenBackAfterAFailure(t *testing.T) {
	inBed(t, func(b *bed) {
		b.systemd.ends[orchA] = 70
		first, second := b.begin("orch"), b.begin("coder")
		if c := b.wait(first); c.State != "error" {
			t.Errorf("orch: %s", c.State)
		}
		mustDone(t, b.wait(second))
	})
}

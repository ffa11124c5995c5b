package agent

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/tierd/tierd/agent/api"
)

// turnsOf is what Metrics has of a tier that is not zero: "boot 1; operator 1".
func (b *bed) turnsOf(tier string) string {
	b.t.Helper()
	m, err := b.Metrics(context.Background())
	if err != nil {
		b.t.Fatal(err)
	}
	for _, found := range m.Tiers {
		if found.Tier == tier {
			return nonzero(found.Starts) + "; " + nonzero(found.Stops)
		}
	}
	b.t.Fatalf("no tier %q in %+v", tier, m)
	return ""
}

func nonzero(counts map[string]uint64) string {
	list := []string{}
	for _, why := range append(append([]string{}, usualStarts...), "evicted", "idle", "pressure", "aborted", "failed:engine-died", "failed:refused", "failed:unknown") {
		if n := counts[why]; n > 0 {
			list = append(list, fmt.Sprintf("%s %d", why, n))
		}
	}
	return strings.Join(list, ", ")
}

func (b *bed) mustCount(rule, tier, want string) {
	b.t.Helper()
	if got := b.turnsOf(tier); got != want {
		b.t.Errorf("%s: %s is counted as %q, want %q", rule, tier, got, want)
	}
}

func TestStartsAndStopsAreCountedByReason(t *testing.T) {
	inBed(t, func(b *bed) {
		b.mustCount("nothing has happened", "coder", "; ")
		id, err := b.Stack(context.Background(), api.StackRequest{Action: "up", Boot: true})
		if err != nil {
			t.Fatal(err)
		}
		mustDone(t, b.wait(id))
		b.mustCount("a boot", "coder", "boot 1; ")
		mustDone(t, b.act("coder", "stop", ""))
		mustDone(t, b.act("coder", "start", ""))
		b.mustCount("orders", "coder", "boot 1, operator 1; operator 1")
		b.systemd.by(func() { b.systemd.crash(coder) })
		b.after(time.Second)
		b.mustCount("a crash", "coder", "boot 1, operator 1; operator 1, failed:engine-died 1")
		mustDone(t, b.act("coder", "stop", ""))
		b.mustCount("a failure that is cleared away is no stop", "coder", "boot 1, operator 1; operator 1, failed:engine-died 1")
		b.systemd.by(func() { b.systemd.boot(b.systemd.units[util]) })
		b.after(5 * time.Second)
		b.systemd.by(func() { b.systemd.halt(util) })
		b.after(5 * time.Second)
		b.mustCount("somebody else", "util", "systemctl 1; systemctl 1")
	})
}

func TestASwitchCountsForItsTier(t *testing.T) {
	inBed(t, func(b *bed) {
		mustDone(t, b.act("orch", "start", ""))
		mustDone(t, b.act("orch", "switch", "b"))
		b.mustCount("a switch", "orch", "operator 2; operator 1")
		mustDone(t, b.wait(b.switches("a", true)))
		b.mustCount("one after the other", "orch", "operator 3; operator 2")
	})
}

func TestAnAbortedStartIsCountedAsOne(t *testing.T) {
	inBed(t, func(b *bed) {
		b.systemd.slow[util] = true
		id := b.begin("util")
		b.after(time.Second)
		if err := b.AbortChange(id); err != nil {
			t.Fatal(err)
		}
		b.wait(id)
		b.mustCount("an abort", "util", "operator 1; aborted 1")
	})
}

func TestWhatRanBeforeTierdIsNotCounted(t *testing.T) {
	inBed(t, func(b *bed) {
		mustDone(t, b.act("coder", "start", ""))
		b.end()
		b.run()
		b.mustCount("adopted", "coder", "; ")
		mustDone(t, b.act("coder", "stop", ""))
		b.mustCount("and stopped", "coder", "; operator 1")
	})
}

func TestTheUsualReasonsAreThereFromTheBeginning(t *testing.T) {
	got := withUsual(map[string]uint64{"boot": 2, "failed:budget": 1}, usualStops)
	want := map[string]uint64{"boot": 2, "failed:budget": 1, "operator": 0, "systemctl": 0, "evicted": 0, "idle": 0, "pressure": 0, "aborted": 0}
	if !maps.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

func TestMetricsHaveTheBudget(t *testing.T) {
	inBed(t, func(b *bed) {
		mustDone(t, b.act("coder", "start", ""))
		m, err := b.Metrics(context.Background())
		if err != nil || m.Budget == nil || len(m.Budget.Tiers) != 1 || m.Version == "" || !m.ConfigValid || m.Started.IsZero() {
			t.Fatalf("%+v, %v", m, err)
		}
		for _, tier := range m.Tiers {
			if tier.Memory == 0 {
				t.Errorf("%s takes nothing", tier.Tier)
			}
		}
	})
}

func TestARefusedStartIsAStartAndAFailure(t *testing.T) {
	inBed(t, func(b *bed) {
		b.has(40)
		b.act("coder", "start", "")
		b.mustCount("too large", "coder", "operator 1; failed:refused 1")
	})
}

func TestGivingWayIsAReasonOfItsOwn(t *testing.T) {
	inBed(t, func(b *bed) {
		b.has(75)
		mustDone(t, b.act("orch", "start", "b"))
		b.after(10 * time.Minute)
		id, err := b.Act(context.Background(), "coder", api.TierRequest{Action: "start", Evict: true})
		if err != nil {
			t.Fatal(err)
		}
		mustDone(t, b.wait(id))
		b.mustCount("who gave way", "orch", "operator 1; evicted 1")
		b.mustCount("who came", "coder", "operator 1; ")
	})
}

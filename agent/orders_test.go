package agent

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tierd/tierd/agent/api"
)

func TestTheLastRequestThatGoesTakesItsStartOutOfTheLine(t *testing.T) {
	inBed(t, func(b *bed) {
		b.tight()
		mustDone(t, b.act("coder", "start", ""))
		first, second := b.ensure("orch"), b.ensure("orch") // coder came up just now
		b.after(time.Second)
		first.hangUp(nil)
		b.after(time.Second)
		second.mustWait(t)
		b.mustState("orch", api.Starting)
		second.hangUp(nil)
		b.after(time.Second)
		b.mustState("orch", api.Stopped)
		if got := b.kinds(); !slices.Equal(got, []string{"start done", "ensure aborted"}) {
			t.Errorf("the changes: %q", got)
		}
		b.aged()
		b.mustState("coder", api.Ready) // nobody gives way for nobody
		if len(b.line) > 0 || len(b.wishes) > 0 {
			t.Errorf("left: %d in line, %d wishes", len(b.line), len(b.wishes))
		}
		call := b.ensure("orch") // and who asks later starts it
		b.after(3 * time.Second)
		call.mustBeReady(t)
	})
}

func TestALoadThatHasBegunGoesOnWhenNobodyWaitsForIt(t *testing.T) {
	inBed(t, func(b *bed) {
		call := b.ensure("coder")
		b.after(500 * time.Millisecond)
		call.hangUp(nil)
		b.after(time.Second)
		b.mustState("coder", api.Ready)
		if got := b.kinds(); !slices.Equal(got, []string{"ensure done"}) {
			t.Errorf("the changes: %q", got)
		}
	})
}

func TestWhoAsksWhileAStartIsTakenBackGetsOneOfItsOwn(t *testing.T) {
	inBed(t, func(b *bed) {
		b.tight()
		mustDone(t, b.act("coder", "start", ""))
		first := b.ensure("orch")
		b.after(time.Second)
		first.hangUp(nil)
		b.after(time.Millisecond)
		second := b.ensure("orch")
		second.mustWait(t)
		b.aged()
		second.mustBeReady(t)
		if got := b.kinds(); !slices.Equal(got, []string{"start done", "ensure aborted", "ensure done", "evict done"}) {
			t.Errorf("the changes: %q", got)
		}
	})
}

func TestARequestThatGoesTakesNobodyElsesStartBack(t *testing.T) {
	for _, name := range []string{"begun before", "begun after"} {
		t.Run(name, func(t *testing.T) {
			inBed(t, func(b *bed) {
				b.tight()
				mustDone(t, b.act("coder", "start", ""))
				var call ensureCall
				var id string
				if name == "begun before" {
					id = b.startWith("orch", true)
					call = b.ensure("orch")
				} else {
					call = b.ensure("orch")
					id = b.startWith("orch", false)
				}
				b.after(time.Second)
				call.hangUp(nil)
				mustDone(t, b.wait(id))
				b.mustState("orch", api.Ready)
				if got := b.kinds(); len(got) != 3 { // coder's start, orch's, and coder gives way
					t.Errorf("the changes: %q", got)
				}
			})
		})
	}
}

func TestAnOrderTakesTheStartForRequestsOver(t *testing.T) {
	for name, c := range map[string]struct {
		req     api.TierRequest
		variant string // as which the tier is up in the end
		changes []string
	}{
		"a switch to another variant": {api.TierRequest{Action: "switch", Variant: "b"}, "b", []string{"ensure error", "switch done"}},
		"a switch to the same one":    {api.TierRequest{Action: "switch", Variant: "a"}, "a", []string{"ensure done"}},
		"a restart":                   {api.TierRequest{Action: "restart"}, "a", []string{"ensure error", "restart done"}},
	} {
		t.Run(name, func(t *testing.T) {
			inBed(t, func(b *bed) {
				first := b.ensure("orch")
				b.after(500 * time.Millisecond) // it loads
				id, err := b.Act(context.Background(), "orch", c.req)
				if err != nil {
					t.Fatal(err)
				}
				second := b.ensure("orch")
				mustDone(t, b.wait(id))
				first.mustBeReady(t)
				second.mustBeReady(t)
				if tier := b.tierNow("orch"); tier.Variant != c.variant || tier.State != api.Ready {
					t.Errorf("orch is %s as %s", tier.State, tier.Variant)
				}
				if got := b.kinds(); !slices.Equal(got, c.changes) {
					t.Errorf("the changes: %q, want %q", got, c.changes)
				}
			})
		})
	}
}

func TestRequestsGetTheOldVariantWhenTheOneThatTookOverFails(t *testing.T) {
	inBed(t, func(b *bed) {
		b.systemd.ends[orchB] = 70
		call := b.ensure("orch")
		b.after(500 * time.Millisecond)
		id, err := b.Act(context.Background(), "orch", api.TierRequest{Action: "switch", Variant: "b"})
		if err != nil {
			t.Fatal(err)
		}
		if c := b.wait(id); c.State != "error" {
			t.Fatalf("the switch: %+v", c)
		}
		b.after(5 * time.Second)
		call.mustBeReady(t)
		if tier := b.tierNow("orch"); tier.Variant != "a" || tier.State != api.Ready {
			t.Errorf("orch is %s as %s", tier.State, tier.Variant)
		}
	})
}

func TestAStartThatAnOperatorAskedForTooIsNotTakenOver(t *testing.T) {
	inBed(t, func(b *bed) {
		b.systemd.slow[orchA] = true
		b.ensure("orch")
		b.after(time.Second)
		_, err := b.Act(context.Background(), "orch", api.TierRequest{Action: "start", Variant: "b"})
		mustKind(t, err, api.KindConflict, "orch is up as "+orchA)
		must(b.Act(context.Background(), "orch", api.TierRequest{Action: "start"}))
		_, err = b.Act(context.Background(), "orch", api.TierRequest{Action: "switch", Variant: "b"})
		mustKind(t, err, api.KindConflict, "(start orch for a request) is at work")
	})
}

func TestAReloadRestartsWhatRequestsStartFromAnOlderConfiguration(t *testing.T) {
	inBed(t, func(b *bed) {
		call := b.ensure("coder")
		b.after(500 * time.Millisecond)
		b.change(`memory = "60GiB"`, `memory = "50GiB"`)
		_, id, err := b.Reload(context.Background(), true)
		if err != nil || id == "" {
			t.Fatalf("change %q, %v", id, err)
		}
		mustDone(t, b.wait(id))
		call.mustBeReady(t)
		if tier := b.tierNow("coder"); tier.State != api.Ready || tier.RestartPending {
			t.Errorf("coder is %s, restart pending: %v", tier.State, tier.RestartPending)
		}
	})
}

func TestAStopEndsWhatRequestsWaitFor(t *testing.T) {
	for _, action := range []string{"stop", "down"} {
		t.Run(action, func(t *testing.T) {
			inBed(t, func(b *bed) {
				b.systemd.slow[coder] = true
				call := b.ensure("coder")
				b.after(time.Minute)
				if action == "stop" {
					mustDone(t, b.act("coder", "stop", ""))
				} else {
					id, err := b.Stack(context.Background(), api.StackRequest{Action: "down"})
					must(id, err)
					mustDone(t, b.wait(id))
				}
				mustKind(t, call.is(t), api.KindAborted, "coder was ordered to stop while a request waited for it")
				b.after(time.Hour)
				b.mustState("coder", api.Stopped)
			})
		})
	}
}

func TestASecondOrderToStopEndsWhatWasAskedForSinceTheFirst(t *testing.T) {
	for _, action := range []string{"stop", "down"} {
		t.Run(action, func(t *testing.T) {
			inBed(t, func(b *bed) {
				order := func() {
					if action == "stop" {
						must(b.Act(context.Background(), "coder", api.TierRequest{Action: "stop"}))
					} else {
						must(b.Stack(context.Background(), api.StackRequest{Action: "down"}))
					}
				}
				mustDone(t, b.act("coder", "start", ""))
				order()
				call := b.ensure("coder")
				call.mustWait(t)
				order()
				b.after(time.Minute)
				mustKind(t, call.is(t), api.KindAborted, "ordered to stop")
				b.mustState("coder", api.Stopped)
			})
		})
	}
}

func TestAnAbortOfTheStartIsToldToWhoWaits(t *testing.T) {
	inBed(t, func(b *bed) {
		b.systemd.slow[coder] = true
		call := b.ensure("coder")
		b.after(time.Minute)
		if err := b.AbortChange("1"); err != nil {
			t.Fatal(err)
		}
		b.after(time.Second)
		mustKind(t, call.is(t), api.KindAborted, "start coder for a request was aborted")
		b.mustState("coder", api.Stopped)
	})
}

func TestAModeStartsBesideRequests(t *testing.T) {
	inBed(t, func(b *bed) {
		b.systemd.slow[orchA] = true
		orch, coder := b.ensure("orch"), b.ensure("coder")
		b.after(time.Second)
		id, err := b.Stack(context.Background(), api.StackRequest{Action: "up", Mode: "small"}) // orch/b and util
		if err != nil {
			t.Fatal(err)
		}
		mustDone(t, b.wait(id))
		orch.mustBeReady(t) // as the mode has it
		mustKind(t, coder.is(t), api.KindAborted, "ordered to stop")
		b.mustState("coder", api.Stopped)
		if tier := b.tierNow("orch"); tier.Variant != "b" || tier.State != api.Ready {
			t.Errorf("orch is %s as %s", tier.State, tier.Variant)
		}
	})
}

func TestABootDoesNotMindRequests(t *testing.T) {
	inBed(t, func(b *bed) {
		call := b.ensure("orch")
		id, err := b.Stack(context.Background(), api.StackRequest{Action: "up", Boot: true})
		if err != nil {
			t.Fatal(err)
		}
		call.hangUp(nil) // whatever becomes of the request
		mustDone(t, b.wait(id))
		b.mustState("orch", api.Ready)
		b.mustState("coder", api.Ready)
		if got := b.systemd.did("stop"); len(got) > 0 {
			t.Errorf("it did %q", got)
		}
	})
}

func TestTierdsEndTakesNoStartBack(t *testing.T) {
	inBed(t, func(b *bed) {
		call := b.ensure("coder")
		b.after(100 * time.Millisecond)
		call.hangUp(errEnding) // the server's end, before the agent's
		b.after(0)
		b.end()
		b.run()
		again := b.ensure("coder")
		b.after(2 * time.Second)
		again.mustBeReady(t)
		if got := b.systemd.did("start", "stop"); !slices.Equal(got, []string{"start " + coder}) {
			t.Errorf("it did %q", got)
		}
	})
	inBed(t, func(b *bed) {
		b.tight()
		mustDone(t, b.act("coder", "start", ""))
		b.systemd.did()
		call := b.ensure("orch")
		b.after(100 * time.Millisecond)
		call.hangUp(errEnding) // of one in line
		b.after(time.Second)
		b.mustState("orch", api.Starting)
		if got := b.systemd.did("stop"); len(got) > 0 {
			t.Errorf("it did %q", got)
		}
	})
}

func TestTheAgentsEndAnswersWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, t.TempDir()+"/tiers.toml")
		b.run()
		b.systemd.slow[coder] = true
		call := b.ensure("coder")
		b.after(time.Second)
		b.end()
		synctest.Wait()
		mustKind(t, call.is(t), api.KindUnavailable, "tierd is ending")
		b.systemd.by(func() { b.systemd.halt(coder) })
		b.after(time.Second)
	})
}

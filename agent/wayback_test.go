package agent

import (
	"context"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tierd/tierd/agent/api"
)

func TestATierdThatRestartsInASwitchBesideBringsItToItsEnd(t *testing.T) {
	for rule, c := range map[string]struct {
		before func(b *bed)
		after  func(b *bed)
		serves string
	}{
		"the new one still loads, and the other serves until it is ready": {
			func(b *bed) { b.systemd.load = time.Minute },
			func(b *bed) { b.mustServe("a", api.Ready); b.after(2 * time.Minute) }, "b",
		},
		"the new one does not come up": {
			func(b *bed) { b.systemd.load = time.Minute; b.systemd.ends[orchB] = 70 }, func(b *bed) { b.after(2 * time.Minute) }, "a",
		},
		"both are ready": {
			func(b *bed) { b.systemd.fail["stop"] = context.DeadlineExceeded },
			func(b *bed) { b.systemd.by(func() { clear(b.systemd.fail) }); b.after(2 * time.Minute) }, "b",
		},
	} {
		t.Run(rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t, t.TempDir()+"/tiers.toml")
				b.run()
				mustDone(t, b.act("orch", "start", ""))
				c.before(b)
				b.switches("b", false)
				b.after(3 * time.Second)
				b.end()
				b.run()
				b.after(5 * time.Second)
				c.after(b)
				b.mustServe(c.serves, api.Ready)
				a, two := b.systemd.state(orchA), b.systemd.state(orchB)
				if a == "active" && two == "active" {
					t.Error("both variants are up still")
				}
				b.end()
				for _, wrong := range b.systemd.wrongs {
					t.Error("it must not happen: " + wrong)
				}
			})
		})
	}
}

func TestATierdThatRestartsInASwitchByDrainKnowsTheWayBack(t *testing.T) {
	for rule, c := range map[string]struct {
		ends    int // how the new one ends, and how long that takes
		load    time.Duration
		away    time.Duration // how long no tierd is there
		stopped bool          // by hand meanwhile
		serves  string
	}{
		"the new one comes up":                         {0, time.Minute, time.Second, false, "b"},
		"it does not":                                  {70, time.Minute, time.Second, false, "a"},
		"it did not while no tierd was there":          {70, time.Second, time.Minute, false, "a"},
		"it came up while no tierd was there":          {0, time.Second, time.Minute, false, "b"},
		"somebody stopped it while no tierd was there": {0, time.Minute, time.Second, true, ""},
	} {
		t.Run(rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t, t.TempDir()+"/tiers.toml")
				b.run()
				mustDone(t, b.act("orch", "start", ""))
				b.systemd.load, b.systemd.ends[orchB] = c.load, c.ends
				b.switches("b", true)
				b.after(50 * time.Millisecond) // the old one is ending
				b.end()
				b.shims(nil)
				b.after(c.away)
				if c.stopped {
					b.systemd.by(func() { b.systemd.halt(orchB) })
				}
				b.after(time.Second)
				b.run()
				b.after(3 * time.Minute)
				if c.serves == "" {
					b.mustState("orch", api.Stopped)
				} else {
					b.mustServe(c.serves, api.Ready)
				}
				if left, _ := os.ReadDir(b.runDir + "/" + switchingName); len(left) > 0 {
					t.Errorf("the switch is still noted: %v", left)
				}
				b.end()
				for _, wrong := range b.systemd.wrongs {
					t.Error("it must not happen: " + wrong)
				}
			})
		})
	}
}

func TestTheNoteOfASwitchMayBeBroken(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"orch": "garbage", "coder.new": "{", "util": `{"unit":"a","before":"b"}`} {
		if err := os.MkdirAll(dir+"/"+switchingName, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/"+switchingName+"/"+name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	list, err := loadWaysOut(dir)
	if len(list) != 1 || list["util"] != (wayOut{"a", "b"}) {
		t.Errorf("read %v", list)
	}
	if err == nil || !strings.Contains(err.Error(), "cannot read which switch was at work: orch: ") {
		t.Errorf("it says %v", err)
	}
	if list, err := loadWaysOut(t.TempDir()); err != nil || len(list) > 0 {
		t.Errorf("of none: %v, %v", list, err)
	}
}

// TestATierdThatRestartsInADrainCutsNothing: the shim asks the next tierd, whose first table must not have the gateway cut
// what is in flight, also when the gateway calls only later.
func TestATierdThatRestartsInADrainCutsNothing(t *testing.T) {
	for _, drain := range []bool{false, true} {
		for _, later := range []time.Duration{0, time.Second, 4 * time.Second} {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t, t.TempDir()+"/tiers.toml")
				b.run()
				f := follows(b, true)
				var drained atomic.Bool
				var now atomic.Pointer[Agent]
				now.Store(b.Agent)
				b.systemd.by(func() {
					b.systemd.drain = func(unit string) { // as the shim does: it asks again when it is cut off
						for answered := false; !answered; {
							agent := now.Load()
							agent.Admit(context.Background(), unit, "stop", nil)
							select {
							case <-agent.ended:
								time.Sleep(50 * time.Millisecond)
							default:
								answered = true
							}
						}
						drained.Store(true)
					}
				})
				mustDone(t, b.act("orch", "start", ""))
				b.switches("b", drain)
				b.after(3 * time.Second)
				f.cancel()
				b.end()
				shim := b.systemd.drain
				b.run()
				now.Store(b.Agent)
				b.after(later)
				f = follows(b, true)
				b.systemd.by(func() { b.systemd.drain = shim })
				b.after(10 * time.Second)
				if drained.Load() || strings.Contains(f.took(), "a stopping") {
					t.Errorf("drain %t, a gateway %s later: the old variant is stopped while requests are in flight: %s", drain, later, f.took())
				}
				f.mu.Lock()
				f.busy = false
				f.mu.Unlock()
				b.after(time.Minute)
				b.mustServe("b", api.Ready)
				f.cancel()
				b.end()
			})
		}
	}
}

package agent

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/units"
)

const gib = units.Bytes(1 << 30)

func TestAdmission(t *testing.T) {
	ask := func(b *bed, unit string) api.AdmitAnswer { return b.Admit(context.Background(), unit, "start", nil) }
	t.Run("two that start together do not refuse each other, the third does not fit", func(t *testing.T) {
		inBed(t, func(b *bed) {
			b.systemd.admit = nil
			b.change(`gpu = true`, ``) // else the second waits for its turn
			mustReload(b, false)
			b.systemd.by(func() {
				for _, u := range []string{orchA, coder, util} {
					b.systemd.slow[u] = true
					b.systemd.boot(b.systemd.units[u])
				}
			})
			b.after(time.Second)
			b.has(91)
			if a := ask(b, coder); !a.OK {
				t.Errorf("the first: %+v", a)
			}
			if a := ask(b, orchA); !a.OK {
				t.Errorf("the second: %+v", a)
			}
			if a := ask(b, util); a.OK || a.Class != api.ClassRefused || !strings.Contains(a.Message, "92GiB, and the host has 91GiB") {
				t.Errorf("the third: %+v", a)
			}
			if a := ask(b, coder); !a.OK {
				t.Errorf("the first once more, after systemd started it again: %+v", a)
			}
		})
	})
	t.Run("what a unit held is free again when it has ended", func(t *testing.T) {
		inBed(t, func(b *bed) {
			b.has(75)
			mustDone(t, b.act("coder", "start", ""))
			if a := ask(b, coder); !a.OK {
				t.Fatalf("coder: %+v", a)
			}
			if a := ask(b, orchA); a.OK {
				t.Error("orch was let in beside coder")
			}
			mustDone(t, b.act("coder", "stop", ""))
			if a := ask(b, orchA); !a.OK {
				t.Errorf("orch after coder: %+v", a)
			}
		})
	})
	t.Run("what was let in by an earlier tierd still counts", func(t *testing.T) {
		inBed(t, func(b *bed) {
			b.systemd.by(func() { b.systemd.slow[coder] = true; b.systemd.boot(b.systemd.units[coder]) })
			b.after(time.Second)
			b.end()
			b.has(75)
			b.run()
			b.after(time.Second)
			if a := ask(b, orchA); a.OK {
				t.Error("orch was let in beside a coder that loads")
			}
			if a := ask(b, coder); !a.OK {
				t.Errorf("coder itself: %+v", a)
			}
		})
	})
	t.Run("a unit that is no tier is refused", func(t *testing.T) {
		inBed(t, func(b *bed) {
			if a := ask(b, "tier-stranger.service"); a.OK || !strings.Contains(a.Message, "not a tier") {
				t.Errorf("a stranger: %+v", a)
			}
		})
	})
	t.Run("the definition that runs decides, not the one to come", func(t *testing.T) {
		inBed(t, func(b *bed) {
			mustDone(t, b.act("coder", "start", ""))
			b.change(`"60GiB"`, `"70GiB"`)
			mustReload(b, false)
			b.has(72)
			if a := ask(b, coder); !a.OK {
				t.Errorf("the old definition: %+v", a)
			}
		})
	})
}

func TestAReadingFromBeforeAUnitWasLetInDoesNotEndThat(t *testing.T) {
	a := New(Options{Log: quiet()})
	a.adopted = true
	a.admitted[coder] = admission{asked: 5}
	a.settleAdmissions(5) // begun before, so that it does not show the unit
	if _, there := a.admitted[coder]; !there {
		t.Error("two units could load into the same room")
	}
	a.settleAdmissions(6)
	if _, there := a.admitted[coder]; there {
		t.Error("it has ended since, and keeps its room")
	}
}

package agent

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/guard"
	"github.com/tierd/tierd/units"
)

func TestLinesOfTheFile(t *testing.T) {
	for rule, c := range map[string]struct {
		edit string
		want guard.Lines
	}{
		"left out": {"", guard.Lines{Refuse: 10 << 30, Soft: 8 << 30, Hard: 4 << 30, Emergency: 2 << 30}},
		"by keep_free": {"[host]\nkeep_free = \"4GiB\"",
			guard.Lines{Refuse: 5 << 30, Soft: 4 << 30, Hard: 2 << 30, Emergency: 1 << 30}},
		"as written": {"[guard]\nsoft = \"4GiB\"\nhard = \"1GiB\"\n[host]", guard.Lines{Refuse: 5 << 30, Soft: 4 << 30, Hard: 1 << 30, Emergency: 512 << 20}},
	} {
		t.Run(rule, func(t *testing.T) {
			text := bedConfig
			if c.edit != "" {
				text = strings.Replace(bedConfig, "[host]", c.edit, 1)
			}
			config, faults := units.ParseConfig("tiers.toml", []byte(text))
			if config == nil {
				t.Fatal(faults)
			}
			if got := guardLines(config); got != c.want || got.Check(128<<30) != nil {
				t.Errorf("got %+v (%v)", got, got.Check(128<<30))
			}
		})
	}
}

func TestWhatTheGuardMayDoIsInForceWithAReload(t *testing.T) {
	inBed(t, func(b *bed) {
		g := b.guarded()
		for _, c := range []struct {
			words string
			dry   bool
			fill  uint64
		}{{"dry_run = true", true, 0}, {"enabled = false", true, 0}, {"fill_rate = \"16GiB\"", false, 16 << 30}} {
			b.write(bedConfig + "[guard]\n" + c.words + "\n")
			mustReload(b, false)
			b.after(guardPause)
			if got := g.table(); got.DryRun != c.dry || got.FillRate != c.fill {
				t.Errorf("with %s it is told %+v", c.words, got)
			}
		}
	})
}

func TestWhoIsBusyForTheGuard(t *testing.T) {
	for rule, c := range map[string]struct {
		do   func(b *bed, p *pollingGateway)
		busy bool
		idle time.Duration // about
	}{
		"requests are in flight":         {func(b *bed, _ *pollingGateway) { b.reports(map[string]int{"coder": 1}, nil) }, true, 0},
		"another tier's are none of its": {func(b *bed, _ *pollingGateway) { b.reports(map[string]int{"orch": 1}, nil) }, false, 10 * time.Minute},
		"none, and since when":           {func(b *bed, _ *pollingGateway) { b.reports(nil, map[string]float64{"coder": 90}) }, false, 90 * time.Second},
		"idle for longer than it is up":  {func(b *bed, _ *pollingGateway) { b.reports(nil, map[string]float64{"coder": 9000}) }, false, 10 * time.Minute},
		"the gateway left: nobody else asks": {func(b *bed, p *pollingGateway) {
			b.reports(map[string]int{"coder": 1}, nil)
			p.cancel()
			b.after(5 * time.Second)
		}, false, 5 * time.Second},
		"a gateway that has just come back": {func(b *bed, p *pollingGateway) {
			p.cancel()
			b.after(5 * time.Second)
			b.poller = poll(b)
		}, true, 0},
		"tierd has just begun": {func(b *bed, p *pollingGateway) { p.cancel(); b.end(); b.run() }, true, 0},
		"tierd has been there for a while, and no gateway came": {func(b *bed, p *pollingGateway) {
			p.cancel()
			b.end()
			b.run()
			b.after(unheardOf)
		}, false, 10 * time.Minute},
	} {
		t.Run(rule, func(t *testing.T) {
			inBed(t, func(b *bed) {
				p := poll(b)
				defer p.cancel()
				b.reports(nil, nil)
				mustDone(t, b.act("coder", "start", ""))
				b.after(10 * time.Minute)
				c.do(b, p)
				g := b.guarded()
				is, known := g.tier(coder)
				if !known || is.Busy != c.busy {
					t.Fatalf("it is told %+v, %t", is, known)
				}
				if d := time.Since(is.IdleSince) - c.idle; !c.busy && d.Abs() > 6*time.Second {
					t.Errorf("it is idle for %s, want %s", time.Since(is.IdleSince), c.idle)
				}
				b.leave()
			})
		})
	}
}

func TestTheGuardHearsThatNobodyIsLeftWhoCouldAsk(t *testing.T) {
	for rule, leave := range map[string]func(b *bed, p *pollingGateway) *fakeGuard{
		"the gateway goes": func(b *bed, p *pollingGateway) *fakeGuard {
			g := b.guarded()
			p.cancel()
			return g
		},
		"tierd restarts and no gateway comes": func(b *bed, p *pollingGateway) *fakeGuard {
			p.cancel()
			b.end()
			b.run()
			return b.guarded()
		},
	} {
		t.Run(rule, func(t *testing.T) {
			inBed(t, func(b *bed) {
				p := poll(b)
				mustDone(t, b.act("coder", "start", ""))
				b.reports(map[string]int{"coder": 1}, nil)
				b.after(10 * time.Second)
				g := leave(b, p)
				b.after(time.Second)
				if is, _ := g.tier(coder); !is.Busy {
					t.Errorf("at first it is told %+v", is)
				}
				b.after(unheardOf)
				if is, _ := g.tier(coder); is.Busy || is.IdleSince.IsZero() {
					t.Errorf("and then %+v", is)
				}
			})
		})
	}
}

func TestAReportThatSaysTheSameIsNoNews(t *testing.T) {
	inBed(t, func(b *bed) {
		p := poll(b)
		defer p.cancel()
		g := b.guarded()
		mustDone(t, b.act("coder", "start", ""))
		b.reports(nil, map[string]float64{"coder": 0.2})
		b.after(time.Second)
		n := len(g.tables)
		for i := range 20 {
			b.after(time.Second)
			b.reports(nil, map[string]float64{"coder": 1.2 + float64(i) + float64(i%2)*0.3})
		}
		b.after(time.Second)
		if len(g.tables) != n {
			t.Errorf("%d tables of one tier that is idle all the while", len(g.tables)-n)
		}
	})
}

func TestWhoIsToldToTheGuard(t *testing.T) {
	inBed(t, func(b *bed) {
		b.change("priority = 90", "priority = 90\npinned = true")
		b.change(`start = "manual"`, `start = "demand"`)
		mustReload(b, false)
		g := b.guarded()
		mustDone(t, b.up("full"))
		b.after(time.Second)
		names := []string{}
		for _, is := range g.table().Tiers {
			names = append(names, is.Unit)
			if is.Pinned != (is.Tier == "orch") || is.Demand != (is.Tier == "util") || is.GPU != (is.Tier != "util") || is.Loading || is.Ending {
				t.Errorf("it is told %+v", is)
			}
		}
		if got := strings.Join(names, " "); got != "tier-coder.service tier-orch.service tier-util.service" {
			t.Errorf("it is told of %s", got)
		}

		b.systemd.drain = func(string) { time.Sleep(10 * time.Second) }
		id, err := b.Act(context.Background(), "orch", api.TierRequest{Action: "stop"})
		if err != nil {
			t.Fatal(err)
		}
		b.after(time.Second)
		if is, known := g.tier(orchA); !known || !is.Ending {
			t.Errorf("one on its way out is told as %+v, %t", is, known)
		}
		b.wait(id)
	})
}

func TestAShimThatWaitsHoldsNothingForTheGuard(t *testing.T) {
	inBed(t, func(b *bed) {
		b.tight()
		g := b.guarded()
		mustDone(t, b.act("coder", "start", ""))
		b.startWith("orch", true) // coder came up just now, so that it waits
		b.after(10 * time.Second)
		if is, known := g.tier(orchA); known {
			t.Errorf("it is told %+v: its end would give nothing back", is)
		}
		if _, known := g.tier(coder); !known {
			t.Error("coder is not told")
		}
	})
}

func TestOfARunningTierThatIsInNoFileTheGuardHearsToo(t *testing.T) {
	inBed(t, func(b *bed) {
		g := b.guarded()
		mustDone(t, b.act("util", "start", ""))
		text := bedConfig[:strings.Index(bedConfig, "[tier.util]")] + "[mode.full]\ntiers = [\"orch\", \"coder\"]\n"
		b.write(text)
		mustReload(b, false)
		b.after(time.Second)
		if is, known := g.tier(util); !known || is.Charge != 2<<30 || is.Priority != 0 {
			t.Errorf("it is told %+v, %t", is, known)
		}
	})
}

func BenchmarkGuardTable(b *testing.B) {
	bd := newBed(b, b.TempDir()+"/tiers.toml")
	config, faults := units.ParseConfig("tiers.toml", []byte(bedConfig))
	if config == nil {
		b.Fatal(faults)
	}
	plan, _ := units.MakePlan(config, units.Host{MemTotal: 125 << 30, SystemdVersion: 262})
	a := New(Options{Systemd: bd.systemd, Log: quiet()})
	a.plan, a.observations, a.guard.link = plan, 1, &guardLink{}
	for _, u := range plan.Units {
		a.seen[u.Name] = UnitStatus{Name: u.Name, Tier: u.Tier, ActiveState: "active", Hash: u.Hash, Since: time.Now()}
	}
	b.ReportAllocs()
	for b.Loop() {
		a.orderGuard()
	}
}

package agent

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/tierd/tierd/agent/api"
)

// restModel is what a test knows of coder's rest by the rules alone.
type restModel struct {
	mu     sync.Mutex
	rest   rest
	free   uint64    // GiB
	since  time.Time // of free
	before uint64
	wrongs []string
}

// begins is a start of coder that nobody ordered.
func (m *restModel) begins() {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	wrong := func(format string, args ...any) { m.wrongs = append(m.wrongs, fmt.Sprintf(format, args...)) }
	if len(m.rest.Stops) == 0 || m.rest.Over {
		return
	}
	switch {
	case m.rest.Down:
		wrong("it is to stay down, and is started")
	case now.Before(m.rest.Until):
		wrong("it is started %s before its rest is over", m.rest.Until.Sub(now))
	}
	free := m.free
	if now.Sub(m.since) <= returnLook+time.Second { // the last look may be from before
		free = max(free, m.before)
	}
	if free <= 60+10 {
		wrong("it is started with %d GiB available", free)
	}
	m.rest.Over = true
}

// TestNoTierIsStartedBeforeItsRestIsOver lets the guard stop a tier again and again, while requests come, memory comes and goes, and
// tierd and the guard restart: without an order it begins only once it has rested and there is room.
func TestNoTierIsStartedBeforeItsRestIsOver(t *testing.T) {
	what := rapid.SampledFrom([]string{"guard asks", "guard asks", "guard kills", "request", "request", "free", "short", "enough", "tierd restarts", "guard restarts", "wait", "wait", "order"})
	wait := rapid.SampledFrom([]time.Duration{0, time.Second, 50 * time.Second, 70 * time.Second, 4 * time.Minute, 16 * time.Minute, 70 * time.Minute})
	size := rapid.SampledFrom([]uint64{20, 69, 70, 71, 120})
	type deed struct {
		what string
		wait time.Duration
		size uint64
	}
	rapid.Check(t, func(r *rapid.T) {
		deeds := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) deed { return deed{what.Draw(t, "what"), wait.Draw(t, "wait"), size.Draw(t, "GiB")} }), 1, 20).Draw(r, "deeds")
		m := &restModel{free: 120, before: 120}
		synctest.Test(t, func(t *testing.T) {
			b := newBed(t, filepath.Join(t.TempDir(), "tiers.toml"))
			run := func() *fakeGuard {
				b.run()
				admit := b.Agent
				b.shims(func(ctx context.Context, unit string) api.AdmitAnswer {
					m.begins()
					return admit.Admit(ctx, unit, "start", nil)
				})
				return b.guarded()
			}
			g := run()
			mustDone(t, b.act("coder", "start", ""))
			for _, d := range deeds {
				switch d.what {
				case "guard asks", "guard kills":
					if b.systemd.state(coder) != "active" {
						break
					}
					m.mu.Lock()
					m.rest = m.rest.again(coder, "", time.Now())
					m.mu.Unlock()
					if d.what == "guard asks" {
						g.tells("ask", coder, gaveWay)
						b.systemd.press(coder)
					} else {
						b.systemd.by(func() { b.systemd.again[coder] = d.size > 70 })
						g.tells("kill", coder, gaveWay)
						b.systemd.slay(coder)
					}
					b.after(time.Second)
				case "request":
					b.calls = append(b.calls, b.ensure("coder"))
				case "free":
					m.mu.Lock()
					m.before, m.free, m.since = m.free, d.size, time.Now()
					m.mu.Unlock()
					b.free(d.size)
					b.after(returnLook + 2*time.Second)
				case "short":
					g.tells("refuse", "", "short")
				case "enough":
					g.tells("allow", "", "enough")
				case "tierd restarts":
					b.end()
					g = run()
				case "guard restarts":
					g.hangUp()
					g = b.guarded()
				case "order":
					m.mu.Lock()
					m.rest = rest{}
					m.mu.Unlock()
					_, _ = b.Act(context.Background(), "coder", api.TierRequest{Action: "start"})
				}
				b.after(d.wait)
			}
			for _, c := range b.calls {
				c.hangUp(nil)
			}
			b.after(time.Second)
			b.end()
		})
		if len(m.wrongs) > 0 {
			r.Fatalf("%q", m.wrongs)
		}
	})
}

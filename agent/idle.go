package agent

import (
	"fmt"
	"strings"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/units"
)

// idleSince is since when a tier that is up has had no request; zero when it has one, or when nobody can tell: the gateway
// is away, or has not said anything since it came. What it does not know of counts from when it came.
func (a *Agent) idleSince(tier string) time.Time {
	unit, g, now := a.shownUnit(tier), a.gateway, time.Now()
	s, u := a.seen[unit], a.use[tier]
	if a.states[unit].State != api.Ready || !g.connected(now) || g.reported.IsZero() || g.reported.Before(g.since) ||
		u.inFlight > 0 || a.wishes[tier] != nil {
		return time.Time{}
	}
	last := u.ended
	if last.IsZero() {
		last = g.since
	}
	if last.Before(s.Since) {
		return s.Since // idle it is at most for as long as it is up
	}
	return last
}

// stopsAt is when an idle tier is stopped; zero when it is not.
func (a *Agent) stopsAt(t units.Tier) time.Time {
	since := a.idleSince(t.Name)
	if t.IdleStop == 0 || since.IsZero() || a.conflict(t.Name) != nil {
		return time.Time{}
	}
	at := since.Add(t.IdleStop)
	if after := a.idleAfter[t.Name]; after.After(at) {
		return after
	}
	return at
}

// stopIdle stops the tiers that have been idle for long enough, and says when the next one will have been. A request that
// comes meanwhile is held by the gateway, and its wish waits for the stop.
func (a *Agent) stopIdle() (next time.Time) {
	if a.plan == nil || a.systemdErr != nil || a.observations == 0 || a.ctx.Err() != nil {
		return time.Time{}
	}
	for _, t := range a.plan.Config.Tiers {
		at := a.stopsAt(t)
		if at.IsZero() || at.After(time.Now()) {
			next = sooner(next, at)
			continue
		}
		unit, span := a.shownUnit(t.Name), shortly(t.IdleStop)
		a.gave[unit] = fmt.Sprintf("stopped after %s without a request", span)
		a.opts.Log.Info("stopped for idleness", "tier", t.Name, "unit", unit, "idle_stop", t.IdleStop)
		a.begin("idle", fmt.Sprintf("stop %s after %s without a request", t.Name, span), "idle "+t.Name, []string{t.Name},
			[]job{{op: opStop, tier: t.Name, unit: unit}}, nil)
	}
	return next
}

// idleStopped notes the end of such a stop. One that failed is tried again, but not at once.
func (a *Agent) idleStopped(c *change) {
	if c.Err == nil {
		return
	}
	delete(a.gave, c.tasks[0].unit)
	a.idleAfter[c.tasks[0].tier] = time.Now().Add(resync)
}

// shortly is a duration without the parts that are zero: "20m", not "20m0s".
func shortly(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

package agent

import (
	"context"
	"slices"
	"time"

	"github.com/tierd/tierd/agent/api"
)

// drain is a unit on its way out whose requests may finish.
type drain struct {
	begun uint64        // observations begun by then
	over  bool          // no request is in flight, or the time for them is up
	done  chan struct{} // closed when over
}

func (d *drain) state() api.State {
	if d.over {
		return api.Stopping
	}
	return api.Draining
}

// drainUnit tells the gateway through the table that a unit takes no new request, and returns when those in flight have
// ended, when their time is up, or at once when no gateway is there.
func (a *Agent) drainUnit(ctx context.Context, unit string) api.AdmitAnswer {
	var limit time.Duration
	d, err := inLoop(ctx, a, func() (*drain, error) {
		limit = a.drainLimit(unit)
		return a.beginDrain(unit), nil
	})
	if err != nil {
		return api.AdmitAnswer{Message: "tierd cannot wait for the requests: " + err.Error()}
	}
	end := time.NewTimer(limit)
	defer end.Stop()
	look := time.NewTicker(gatewayGrace)
	defer look.Stop()
	for {
		select {
		case <-d.done:
			return api.AdmitAnswer{OK: true}
		case <-look.C:
			_, err = inLoop(ctx, a, func() (bool, error) { a.checkDrains(); return true, nil })
			if err != nil {
				return api.AdmitAnswer{OK: true, Message: "tierd ended while requests were in flight"}
			}
		case <-end.C:
			_, _ = inLoop(ctx, a, func() (bool, error) { a.endDrain(unit, d); return true, nil })
			return api.AdmitAnswer{OK: true, Message: "requests were still in flight after " + limit.String()}
		case <-ctx.Done():
			return api.AdmitAnswer{OK: true, Message: ctx.Err().Error()}
		}
	}
}

func (a *Agent) drainLimit(unit string) time.Duration {
	if a.plan != nil {
		if t, ok := a.plan.Config.Tier(a.tierOf(unit)); ok {
			return a.plan.Config.DrainOf(t)
		}
		return a.plan.Config.Gateway.Drain
	}
	return defaultDrain
}

// beginDrain joins a drain of the unit that is at work, since a shim may ask twice.
func (a *Agent) beginDrain(unit string) *drain {
	if d := a.drains[unit]; d != nil {
		return d
	}
	d := &drain{begun: a.asked, done: make(chan struct{})}
	a.drains[unit] = d
	a.derive()
	a.publish()
	a.checkDrains()
	return d
}

// checkDrains ends the drains of which the gateway knows nothing more, or that it does not route to.
func (a *Agent) checkDrains() {
	for unit, d := range a.drains {
		drains := func(r api.Route) bool { return r.Unit == unit && r.State == api.Draining }
		routed := slices.ContainsFunc(a.table.Routes, drains) || slices.ContainsFunc(a.table.Leaving, drains)
		if !routed || a.gatewayAway() || slices.Contains(a.gateway.report.Drained, unit) {
			a.endDrain(unit, d)
		}
	}
}

func (a *Agent) endDrain(unit string, d *drain) {
	if d.over {
		return
	}
	d.over = true
	close(d.done)
	if a.drains[unit] == d {
		a.derive()
	}
}

// reapDrains forgets the drains of units that have ended, as a reading shows that began after them.
func (a *Agent) reapDrains() {
	for unit, d := range a.drains {
		if s := a.seen[unit]; a.observations > d.begun && (!running(s) || s.ActiveState == "activating") {
			delete(a.drains, unit)
			if !d.over {
				d.over = true
				close(d.done)
			}
		}
	}
}

// gatewayAway tells whether no gateway is there. One that has not called since tierd began is given a moment to.
func (a *Agent) gatewayAway() bool {
	now := time.Now()
	heard := a.gateway.polls > 0 || !a.gateway.last.IsZero()
	return !a.gateway.connected(now) && (heard || now.Sub(a.started) >= unheardOf)
}

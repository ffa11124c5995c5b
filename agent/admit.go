package agent

import (
	"context"
	"strings"
	"time"

	"github.com/tierd/tierd/agent/api"
)

// admission is a yes that was given. It counts until the unit is seen to have ended.
type admission struct {
	asked uint64    // observations begun by then: an older one does not show the unit's start
	at    time.Time // when; zero: by an earlier tierd
}

// admitLimit bounds how long a shim waits for the agent to be ready to judge.
const admitLimit = 10 * time.Second

// waitWord is how often a shim that waits hears why, so that it knows that tierd is there.
const waitWord = 5 * time.Second

// Admit answers the shim of a unit: "start" asks whether it may load, "stop" waits until no request of its is in flight. A
// start may have to wait for its turn or for others to give way; waits, unless nil, is told why, again every few seconds.
func (a *Agent) Admit(ctx context.Context, unit, op string, waits func(reason string)) api.AdmitAnswer {
	if op == "stop" {
		return a.drainUnit(ctx, unit)
	}
	if waits == nil {
		waits = func(string) {}
	}
	first, cancel := context.WithTimeout(ctx, admitLimit)
	defer cancel()
	if reason := a.staleModel(first, unit); reason != "" {
		return api.AdmitAnswer{Class: api.ClassModel, Message: reason}
	}
	x, err := inLoop(first, a, func() (*asker, error) {
		if a.unit(unit).Name == "" && a.plan != nil && a.seen[unit].Tier == "" {
			return nil, nil
		}
		return a.enter(unit), nil
	})
	switch {
	case err != nil:
		return cannotJudge(err)
	case x == nil:
		return api.AdmitAnswer{Class: api.ClassRefused, Message: unit + " is not a tier of tiers.toml"}
	}
	return a.waitInLine(ctx, x, waits)
}

func cannotJudge(err error) api.AdmitAnswer {
	return api.AdmitAnswer{Class: api.ClassRefused, Message: "tierd cannot judge now: " + err.Error()}
}

func (a *Agent) waitInLine(ctx context.Context, x *asker, waits func(string)) api.AdmitAnswer {
	again := time.NewTicker(waitWord)
	defer again.Stop()
	for {
		words, news := "", (chan struct{})(nil)
		if _, err := inLoop(ctx, a, func() (bool, error) { words, news = x.words, x.news; return true, nil }); err != nil {
			select { // it may have been answered while the loop ended
			case answer := <-x.answer:
				return answer
			default:
			}
			a.post(func() { a.leave(x) })
			return cannotJudge(err)
		}
		if words != "" {
			waits(words)
		}
		select {
		case answer := <-x.answer:
			return answer
		case <-news:
		case <-again.C:
		case <-a.ended:
			return cannotJudge(errEnded)
		case <-ctx.Done():
			a.post(func() { a.leave(x) })
			return cannotJudge(ctx.Err())
		}
	}
}

// settleAdmissions takes back what was given to units that have ended since, and notes at the first reading who was let
// in by an earlier tierd.
func (a *Agent) settleAdmissions(number uint64) {
	for name, given := range a.admitted {
		if !running(a.seen[name]) && number > given.asked {
			delete(a.admitted, name)
		}
	}
	if a.adopted {
		return
	}
	a.adopted = true
	for name, s := range a.seen {
		if s.Tier != "" && running(s) {
			a.admitted[name] = admission{asked: number}
		}
	}
	for _, r := range a.guard.rests {
		s := a.seen[r.Unit]
		if !r.Over && (!running(s) || strings.Contains(s.SubState, "auto-restart")) {
			a.guard.pressed[r.Unit] = true // it may have ended by the guard's signal while nobody was here, and be about to come back
		}
	}
}

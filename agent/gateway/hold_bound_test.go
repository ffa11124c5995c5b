package gateway

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tierd/tierd/agent/api"
)

func TestTheHoldHasABound(t *testing.T) {
	for rule, c := range map[string]struct {
		state      api.State
		readyIn    time.Duration
		err        error
		says       string
		retryAfter int
	}{
		"a load of which nothing is known":                 {api.Starting, 0, nil, `"a" is starting`, retryStarting},
		"a long load: five attempts last until it is done": {api.Starting, 240*time.Second + 10*time.Minute, nil, "waited 4m0s", 120},
		"a load that is nearly done":                       {api.Starting, 241 * time.Second, nil, "starting", retryBroken},
		"a load that takes longer than others did":         {api.Starting, 200 * time.Second, nil, "starting", retryStarting},
		"one that leaves":                                  {api.Draining, 0, nil, `"a" is draining`, retryLeaving},
		"one that another one follows":                     {api.Draining, 240*time.Second + 10*time.Minute, nil, "draining", 120},
		"one that a quick one follows":                     {api.Stopping, 241 * time.Second, nil, "stopping", retryLeaving},
		"tierd is away": {api.Stopped, 0, &api.Error{Kind: api.KindUnavailable, Message: "cannot reach tierd at /x"},
			"as long as it may: cannot reach tierd at /x", retryAbsent},
		"tierd's words are no prompt": {api.Stopped, 0, errors.New("context deadline exceeded"), "as long as it may: tierd does not answer", retryAbsent},
	} {
		inHold(t, func(r *api.Route) { r.State, r.Hold = c.state, 240 }, func(r *holdRig) {
			r.tierd.ensure = func(ctx context.Context, _ string) error {
				if c.err == nil {
					<-ctx.Done()
				}
				return c.err
			}
			if c.readyIn > 0 {
				r.set(func(r *api.Route) { r.ReadyBy = time.Now().Add(c.readyIn) })
			}
			one := r.ask(Ask{})
			f := r.failed(one)
			if one.took != 240*time.Second || f.status != 503 || f.retryAfter != c.retryAfter || !strings.Contains(f.message, c.says) {
				r.t.Errorf("%s: after %v %d, again in %d s: %s", rule, one.took, f.status, f.retryAfter, f.message)
			}
			if s := r.stats()["a"]; s.Refused[codeNotReady] != 1 {
				r.t.Errorf("%s: counted %+v", rule, s)
			}
		})
	}
}

// OpenCode asks once, and five times more after the time that it is told to wait, as version 1.18 does.
func TestFiveMoreAttemptsOutlastALoad(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		began := time.Now()
		r := api.Route{
			Tier: "a", State: api.Starting, Hold: float64(rapid.IntRange(1, 3600).Draw(t, "hold in s")),
			ReadyBy: began.Add(time.Duration(rapid.IntRange(1, 7200).Draw(t, "load in s")) * time.Second),
		}
		hold := time.Duration(r.Hold * float64(time.Second))
		now := began
		for attempt := 0; now.Add(hold).Before(r.ReadyBy); attempt++ {
			if attempt == clientTries {
				t.Fatalf("%v before the end of the load the client gives up", r.ReadyBy.Sub(now.Add(hold)))
			}
			now = now.Add(hold)
			wait := time.Duration(retryLoading(r, now)) * time.Second
			if rest := r.ReadyBy.Sub(now); wait < rest/5 || wait > rest+retryBroken*time.Second {
				t.Fatalf("%v are left, and the client is told to wait %v", rest, wait)
			}
			now = now.Add(wait)
		}
	})
}

func TestTierdsNoEndsTheHoldAtOnce(t *testing.T) {
	for rule, c := range map[string]struct {
		err  *api.Error
		want failure
		says string
	}{
		"no room": {&api.Error{Kind: api.KindBudget, Message: "cannot start tier \"a\": it needs 5GiB", RetryAfter: 11.2},
			failure{status: 503, code: "no_room", retryAfter: 12}, "it needs 5GiB. `tierctl status` says more."},
		"a load that failed": {&api.Error{Kind: api.KindUnit, Message: "the engine died.", Hint: "journalctl -u tier-a.service", RetryAfter: 40},
			failure{status: 503, code: codeNotReady, retryAfter: 40}, "the engine died. Hint: journalctl -u tier-a.service"},
		"a fault of the configuration": {&api.Error{Kind: api.KindConfig, Message: "there is no model"},
			failure{status: 503, code: "tier_blocked", retryAfter: retryAbsent}, "there is no model"},
		"a tier that there is not":       {&api.Error{Kind: api.KindNotFound, Message: "no tier"}, failure{status: 404, code: "model_not_found"}, "no tier"},
		"words that OpenCode looks for":  {&api.Error{Kind: api.KindUnit, Message: "the Context is too large"}, failure{status: 503, code: codeNotReady, retryAfter: retryAbsent}, "now. `tierctl"},
		"one that is started by hand":    {&api.Error{Kind: api.KindConflict, Message: "a is not up", Hint: "tierctl start a"}, failure{status: 503, code: codeNotReady, retryAfter: retryAbsent}, "Hint: tierctl start a"},
		"one that somebody has ended":    {&api.Error{Kind: api.KindAborted, Message: "stopped by root"}, failure{status: 503, code: codeNotReady, retryAfter: retryAbsent}, "root"},
		"a gateway that has no business": {&api.Error{Kind: api.KindForbidden, Message: "not permitted"}, failure{status: 503, code: codeNotReady, retryAfter: retryAbsent}, "permitted"},
	} {
		inHold(t, stopped, func(r *holdRig) {
			r.tierd.ensure = func(context.Context, string) error {
				time.Sleep(3 * time.Second)
				return c.err
			}
			first, second := r.ask(Ask{}), r.ask(Ask{})
			for _, one := range []*asked{first, second} {
				f := r.failed(one)
				if one.took != 3*time.Second || f.status != c.want.status || f.code != c.want.code || f.retryAfter != c.want.retryAfter || !strings.Contains(f.message, c.says) {
					r.t.Errorf("%s: after %v %+v", rule, one.took, f)
				}
			}
			if begun, _ := r.calls(); begun != 1 {
				r.t.Errorf("%s: asked %d times", rule, begun)
			}
			third := r.ask(Ask{}) // the next one asks anew
			r.failed(third)
			if begun, _ := r.calls(); begun != 2 {
				r.t.Errorf("%s: asked %d times", rule, begun)
			}
		})
	}
}

func TestWhoNeedNotWaitIsAnsweredAtOnce(t *testing.T) {
	for rule, c := range map[string]struct {
		edit func(*api.Route)
		ask  Ask
		code string
	}{
		"a blocked tier":                {func(r *api.Route) { r.State, r.Reason = api.Blocked, "no model" }, Ask{}, codeNotReady},
		"a look at a tier's health":     {stopped, Ask{Light: true, Probe: true}, codeNotReady},
		"a route without a hold":        {func(r *api.Route) { r.State, r.Hold = api.Stopped, 0 }, Ask{}, codeNotReady},
		"a tier that there is not":      {func(*api.Route) {}, Ask{Tier: "b"}, "model_not_found"},
		"a gateway that is to stop":     {stopped, Ask{}, "gateway_stopping"},
		"a route without time to queue": {func(r *api.Route) { r.Concurrency, r.Hold = 1, 0 }, Ask{}, "tier_busy"},
	} {
		inHold(t, c.edit, func(r *holdRig) {
			switch c.code {
			case "gateway_stopping":
				r.stop()
			case "tier_busy":
				defer r.ask(Ask{}).lease.Release()
			}
			one := r.ask(c.ask)
			if !one.over() || r.failed(one).code != c.code {
				r.t.Errorf("%s: %+v", rule, one)
			}
			if begun, _ := r.calls(); begun != 0 {
				r.t.Errorf("%s: tierd was asked", rule)
			}
		})
	}
}

func TestATierThatGetsBlockedOrGoesEndsItsHolds(t *testing.T) {
	inHold(t, stopped, func(r *holdRig) {
		one := r.ask(Ask{})
		r.set(func(r *api.Route) { r.State, r.Reason = api.Blocked, "its model is gone" })
		if f := r.failed(one); !strings.Contains(f.message, "its model is gone") {
			r.t.Errorf("got %q", f.message)
		}
		r.set(stopped)
		one = r.ask(Ask{})
		r.routes[0].Tier = "b"
		r.set(func(*api.Route) {})
		if f := r.failed(one); f.status != 404 {
			r.t.Errorf("got %+v", f)
		}
		if begun, ended := r.calls(); begun != ended {
			r.t.Errorf("%d of %d calls go on", begun-ended, begun)
		}
	})
}

func TestAStopAnswersAllThatWait(t *testing.T) {
	inHold(t, stopped, func(r *holdRig) {
		one := r.ask(Ask{})
		r.stop()
		if f := r.failed(one); f.code != "gateway_stopping" || f.retryAfter != retryBroken {
			r.t.Errorf("got %+v", f)
		}
		r.set(func(r *api.Route) { r.State = api.Ready })
		r.served(r.ask(Ask{})) // what need not wait is served to the end
	})
}

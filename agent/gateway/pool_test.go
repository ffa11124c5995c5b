package gateway

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tierd/tierd/agent/api"
)

// holding starts an engine that sends a first piece of its answer and the rest when it is let go.
func holding(t *testing.T) (e *engine, arrived chan struct{}, letGo chan struct{}) {
	arrived, letGo = make(chan struct{}, 16), make(chan struct{})
	return startEngine(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, "first ")
		w.(http.Flusher).Flush()
		arrived <- struct{}{}
		select {
		case <-letGo:
			io.WriteString(w, "last")
		case <-r.Context().Done():
		}
	}), arrived, letGo
}

// stream begins a request and gives back what reads its answer to the end.
func stream(t *testing.T, url string) func() (string, error) {
	t.Helper()
	res, err := http.Post(url, "application/json", strings.NewReader(`{"model":"coder"}`))
	if err != nil {
		t.Fatal(err)
	}
	return func() (string, error) {
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		return string(body), err
	}
}

func drained(unit string) func(api.GatewayReport) bool {
	return func(r api.GatewayReport) bool { return slices.Contains(r.Drained, unit) }
}

func TestADrainingTierFinishesItsRequestsAndTakesNoNewOne(t *testing.T) {
	engine, arrived, letGo := holding(t)
	rig := startRig(t, Config{}, route(t, "coder", engine.socket))
	rest := stream(t, rig.tierURL("coder", "/x"))
	<-arrived
	rig.change(t, "coder", func(r *api.Route) { r.State = api.Draining })
	if res, _ := fetch(t, "POST", rig.tierURL("coder", "/x"), `{}`); res.StatusCode != 503 {
		t.Errorf("a new request got %d", res.StatusCode)
	}
	if n, _, gone := rig.pool.report(); n["coder"] != 1 || len(gone) != 0 {
		t.Errorf("in flight %v, drained %v", n, gone)
	}
	close(letGo)
	if body, err := rest(); err != nil || body != "first last" {
		t.Errorf("the request in flight got %q, %v", body, err)
	}
	rig.tierd.report(t, "that the unit is free", drained("tier-coder.service"))
	rig.pool.mu.Lock()
	defer rig.pool.mu.Unlock()
	if n := len(rig.pool.units["tier-coder.service"].conns); n != 0 {
		t.Errorf("%d connections are open to a unit reported as drained", n)
	}
}

func TestADrainHasABound(t *testing.T) {
	engine, arrived, _ := holding(t)
	rig := startRig(t, Config{}, route(t, "coder", engine.socket))
	rest := stream(t, rig.tierURL("coder", "/x"))
	<-arrived
	rig.change(t, "coder", func(r *api.Route) { r.State, r.Drain = api.Draining, 0.05 })
	if body, err := rest(); err == nil {
		t.Errorf("the cut request ended cleanly with %q", body)
	}
	rig.tierd.report(t, "that the unit is free", drained("tier-coder.service"))
}

func TestAnIdleTierIsDrainedAtOnce(t *testing.T) {
	engine := echoing(t, "coder")
	rig := startRig(t, Config{}, route(t, "coder", engine.socket), route(t, "never-used", "/nowhere"))
	fetch(t, "POST", rig.tierURL("coder", "/x"), `{}`)
	rig.change(t, "coder", func(r *api.Route) { r.State = api.Draining })
	rig.tierd.report(t, "that the unit is free", drained("tier-coder.service"))
	rig.change(t, "never-used", func(r *api.Route) { r.State = api.Draining })
	rig.tierd.report(t, "that a unit is free that never had a request", drained("tier-never-used.service"))
}

func TestADrainThatIsCalledOffLetsTheTierServeOn(t *testing.T) {
	engine, arrived, letGo := holding(t)
	rig := startRig(t, Config{}, route(t, "coder", engine.socket))
	rest := stream(t, rig.tierURL("coder", "/x"))
	<-arrived
	rig.change(t, "coder", func(r *api.Route) { r.State, r.Drain = api.Draining, 3600 })
	rig.change(t, "coder", func(r *api.Route) { r.State = api.Ready })
	second := stream(t, rig.tierURL("coder", "/x"))
	close(letGo)
	for _, rest := range []func() (string, error){rest, second} {
		if body, err := rest(); err != nil || body != "first last" {
			t.Errorf("got %q, %v", body, err)
		}
	}
}

func TestATierThatStopsIsCutOffAtOnce(t *testing.T) {
	for _, state := range []api.State{api.Stopping, api.Stopped, api.Failed, api.Starting} {
		engine, arrived, _ := holding(t)
		rig := startRig(t, Config{}, route(t, "coder", engine.socket))
		rest := stream(t, rig.tierURL("coder", "/x"))
		<-arrived
		rig.change(t, "coder", func(r *api.Route) { r.State = state })
		if body, err := rest(); err == nil {
			t.Errorf("%s: ended cleanly with %q", state, body)
		}
	}
}

func TestARequestCutBeforeItsAnswerIsToldWhy(t *testing.T) {
	arrived := make(chan struct{})
	engine := startEngine(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		close(arrived)
		<-r.Context().Done()
	})
	rig := startRig(t, Config{}, route(t, "coder", engine.socket))
	go func() {
		<-arrived
		rig.change(t, "coder", func(r *api.Route) { r.State = api.Stopping })
	}()
	res, body := fetch(t, "POST", rig.tierURL("coder", "/x"), `{}`)
	if message := errorMessage(t, body); res.StatusCode != 503 || !strings.Contains(message, "stopped before it answered") || res.Header.Get("Retry-After") == "" {
		t.Errorf("%d %q", res.StatusCode, message)
	}
}

func TestASwitchSendsNewRequestsToTheNewVariant(t *testing.T) {
	old, arrived, _ := holding(t)
	rig := startRig(t, Config{}, route(t, "orch", old.socket))
	rest := stream(t, rig.tierURL("orch", "/x"))
	<-arrived
	next := echoing(t, "llama")
	rig.change(t, "orch", func(r *api.Route) { r.Unit, r.Socket, r.Variant = "tier-orch-llama.service", next.socket, "llama" })
	if _, err := rest(); err == nil {
		t.Error("a request to a unit that the table no longer names ended cleanly")
	}
	if res, _ := fetch(t, "POST", rig.tierURL("orch", "/x"), `{}`); res.Header.Get("X-Engine") != "llama" {
		t.Errorf("got %d", res.StatusCode)
	}
}

func testPool(t *testing.T, routes ...api.Route) (*pool, *int) {
	changes := new(int)
	p := newPool(slog.New(slog.NewTextHandler(t.Output(), nil)), func() { *changes++ }, func() {})
	p.apply(routes)
	return p, changes
}

func TestTheDrainBoundStartsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := api.Route{Tier: "a", Unit: "tier-a.service", State: api.Ready, Drain: 10}
		p, _ := testPool(t, r)
		lease, err := p.Acquire(t.Context(), Ask{Tier: "a"})
		if err != nil {
			t.Fatal(err)
		}
		r.State = api.Draining
		p.apply([]api.Route{r})
		time.Sleep(9 * time.Second)
		p.apply([]api.Route{r}) // a table with news of another tier
		if lease.gone() {
			t.Fatal("cut before the bound")
		}
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		if !lease.gone() {
			t.Fatal("not cut after the bound")
		}
		if _, err := lease.connect(t.Context(), false); !errors.Is(err, errTierGone) {
			t.Errorf("it may still connect: %v", err)
		}
		lease.Release()
		if _, _, gone := p.report(); !slices.Equal(gone, []string{"tier-a.service"}) {
			t.Errorf("drained %v", gone)
		}
	})
}

func TestAUnitIsNotFreeWhileAPredecessorServesIt(t *testing.T) {
	r := api.Route{Tier: "a", Unit: "tier-a.service", State: api.Draining}
	p, changes := testPool(t, r)
	p.setElder(map[string]int{"tier-a.service": 2})
	if n, _, gone := p.report(); n["a"] != 2 || len(gone) != 0 {
		t.Errorf("in flight %v, drained %v", n, gone)
	}
	before := *changes
	p.setElder(nil)
	if _, _, gone := p.report(); len(gone) != 1 || *changes == before {
		t.Errorf("drained %v, %d changes", gone, *changes-before)
	}
}

func TestALoadIsTheSumOverGenerations(t *testing.T) {
	p, changes := testPool(t, api.Route{Tier: "a", Unit: "tier-a.service", State: api.Ready})
	p.setElder(map[string]int{"tier-a.service": 1, "tier-b.service": 2})
	p.setHeir()
	before := *changes
	lease, err := p.Acquire(t.Context(), Ask{Tier: "a"})
	if err != nil {
		t.Fatal(err)
	}
	if load := p.load(); load["tier-a.service"] != 2 || load["tier-b.service"] != 2 {
		t.Errorf("load %v", load)
	}
	lease.Release()
	if load := p.load(); load["tier-a.service"] != 1 || *changes != before+2 {
		t.Errorf("load %v after %d changes", load, *changes-before)
	}
}

func TestAnUnknownTierHasNoLease(t *testing.T) {
	p, _ := testPool(t)
	var f *failure
	if _, err := p.Acquire(t.Context(), Ask{Tier: "a"}); !errors.As(err, &f) || f.status != 404 {
		t.Errorf("got %v", err)
	}
}

func TestTheReportSaysForHowLongATierIsIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, changes := testPool(t, api.Route{Tier: "a", Unit: "tier-a.service", State: api.Ready})
		active := 0
		p.active = func() { active++ }
		if n, idle, _ := p.report(); len(n) != 0 || len(idle) != 0 {
			t.Errorf("before the first request: %v, %v", n, idle)
		}
		first, err := p.Acquire(t.Context(), Ask{Tier: "a"})
		if err != nil {
			t.Fatal(err)
		}
		second, err := p.Acquire(t.Context(), Ask{Tier: "a"})
		if err != nil {
			t.Fatal(err)
		}
		first.Release()
		if n, idle, _ := p.report(); n["a"] != 1 || len(idle) != 0 {
			t.Errorf("with one request: %v, %v", n, idle)
		}
		second.Release()
		time.Sleep(5 * time.Second)
		if n, idle, _ := p.report(); len(n) != 0 || idle["a"] != 5 {
			t.Errorf("after it: %v, %v", n, idle)
		}
		if *changes != 1 || active != 1 {
			t.Errorf("told %d times that it is busy, and %d times that it is idle", *changes, active)
		}
		p.apply(nil)
		if _, idle, _ := p.report(); len(idle) != 0 {
			t.Errorf("of a tier that is gone: %v", idle)
		}
	})
}

// A monitor that looks every few seconds must not keep a tier from its idle stop, nor from giving way.
func TestALookAtAnEngineIsNoUseOfItsTier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, changes := testPool(t, api.Route{Tier: "a", Unit: "tier-a.service", State: api.Ready, Drain: 30})
		active := 0
		p.active = func() { active++ }
		acquire := func(ask Ask) *Lease {
			ask.Tier = "a"
			lease, err := p.Acquire(t.Context(), ask)
			if err != nil {
				t.Fatal(err)
			}
			return lease
		}
		acquire(Ask{}).Release()
		*changes, active = 0, 0
		for range 10 {
			time.Sleep(5 * time.Second)
			look := acquire(Ask{Light: true, Probe: true})
			if n, idle, _ := p.report(); len(n) != 0 || idle["a"] == 0 {
				t.Errorf("during a look: %v, %v", n, idle)
			}
			look.Release()
		}
		if _, idle, _ := p.report(); idle["a"] != 50 || *changes != 0 || active != 0 {
			t.Errorf("after 50 s of looks: %v, told %d and %d times", idle, *changes, active)
		}
		// The engine does not end while a look is under way: so it is not called drained before.
		look := acquire(Ask{Light: true, Probe: true})
		p.apply([]api.Route{{Tier: "a", Unit: "tier-a.service", State: api.Draining, Drain: 30}})
		if _, _, drained := p.report(); len(drained) != 0 {
			t.Errorf("drained with a look under way: %v", drained)
		}
		look.Release()
		if _, _, drained := p.report(); len(drained) != 1 || *changes == 0 {
			t.Errorf("after it: %v, told %d times", drained, *changes)
		}
	})
}

func TestTierdHearsAtOnceOfTheFirstRequestOfAnIdleTier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		changed, active := 0, 0
		p := newPool(slog.New(slog.DiscardHandler), func() { changed++ }, func() { active++ })
		p.apply([]api.Route{{Tier: "a", Unit: "tier-a.service", State: api.Ready}})
		use := func() {
			lease, err := p.Acquire(t.Context(), Ask{Tier: "a"})
			if err != nil {
				t.Fatal(err)
			}
			lease.Release()
		}
		use()
		for range 10 { // one after the other: a report a second will do
			use()
		}
		if changed != 1 || active != 21 {
			t.Errorf("told at once %d times, and %d times in a while", changed, active)
		}
		time.Sleep(time.Hour)
		if use(); changed != 2 {
			t.Errorf("after an hour told at once %d times", changed)
		}
	})
}

package gateway

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/tierd/tierd/agent/api"
)

// switched moves the orchestrator's route to another unit; the one before leaves.
func (r *rig) switched(t *testing.T, variant, socket string, edits ...func(*api.Route)) {
	t.Helper()
	r.table.Leaving = nil
	for _, route := range r.table.Routes {
		route.State = api.Draining
		for _, edit := range edits {
			edit(&route)
		}
		r.table.Leaving = append(r.table.Leaving, route)
	}
	r.change(t, "orch", func(r *api.Route) { r.Unit, r.Socket, r.Variant = "tier-orch-"+variant+".service", socket, variant })
}

func TestTheVariantThatLeavesFinishesItsRequests(t *testing.T) {
	old, arrived, letGo := holding(t)
	rig := startRig(t, Config{}, route(t, "orch", old.socket))
	rest := stream(t, rig.tierURL("orch", "/x"))
	<-arrived
	next := echoing(t, "llama")
	rig.switched(t, "llama", next.socket)
	if res, _ := fetch(t, "POST", rig.tierURL("orch", "/x"), `{}`); res.Header.Get("X-Engine") != "llama" {
		t.Errorf("a new request got %d by %q", res.StatusCode, res.Header.Get("X-Engine"))
	}
	rig.tierd.report(t, "that one request is on the unit that leaves", func(r api.GatewayReport) bool {
		return r.Leaving["tier-orch.service"] == 1 && r.InFlight["orch"] >= 1 && len(r.Drained) == 0
	})
	close(letGo)
	if body, err := rest(); err != nil || body != "first last" {
		t.Errorf("the request in flight got %q, %v", body, err)
	}
	rig.tierd.report(t, "that the unit is free", drained("tier-orch.service"))
	rig.table.Leaving = nil
	rig.publish(t)
	if n, _, gone := rig.pool.report(); len(gone) > 0 || len(n) > 0 {
		t.Errorf("when it is gone: in flight %v, drained %v", n, gone)
	}
}

func TestTheVariantThatLeavesIsCutAtItsBoundOrWhenItStops(t *testing.T) {
	for rule, edit := range map[string]func(*api.Route){
		"the bound":      func(r *api.Route) { r.Drain = 0.05 },
		"it is stopping": func(r *api.Route) { r.State = api.Stopping },
	} {
		old, arrived, _ := holding(t)
		rig := startRig(t, Config{}, route(t, "orch", old.socket))
		rest := stream(t, rig.tierURL("orch", "/x"))
		<-arrived
		rig.switched(t, "llama", echoing(t, "llama").socket, edit)
		if body, err := rest(); err == nil {
			t.Errorf("%s: ended cleanly with %q", rule, body)
		}
	}
}

func TestASwitchThatIsTakenBackLetsTheOldVariantServeOn(t *testing.T) {
	old, arrived, letGo := holding(t)
	rig := startRig(t, Config{}, route(t, "orch", old.socket))
	rest := stream(t, rig.tierURL("orch", "/x"))
	<-arrived
	before := slices.Clone(rig.table.Routes)
	rig.switched(t, "llama", echoing(t, "llama").socket)
	rig.table.Routes, rig.table.Leaving = before, nil
	rig.publish(t)
	second := stream(t, rig.tierURL("orch", "/x"))
	close(letGo)
	for _, rest := range []func() (string, error){rest, second} {
		if body, err := rest(); err != nil || body != "first last" {
			t.Errorf("got %q, %v", body, err)
		}
	}
}

func TestARequestThatGotItsLeaseJustBeforeADrainStillConnects(t *testing.T) {
	engine := echoing(t, "old")
	r := api.Route{Tier: "a", Unit: "tier-a.service", State: api.Ready, Socket: engine.socket, Drain: 10}
	p := newPool(slog.New(slog.DiscardHandler), func() {}, func() {})
	p.apply([]api.Route{r})
	lease, err := p.Acquire(t.Context(), Ask{Tier: "a"})
	if err != nil {
		t.Fatal(err)
	}
	next := api.Route{Tier: "a", Unit: "tier-a-b.service", State: api.Ready}
	r.State = api.Draining
	p.apply([]api.Route{next}, r)
	c, err := lease.connect(t.Context(), false)
	if err != nil {
		t.Fatalf("it was refused: %v", err)
	}
	lease.keep(c)
	lease.Release()
	if _, _, gone := p.report(); !slices.Equal(gone, []string{"tier-a.service"}) {
		t.Errorf("drained %v", gone)
	}
}

// TestNoRequestOfALeavingUnitIsLost moves a tier between two units at random, as a table may, while requests come and go. A
// request is cut only when its unit stops, leaves the table or reaches the bound; the counts are those of the requests.
func TestNoRequestOfALeavingUnitIsLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		steps := rapid.SliceOfN(rapid.SampledFrom([]string{"ask", "ask", "answer", "switch", "gone", "stopping"}), 1, 40).Draw(t, "steps")
		p := newPool(slog.New(slog.DiscardHandler), func() {}, func() {})
		up, leaves := "tier-a.service", ""
		flight := map[string][]*Lease{}
		table := func(state api.State) {
			routes := []api.Route{{Tier: "a", Unit: up, State: api.Ready, Drain: 3600}}
			if leaves == "" {
				p.apply(routes)
				return
			}
			p.apply(routes, api.Route{Tier: "a", Unit: leaves, State: state, Drain: 3600})
		}
		table(api.Draining)
		for _, step := range steps {
			switch step {
			case "ask":
				l, err := p.Acquire(context.Background(), Ask{Tier: "a"})
				if err != nil || l.Route.Unit != up {
					t.Fatalf("%+v, %v", l, err)
				}
				flight[up] = append(flight[up], l)
			case "answer":
				for _, unit := range slices.Sorted(maps.Keys(flight)) {
					if list := flight[unit]; len(list) > 0 {
						list[0].Release()
						flight[unit] = list[1:]
						break
					}
				}
			case "switch":
				if leaves == "" {
					leaves, up = up, map[string]string{"tier-a.service": "tier-a-b.service", "tier-a-b.service": "tier-a.service"}[up]
					table(api.Draining)
				}
			case "gone", "stopping":
				if step == "stopping" {
					table(api.Stopping)
				}
				gone := leaves
				leaves = ""
				table(api.Draining)
				for _, l := range flight[gone] {
					if !l.gone() {
						t.Fatal("a request to a unit that is gone goes on")
					}
					l.Release()
				}
				delete(flight, gone)
			}
			n, _, drained := p.report()
			if want := len(flight[up]) + len(flight[leaves]); n["a"] != want || p.leavers()[leaves] != len(flight[leaves]) {
				t.Fatalf("in flight %v, leaving %v, want %d with %d", n, p.leavers(), want, len(flight[leaves]))
			}
			if free := leaves != "" && len(flight[leaves]) == 0; free != slices.Contains(drained, leaves) {
				t.Fatalf("drained %v with %d requests", drained, len(flight[leaves]))
			}
			for unit, list := range flight {
				for _, l := range list {
					if l.gone() {
						t.Fatalf("a request to %s was cut", unit)
					}
				}
			}
		}
	})
}

func TestTheNamesOfVariantsThatAreNotUpStayValid(t *testing.T) {
	v := newView(api.Table{Routes: []api.Route{
		{Tier: "orch", Names: []string{"orch", "big", "orch/vllm"}, Others: []string{"orch/llama", "small", "mid"}},
		{Tier: "coder", Names: []string{"coder", "small"}, Others: []string{"big", "coder/x"}},
	}})
	for name, want := range map[string]string{"orch/llama": "orch", "mid": "orch", "small": "coder", "big": "orch", "coder/x": "coder"} {
		if got := v.byName[name]; got == nil || got.Tier != want {
			t.Errorf("%q goes to %+v, want %s", name, got, want)
		}
	}
	if !answersTo(&v.table.Routes[0], "small") {
		t.Error("on its own port the tier does not answer to its other variant's model")
	}
}

func TestTheModelIsNamedAsTheVariantThatAnswersWantsIt(t *testing.T) {
	first, second := echoing(t, "vllm"), echoing(t, "llama")
	for _, c := range []struct{ served, model, adapter, want string }{
		{"other", "orch/llama", "", `/x {"model":"other"}`}, {"", "Qwen/Orch", "", `/x {"model":"Qwen/Orch"}`}, {"Qwen/Orch", "orch", "", `/x {"model":"Qwen/Orch"}`},
		{"other", "sql", "", `/x {"model":"other"}`}, {"other", "sql", "sql", `/x {"model":"sql"}`}, {"other", "new", "new", `/x {"model":"new"}`},
	} {
		r := route(t, "orch", first.socket)
		r.Served, r.Others, r.Adapters = "Qwen/Orch", []string{"orch/llama", "new"}, []string{"sql"}
		rig := startRig(t, Config{}, r)
		source := waitingSource{rig.pool, make(chan struct{})}
		rig.source = source
		rig.publish(t) // the handler sees what was written before its view
		answer, url := make(chan string, 1), rig.tierURL("orch", "/x")
		go func() {
			_, body := fetch(t, "POST", url, `{"model":"`+c.model+`"}`)
			answer <- body
		}()
		rig.change(t, "orch", func(r *api.Route) { // while the request waits, at the latest
			r.Served, r.Unit, r.Socket, r.Others = c.served, "tier-orch-b.service", second.socket, []string{"orch/llama", "Qwen/Orch"}
			r.Adapters = []string{c.adapter}
		})
		close(source.letGo)
		if got := <-answer; got != c.want {
			t.Errorf("the engine that calls itself %q got %s, want %s", c.served, got, c.want)
		}
	}
}

func TestTheBoundOfALeavingUnitStartsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := api.Route{Tier: "a", Unit: "tier-a.service", State: api.Ready, Drain: 10}
		p, _ := testPool(t, r)
		lease, err := p.Acquire(t.Context(), Ask{Tier: "a"})
		if err != nil {
			t.Fatal(err)
		}
		next := api.Route{Tier: "a", Unit: "tier-a-b.service", State: api.Ready}
		r.State = api.Draining
		p.apply([]api.Route{next}, r)
		time.Sleep(9 * time.Second)
		p.apply([]api.Route{next}, r)
		if lease.gone() {
			t.Fatal("cut before the bound")
		}
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		if !lease.gone() {
			t.Error("not cut after the bound")
		}
		lease.Release()
	})
}

package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tierd/tierd/agent/api"
)

// cold is a tier that is not up yet and whose requests are held.
func cold(t *testing.T, tier, socket string) api.Route {
	r := route(t, tier, socket)
	r.State, r.Hold = api.Stopped, 240
	return r
}

// received is what a client got in the end.
type received struct {
	status int
	body   string
	header http.Header
}

// asks sends a request from a goroutine of its own.
func asks(t *testing.T, url, body string, header ...string) <-chan received {
	got := make(chan received, 1)
	go func() {
		res, text := fetch(t, "POST", url, body, header...)
		got <- received{res.StatusCode, text, res.Header}
	}()
	return got
}

func (r *rig) heldNow(tier string) int { return r.hold.waiting()[tier] }

func TestManyWaitForAColdTierAndNobodyIsLost(t *testing.T) {
	engine := echoing(t, "coder")
	rig := startRig(t, Config{}, cold(t, "coder", engine.socket))
	var all []<-chan received
	for n := range 30 {
		all = append(all, asks(t, rig.tierURL("coder", "/x"), fmt.Sprintf(`{"n":%d}`, n)))
	}
	eventually(t, "all are held", func() bool { return rig.heldNow("coder") == 30 })
	rig.tierd.report(t, "that somebody waits", func(r api.GatewayReport) bool { return r.InFlight["coder"] == 30 })
	rig.change(t, "coder", func(r *api.Route) { r.State = api.Starting })
	rig.change(t, "coder", func(r *api.Route) { r.State = api.Ready })
	for n, got := range all {
		if a := <-got; a.status != 200 || !strings.HasSuffix(a.body, fmt.Sprintf(`{"n":%d}`, n)) {
			t.Errorf("request %d: %+v", n, a)
		}
	}
	rig.tierd.mu.Lock()
	defer rig.tierd.mu.Unlock()
	if len(rig.tierd.wishes) != 1 {
		t.Errorf("tierd was asked %d times", len(rig.tierd.wishes))
	}
}

func TestTheLastClientThatHangsUpEndsTheCallOfTierd(t *testing.T) {
	rig := startRig(t, Config{}, cold(t, "coder", "/nowhere"))
	var conns []net.Conn
	for range 5 {
		c, err := net.Dial("tcp", address(rig.table.Routes[0].Port))
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}")
		conns = append(conns, c)
	}
	eventually(t, "all are held", func() bool { return rig.heldNow("coder") == 5 })
	for i, c := range conns {
		c.Close()
		eventually(t, "one less is held", func() bool { return rig.heldNow("coder") == 4-i })
	}
	eventually(t, "the call of tierd has ended", func() bool {
		rig.tierd.mu.Lock()
		defer rig.tierd.mu.Unlock()
		return len(rig.tierd.wishes) == 1 && rig.tierd.ended == 1
	})
}

func TestALoadThatFailsIsTold(t *testing.T) {
	rig := startRig(t, Config{}, cold(t, "coder", "/nowhere"))
	fail := make(chan struct{})
	rig.tierd.mu.Lock()
	rig.tierd.ensure = func(context.Context, string) error {
		<-fail
		return &api.Error{Kind: api.KindBudget, Message: "cannot start tier \"coder\": it needs 64GiB and 20GiB is free", Hint: "tierctl budget", RetryAfter: 33}
	}
	rig.tierd.mu.Unlock()
	got := asks(t, rig.tierURL("coder", "/x"), `{}`)
	eventually(t, "it is held", func() bool { return rig.heldNow("coder") == 1 })
	close(fail)
	a := <-got
	var object struct {
		Error struct{ Message, Type, Code string }
	}
	if err := json.Unmarshal([]byte(a.body), &object); err != nil {
		t.Fatal(err)
	}
	if a.status != 503 || a.header.Get("Retry-After") != "33" || object.Error.Type != "service_unavailable_error" || object.Error.Code != "no_room" ||
		object.Error.Message != `Tier "coder" cannot be used now: cannot start tier "coder": it needs 64GiB and 20GiB is free. Hint: tierctl budget` {
		t.Errorf("got %+v", a)
	}
}

func TestATierWhoseTierdIsAwayComesLater(t *testing.T) {
	engine := echoing(t, "coder")
	rig := startRig(t, Config{}, cold(t, "coder", engine.socket))
	var away atomic.Bool
	away.Store(true)
	rig.tierd.mu.Lock()
	rig.tierd.ensure = func(context.Context, string) error {
		if away.Load() {
			return &api.Error{Kind: api.KindUnavailable, Message: "cannot reach tierd"}
		}
		rig.tierd.mu.Lock()
		table := rig.tierd.table
		rig.tierd.mu.Unlock()
		table.Routes = append([]api.Route(nil), table.Routes...)
		table.Routes[0].State = api.Ready
		rig.tierd.set(table)
		return nil
	}
	rig.tierd.mu.Unlock()
	got := asks(t, rig.tierURL("coder", "/x"), `{}`)
	eventually(t, "tierd was asked twice", func() bool {
		rig.tierd.mu.Lock()
		defer rig.tierd.mu.Unlock()
		return len(rig.tierd.wishes) >= 2
	})
	away.Store(false)
	if a := <-got; a.status != 200 {
		t.Errorf("got %+v", a)
	}
}

// A switch under load: old unit, drain, stop, start, new unit. Whatever was let through to the old one is finished there or
// served by the new one, and nobody sees an error.
func TestASwitchUnderLoadFailsNoRequest(t *testing.T) {
	old, next := echoing(t, "old"), echoing(t, "new")
	r := route(t, "orch", old.socket)
	r.Hold, r.Concurrency, r.Drain = 240, 3, 10
	rig := startRig(t, Config{}, r)
	var all sync.WaitGroup
	var served, byNew atomic.Int32
	stop := make(chan struct{})
	url := rig.tierURL("orch", "/x")
	for range 8 {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				res, body := fetch(t, "POST", url, `{"model":"orch"}`)
				if res.StatusCode != 200 {
					t.Errorf("%d %s", res.StatusCode, body)
				}
				served.Add(1)
				if res.Header.Get("X-Engine") == "new" {
					byNew.Add(1)
				}
			}
		})
	}
	unit := map[string]string{"old": old.socket, "new": next.socket}
	for _, to := range []string{"new", "old", "new"} {
		before := served.Load()
		eventually(t, "it serves", func() bool { return served.Load() > before+20 })
		for _, state := range []api.State{api.Draining, api.Stopping} {
			rig.change(t, "orch", func(r *api.Route) { r.State = state })
		}
		rig.change(t, "orch", func(r *api.Route) { r.State, r.Unit, r.Socket = api.Starting, "tier-orch-"+to+".service", unit[to] })
		rig.change(t, "orch", func(r *api.Route) { r.State = api.Ready })
	}
	before := byNew.Load()
	eventually(t, "the new one serves", func() bool { return byNew.Load() > before+20 })
	close(stop)
	all.Wait()
}

// A request that the old unit had and has not answered is the new one's.
func TestARequestCutByASwitchBeforeItsAnswerIsServedByTheNewUnit(t *testing.T) {
	arrived := make(chan struct{})
	old := startEngine(t, func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		close(arrived)
		<-r.Context().Done()
	})
	next := echoing(t, "new")
	r := route(t, "orch", old.socket)
	r.Hold = 240
	rig := startRig(t, Config{}, r)
	got := asks(t, rig.tierURL("orch", "/x"), `{"n":1}`)
	<-arrived
	rig.change(t, "orch", func(r *api.Route) { r.State = api.Stopping })
	rig.change(t, "orch", func(r *api.Route) { r.State, r.Unit, r.Socket = api.Ready, "tier-orch-new.service", next.socket })
	if a := <-got; a.status != 200 || !strings.HasSuffix(a.body, `{"n":1}`) || a.header.Get("X-Engine") != "new" {
		t.Errorf("got %+v", a)
	}
}

func TestAnEngineThatComesBackInTimeIsWaitedFor(t *testing.T) {
	dir, err := os.MkdirTemp("", "gw")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "engine.sock")
	r := route(t, "coder", socket)
	r.Hold = 240
	rig := startRig(t, Config{}, r)
	got := asks(t, rig.tierURL("coder", "/x"), `{}`)
	eventually(t, "it is to be tried again", func() bool { return rig.heldNow("coder") == 1 })
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "back") })}
	go server.Serve(l)
	defer server.Close()
	if a := <-got; a.status != 200 || a.body != "back" {
		t.Errorf("got %+v", a)
	}
}

// While one tier loads, another one answers: its requests never meet those that are held.
func TestAReadyTierAnswersWhileAnotherLoads(t *testing.T) {
	engine := echoing(t, "utility")
	utility := route(t, "utility", engine.socket)
	utility.Hold, utility.Concurrency = 240, 2 // the last request may end just after its answer
	rig := startRig(t, Config{}, cold(t, "coder", "/nowhere"), utility)
	var held []net.Conn
	for range 50 {
		c, err := net.Dial("tcp", address(rig.table.Routes[0].Port))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}")
		held = append(held, c)
	}
	eventually(t, "all are held", func() bool { return rig.heldNow("coder") == len(held) })
	for range 50 {
		if res, body := fetch(t, "POST", rig.tierURL("utility", "/x"), `{}`); res.StatusCode != 200 {
			t.Fatalf("%d %s", res.StatusCode, body)
		}
	}
	if s := rig.hold.stats()["utility"]; s.Waits != 0 {
		t.Errorf("%d of them waited", s.Waits)
	}
}

func TestALookAtAColdTierDoesNotStartIt(t *testing.T) {
	rig := startRig(t, Config{}, cold(t, "coder", "/nowhere"))
	for _, path := range []string{"/health", "/metrics", "/slots", "/props"} {
		if res, _ := fetch(t, "GET", rig.tierURL("coder", path), ""); res.StatusCode != 503 || res.Header.Get(errorHeader) != codeNotReady {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
	rig.tierd.mu.Lock()
	defer rig.tierd.mu.Unlock()
	if len(rig.tierd.wishes) != 0 {
		t.Errorf("tierd was asked for %v", rig.tierd.wishes)
	}
}

func TestAStopOfTheGatewayAnswersThoseThatAreHeld(t *testing.T) {
	rig := startRig(t, Config{}, cold(t, "coder", "/nowhere"))
	got := asks(t, rig.tierURL("coder", "/x"), `{}`)
	eventually(t, "it is held", func() bool { return rig.heldNow("coder") == 1 })
	begun := time.Now()
	rig.stop()
	if a := <-got; a.status != 503 || a.header.Get("Retry-After") == "" || !strings.Contains(a.body, "gateway_stopping") {
		t.Errorf("got %+v", a)
	}
	rig.wait(t)
	if time.Since(begun) > patience/2 {
		t.Errorf("the stop took %v", time.Since(begun))
	}
}

// After a handover the old process goes on to hold what it holds, and serves it when the tier is there.
func TestAHeldRequestOutlastsAHandover(t *testing.T) {
	m := startManager(t)
	engine := echoing(t, "coder")
	tierd := newFakeTierd()
	pids, reload := make(chan int, 1), make(chan chan<- error)
	r := cold(t, "coder", engine.socket)
	r.Concurrency = 1
	table := api.Table{Listen: "127.0.0.1", Port: freePort(t), Routes: []api.Route{r}}
	tierd.set(table)
	g := New(Config{
		Control: tierd, Notify: &m.Notifier, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Reload: reload, Spawn: spawnChild(t, serveControl(t, tierd), m.Address, pids),
	})
	ended := make(chan error, 1)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go func() { ended <- g.Run(ctx) }()
	eventually(t, "it serves", func() bool { return m.heard("READY=1") })
	url := "http://" + address(r.Port) + "/x"
	var all []<-chan received
	for range 4 {
		all = append(all, asks(t, url, `{"by":"elder"}`))
	}
	eventually(t, "they are held", func() bool { return g.hold.waiting()["coder"] == 4 })
	done := make(chan error, 1)
	reload <- done
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for range 4 {
		all = append(all, asks(t, url, `{"by":"heir"}`))
	}
	eventually(t, "both processes ask for the tier", func() bool {
		tierd.mu.Lock()
		defer tierd.mu.Unlock()
		return len(tierd.wishes) == 2
	})
	table.Routes = []api.Route{r}
	table.Routes[0].State = api.Ready
	tierd.set(table)
	for n, got := range all {
		if a := <-got; a.status != 200 {
			t.Errorf("request %d: %+v", n, a)
		}
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(idleGrace + patience):
		t.Fatal("the old process did not end")
	}
}

// The engine gets the slot as the first member of the body, and the rest as it was.
func TestTheSlotGoesIntoTheBody(t *testing.T) {
	bodies := make(chan []byte, 10)
	engine := startEngine(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.ContentLength != int64(len(body)) {
			t.Errorf("a length of %d for %d bytes", r.ContentLength, len(body))
		}
		bodies <- body
		io.WriteString(w, "ok")
	})
	r := route(t, "utility", engine.socket)
	r.Hold, r.Parallel, r.Concurrency = 240, 2, 2
	rig := startRig(t, Config{}, r)
	for _, c := range []struct{ path, session, body, want string }{
		{"/v1/chat/completions", "s", ` {"messages":[]}`, `{"id_slot":0,"messages":[]}`},
		{"/completion", "t", `{ "prompt":"{"}`, `{"id_slot":1, "prompt":"{"}`},
		{"/v1/completions", "s", `{"prompt":"\"id_slot\""}`, `{"id_slot":0,"prompt":"\"id_slot\""}`},
		{"/v1/completions", "s", `{"prompt":"x","id_slot":1}`, `{"prompt":"x","id_slot":1}`},
		{"/v1/completions", "", `{"prompt":"x"}`, `{"prompt":"x"}`},
		{"/v1/completions", "s", `{}`, `{}`},
		{"/v1/completions", "s", `[1]`, `[1]`},
		{"/v1/completions", "s", ``, ``},
		{"/v1/embeddings", "s", `{"input":"x"}`, `{"input":"x"}`},
	} {
		fetch(t, "POST", rig.tierURL("utility", c.path), c.body, "X-Session-Id", c.session)
		if got := string(<-bodies); got != c.want {
			t.Errorf("%s of session %q with %s: the engine got %s, want %s", c.path, c.session, c.body, got, c.want)
		}
	}
}

func FuzzWithSlot(f *testing.F) {
	f.Add([]byte(`{"a":1}`), 3)
	f.Add([]byte(" \n{ \"a\" : {\"id_slot\":4} }"), 1)
	f.Add([]byte(`{}`), 1)
	f.Fuzz(func(t *testing.T, body []byte, slot int) {
		if slot < 1 || !json.Valid(body) || !slottable("/completion", body) {
			return
		}
		with := bytes.Join((&Lease{Slot: slot}).withSlot(whole(body)), nil)
		var before, after map[string]json.RawMessage
		if err := json.Unmarshal(body, &before); err != nil {
			t.Fatalf("%q is no object", body)
		}
		if err := json.Unmarshal(with, &after); err != nil {
			t.Fatalf("%q became %q: %v", body, with, err)
		}
		if _, own := before["id_slot"]; own { // written with escapes: the client's, which is the last, wins
			before["id_slot"] = after["id_slot"]
		} else if string(after["id_slot"]) != fmt.Sprint(slot-1) {
			t.Fatalf("slot %s", after["id_slot"])
		} else {
			delete(after, "id_slot")
		}
		for key, value := range before {
			if !bytes.Equal(after[key], value) {
				t.Fatalf("%q became %q", value, after[key])
			}
		}
		if len(before) != len(after) {
			t.Fatalf("%d members became %d", len(before), len(after))
		}
	})
}

func TestWhatIsLight(t *testing.T) {
	for _, c := range []struct {
		method, path string
		light, probe bool
	}{
		{"GET", "/health", true, true}, {"GET", "/v1/health", true, true}, {"HEAD", "/metrics", true, true}, {"GET", "/slots/", true, true},
		{"GET", "/", true, false}, {"GET", "/v1/models", true, false}, {"OPTIONS", "/v1/chat/completions", true, false},
		{"POST", "/tokenize", true, false}, {"POST", "/v1/detokenize", true, false}, {"POST", "/apply-template", true, false},
		{"POST", "/props", true, false}, {"POST", "/slots/1", true, false}, {"POST", "/v1/messages/count_tokens", true, false},
		{"POST", "/v1/chat/completions", false, false}, {"POST", "/completion", false, false}, {"POST", "/v1/embeddings", false, false},
		{"POST", "/v1/messages", false, false}, {"POST", "/health", false, false}, {"PUT", "/tokenizer", false, false},
	} {
		if ask := newAsk("a", c.method, c.path, nil); ask.Light != c.light || ask.Probe != c.probe {
			t.Errorf("%s %s: light %v, probe %v", c.method, c.path, ask.Light, ask.Probe)
		}
	}
}

func BenchmarkSlottable(b *testing.B) {
	text := strings.Repeat(`say \"{x: 1}\" and foo_bar = [\"id\"]; `, 5<<20/40)
	body := []byte(`{"model":"a","messages":[{"role":"user","content":"` + text + `"}]}`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if !slottable("/v1/chat/completions", body) {
			b.Fatal("it is")
		}
	}
}

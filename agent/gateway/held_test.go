package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

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
	utility.Hold, utility.Concurrency = 240, 50 // requests may end just after their answers
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

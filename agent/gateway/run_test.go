package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tierd/tierd/agent/api"
)

func TestTheManagerHearsOfTheStartAndOfTheStop(t *testing.T) {
	m := startManager(t)
	engine := echoing(t, "coder")
	coder := route(t, "coder", engine.socket)
	rig := startRig(t, Config{Notify: &m.Notifier}, coder)
	eventually(t, "it is ready", func() bool { return m.heard("READY=1") })
	if !m.heard("STATUS=Forwarding to 1 ready of 1 tiers") {
		t.Errorf("heard %q", m.said())
	}
	want := []string{storeName(coder.Port), storeName(rig.table.Port), tableName}
	slices.Sort(want)
	if got := m.names(); !slices.Equal(got, want) {
		t.Errorf("stored %v, want %v", got, want)
	}
	rig.tierd.report(t, "of the listeners", func(r api.GatewayReport) bool { return len(r.Listeners) == 2 })
	rig.stop()
	err := rig.wait(t)
	m.Barrier(patience) // the manager reads on its own time
	if err != nil || !m.heard("STOPPING=1") {
		t.Errorf("ended with %v after %q", err, m.said())
	}
	if got := m.names(); !slices.Equal(got, want) {
		t.Errorf("after the stop stored %v, want %v", got, want)
	}
}

func TestARestartForwardsAtOnceWithoutTierd(t *testing.T) {
	m := startManager(t)
	engine := echoing(t, "coder")
	coder := route(t, "coder", engine.socket)
	first := startRig(t, Config{Notify: &m.Notifier}, coder)
	fetch(t, "POST", first.tierURL("coder", "/x"), `{}`)
	eventually(t, "the table is kept", func() bool {
		in := m.inherited(t)
		defer closeInherited(in)
		fd, ok := in.Take(tableName)
		if !ok {
			return false
		}
		memory := &tableMemory{fd: fd}
		table, err := memory.load()
		in.fds[tableName] = append(in.fds[tableName], fd)
		return err == nil && len(table.Routes) == 1
	})
	first.stop()
	first.wait(t)

	// Nobody serves: a client connects all the same, and is answered by the next process, which cannot reach tierd.
	answers := make(chan string, 1)
	go func() {
		res, body := fetch(t, "POST", first.tierURL("coder", "/x"), `{"n":1}`)
		answers <- res.Status + " " + body
	}()
	tierd := newFakeTierd()
	tierd.away = true
	second := New(Config{
		Control: tierd, Notify: &m.Notifier, Inherited: m.inherited(t), Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- second.Run(ctx) }()
	defer func() { stop(); <-ended }()
	select {
	case got := <-answers:
		if got != `200 OK /x {"n":1}` {
			t.Errorf("got %s", got)
		}
	case <-time.After(patience):
		t.Fatal("no answer")
	}
}

func TestTierdThatComesBackIsAskedForAnyTable(t *testing.T) {
	rig := startRig(t, Config{}, route(t, "coder", "/nowhere"))
	for range 3 {
		rig.publish(t)
	}
	// The new tierd counts from one again, below what the gateway has seen.
	rig.tierd.mu.Lock()
	rig.tierd.away = true
	close(rig.tierd.fresh)
	rig.tierd.fresh = make(chan struct{})
	rig.tierd.mu.Unlock()
	if res, _ := fetch(t, "GET", rig.tierURL("coder", "/v1/models"), ""); res.StatusCode != 200 {
		t.Errorf("without tierd: %d", res.StatusCode)
	}
	rig.tierd.mu.Lock()
	asked := len(rig.tierd.asked)
	rig.tierd.away = false
	rig.tierd.table.Seq = 1
	rig.tierd.table.Routes = slices.Clone(rig.tierd.table.Routes)
	rig.tierd.table.Routes[0].State = api.Stopped
	rig.tierd.mu.Unlock()
	eventually(t, "the new table is in force", func() bool { return rig.view.Load().table.Routes[0].State == api.Stopped })
	rig.tierd.mu.Lock()
	defer rig.tierd.mu.Unlock()
	if after := rig.tierd.asked[max(asked-1, 0):]; !slices.Contains(after, 0) {
		t.Errorf("asked for tables after %v", after)
	}
}

func TestAReportIsRepeatedUntilItIsHeard(t *testing.T) {
	rig := startRig(t, Config{}, route(t, "coder", "/nowhere"))
	rig.tierd.report(t, "at all", func(api.GatewayReport) bool { return true })
	rig.tierd.mu.Lock()
	rig.tierd.away = true
	rig.tierd.reports = nil
	rig.tierd.mu.Unlock()
	rig.kick()
	time.AfterFunc(50*time.Millisecond, func() {
		rig.tierd.mu.Lock()
		defer rig.tierd.mu.Unlock()
		rig.tierd.away = false
	})
	rig.tierd.report(t, "after tierd came back", func(r api.GatewayReport) bool { return len(r.Listeners) == 2 })
}

func TestBeforeTheFirstTableARequestIsToldSo(t *testing.T) {
	g := New(Config{Log: slog.New(slog.DiscardHandler)})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go g.server.Serve(l)
	defer g.server.Close()
	res, body := fetch(t, "GET", "http://"+l.Addr().String()+"/v1/models", "")
	if res.StatusCode != 503 || !strings.Contains(errorMessage(t, body), "tierd has not answered") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	g.apply(api.Table{Listen: "127.0.0.1", Port: 1})
	if res, body := fetch(t, "GET", "http://"+l.Addr().String()+"/v1/models", ""); res.StatusCode != 404 || !strings.Contains(errorMessage(t, body), "any more") {
		t.Errorf("a port that the table does not name: %d %s", res.StatusCode, body)
	}
}

func TestAStopLetsWhatIsInFlightFinish(t *testing.T) {
	engine, arrived, letGo := holding(t)
	rig := startRig(t, Config{}, route(t, "coder", engine.socket))
	rest := stream(t, rig.tierURL("coder", "/x"))
	<-arrived
	rig.stop()
	eventually(t, "it accepts no more", func() bool {
		c, err := net.Dial("tcp", address(rig.table.Port))
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	close(letGo)
	if body, err := rest(); err != nil || body != "first last" {
		t.Errorf("got %q, %v", body, err)
	}
	if err := rig.wait(t); err != nil {
		t.Error(err)
	}
}

func TestATierThatHasToGoDuringAStopIsLetGo(t *testing.T) {
	engine, arrived, _ := holding(t)
	rig := startRig(t, Config{StopBound: time.Hour}, route(t, "coder", engine.socket))
	rest := stream(t, rig.tierURL("coder", "/x"))
	<-arrived
	rig.stop()
	rig.change(t, "coder", func(r *api.Route) { r.State = api.Stopping })
	if body, err := rest(); err == nil {
		t.Errorf("the stream ended cleanly with %q", body)
	}
	if err := rig.wait(t); err != nil {
		t.Error(err)
	}
}

func TestAStopHasABound(t *testing.T) {
	engine, arrived, _ := holding(t)
	rig := startRig(t, Config{StopBound: 50 * time.Millisecond}, route(t, "coder", engine.socket))
	rest := stream(t, rig.tierURL("coder", "/x"))
	<-arrived
	rig.stop()
	if err := rig.wait(t); err != nil {
		t.Error(err)
	}
	if body, err := rest(); err == nil {
		t.Errorf("the cut request ended cleanly with %q", body)
	}
}

func TestAReloadThatCannotBeDoneChangesNothing(t *testing.T) {
	engine := echoing(t, "coder")
	for rule, spawn := range map[string]SpawnFunc{
		"no way to start one":    nil,
		"the start fails":        func([]int, string) (int, error) { return 0, errors.New("permission denied") },
		"it ends without a word": func([]int, string) (int, error) { return 1 << 30, nil },
	} {
		m := startManager(t)
		reload := make(chan chan<- error)
		rig := startRig(t, Config{Notify: &m.Notifier, Spawn: spawn, Reload: reloads(reload)}, route(t, "coder", engine.socket))
		answer := make(chan error, 1)
		reload <- answer
		if err := <-answer; err == nil {
			t.Errorf("%s: no error", rule)
		}
		eventually(t, "the manager is told", func() bool { return m.heard("STATUS=Reload failed") })
		if m.heard("MAINPID") {
			t.Errorf("%s: the manager heard %q", rule, m.said())
		}
		if res, _ := fetch(t, "POST", rig.tierURL("coder", "/x"), `{}`); res.StatusCode != 200 {
			t.Errorf("%s: then %d", rule, res.StatusCode)
		}
	}
}

// reloads makes the channel one that Config takes.
func reloads(c chan chan<- error) <-chan chan<- error { return c }

func closeInherited(in *Inherited) {
	for _, fds := range in.rest() {
		for _, fd := range fds {
			closeFD(fd)
		}
	}
}

func TestTheServerLogsNothingOfARequest(t *testing.T) {
	log := &logText{}
	engine := echoing(t, "coder")
	rig := startRig(t, Config{Log: slog.New(slog.NewTextHandler(log, nil))}, route(t, "coder", engine.socket))
	before := len(log.String())
	fetch(t, "POST", rig.tierURL("coder", "/x"), `{}`)
	fetch(t, "POST", rig.tierURL("", "/x"), `{}`)
	http.Get(rig.tierURL("coder", "/y"))
	if got := log.String()[before:]; strings.Contains(got, "/x") || strings.Contains(got, "/y") {
		t.Errorf("logged %q", got)
	}
}

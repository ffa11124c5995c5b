package gateway

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/agent/api"
)

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

func TestAStopOfAProcessThatRetiresAnswersThoseThatAreHeld(t *testing.T) {
	reload := make(chan chan<- error)
	spawn := func(fds []int, _ string) (int, error) { // a successor that serves, and that nobody has to end
		_, err := unix.Write(fds[0], []byte{1})
		return 1 << 30, err
	}
	rig := startRig(t, Config{Reload: reload, Spawn: spawn}, cold(t, "coder", "/nowhere"))
	got := asks(t, rig.tierURL("coder", "/x"), `{}`)
	eventually(t, "it is held", func() bool { return rig.heldNow("coder") == 1 })
	done := make(chan error, 1)
	reload <- done
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	rig.stop()
	if a := <-got; a.status != 503 || !strings.Contains(a.body, "gateway_stopping") {
		t.Errorf("got %+v", a)
	}
	rig.wait(t)
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

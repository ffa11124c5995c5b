package agent

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tierd/tierd/agent/api"
)

// gatewayOf is a gateway that polls the table until the test ends; what it sees of coder is in state.
type pollingGateway struct {
	state  api.State
	table  api.Table
	cancel func()
}

func poll(b *bed) *pollingGateway {
	ctx, cancel := context.WithCancel(context.Background())
	g := &pollingGateway{cancel: cancel}
	go func() {
		for ctx.Err() == nil {
			t, err := b.Table(ctx, g.table.Seq)
			if err != nil {
				return
			}
			g.table = t
			for _, r := range t.Routes {
				if r.Tier == "coder" {
					g.state = r.State
				}
			}
		}
	}()
	synctest.Wait()
	return g
}

func admitLater(b *bed, unit, op string) <-chan api.AdmitAnswer {
	answer := make(chan api.AdmitAnswer, 1)
	go func() { answer <- b.Admit(context.Background(), unit, op, nil) }()
	synctest.Wait()
	return answer
}

func mustWait(t *testing.T, answer <-chan api.AdmitAnswer) {
	t.Helper()
	select {
	case a := <-answer:
		t.Fatalf("it was answered %+v, but has to wait", a)
	default:
	}
}

func TestADrainEndsWithWhateverEndsTheUnit(t *testing.T) {
	t.Run("its process dies", func(t *testing.T) {
		inBed(t, func(b *bed) {
			g := poll(b)
			defer g.cancel()
			mustDone(t, b.act("coder", "start", ""))
			first, second := admitLater(b, coder, "stop"), admitLater(b, coder, "stop") // a shim may ask twice
			mustWait(t, first)
			mustWait(t, second)
			b.systemd.by(func() { b.systemd.crash(coder) })
			if a := <-first; !a.OK {
				t.Errorf("the first: %+v", a)
			}
			if a := <-second; !a.OK {
				t.Errorf("the second: %+v", a)
			}
			b.after(time.Second)
			b.mustState("coder", api.Failed)
			if len(b.drains) > 0 {
				t.Errorf("it is not forgotten: %v", b.drains)
			}
		})
	})
	t.Run("the shim gives up", func(t *testing.T) {
		inBed(t, func(b *bed) {
			g := poll(b)
			defer g.cancel()
			mustDone(t, b.act("coder", "start", ""))
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			if a := b.Admit(ctx, coder, "stop", nil); !a.OK || a.Message != "context deadline exceeded" {
				t.Errorf("the answer: %+v", a)
			}
		})
	})
	t.Run("tierd ends", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBed(t, filepath.Join(t.TempDir(), "tiers.toml"))
			b.run()
			g := poll(b)
			mustDone(t, b.act("coder", "start", ""))
			answer := admitLater(b, coder, "stop")
			g.cancel()
			b.end()
			if a := <-answer; !a.OK || a.Message != "tierd ended while requests were in flight" {
				t.Errorf("the answer: %+v", a)
			}
		})
	})
}

func TestTheTableFollowsTheStates(t *testing.T) {
	inBed(t, func(b *bed) {
		g := poll(b)
		defer g.cancel()
		first := g.table
		if len(first.Routes) != 3 || first.Port != 8000 || first.Listen != "127.0.0.1" || g.state != api.Stopped {
			t.Errorf("the first table: %+v", first)
		}
		mustDone(t, b.act("coder", "start", ""))
		if g.state != api.Ready || g.table.Seq <= first.Seq {
			t.Errorf("after the start it is %s in table %d, before it was %d", g.state, g.table.Seq, first.Seq)
		}
		r := g.table.Routes[1]
		if r.Role != "coder" || r.Unit != coder || r.Socket != "/run/tier/tier-coder/engine.sock" || r.Variant != "a" ||
			!strings.Contains(strings.Join(r.Names, " "), "coder /m/coder.gguf coder/a") {
			t.Errorf("the route: %+v", r)
		}
		seq := g.table.Seq
		b.after(time.Hour)
		if g.table.Seq != seq {
			t.Error("a table comes although nothing is new")
		}
		status, err := b.Status(context.Background())
		if err != nil || status.Gateway != "connected" {
			t.Errorf("the gateway is %s, %v", status.Gateway, err)
		}
		g.cancel()
		b.after(time.Minute)
		if status, err = b.Status(context.Background()); err != nil || status.Gateway != "absent" {
			t.Errorf("the gateway that left is %s, %v", status.Gateway, err)
		}
	})
}

func TestTheTableHasTheAdaptersOfTheVariantThatIsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, filepath.Join(t.TempDir(), "tiers.toml"))
		b.write(strings.Replace(bedConfig, `engine = "radv"`, "engine = \"vllm\"\nextra_args = [\"--lora-modules\", \"sql=/a\", \"chat=/b\"]", 1) +
			"[engine.vllm]\ncommand = [\"/opt/vllm/bin/vllm\", \"serve\"]\n")
		b.change("/m/orch.gguf", "/m/orch")
		b.run()
		defer b.end()
		g := poll(b)
		defer g.cancel()
		for variant, want := range map[string]string{"a": "sql chat;orch/b", "b": ";orch/a sql chat"} {
			mustDone(t, b.act("orch", "switch", variant))
			r := g.table.Routes[0]
			if got := strings.Join(r.Adapters, " ") + ";" + strings.Join(r.Others, " "); r.Variant != variant || got != want {
				t.Errorf("%s: %s, want %s", r.Variant, got, want)
			}
			if names := strings.Join(r.Names, " "); names != "orch orchestrator /m/orch orch/"+variant {
				t.Errorf("%s: adapters are no names of the model: %s", r.Variant, names)
			}
		}
	})
}

func TestTheTableAnswersAtTheEndOfItsTime(t *testing.T) {
	inBed(t, func(b *bed) {
		now, err := b.Table(context.Background(), 0)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		again, err := b.Table(ctx, now.Seq)
		if err != nil || again.Seq != now.Seq || ctx.Err() == nil {
			t.Errorf("%d, %v before its time; want %d", again.Seq, err, now.Seq)
		}
	})
}

func TestANewTierdCountsItsTablesOnFromTheOld(t *testing.T) {
	inBed(t, func(b *bed) {
		mustDone(t, b.act("coder", "start", ""))
		old, err := b.Table(context.Background(), 0)
		if err != nil {
			t.Fatal(err)
		}
		b.end()
		b.after(time.Second)
		b.run()
		fresh, err := b.Table(context.Background(), old.Seq)
		if err != nil || fresh.Seq <= old.Seq {
			t.Errorf("the table of the new tierd is %d after %d, %v", fresh.Seq, old.Seq, err)
		}
	})
}

func TestAStopWaitsForTheRequestsInFlight(t *testing.T) {
	inBed(t, func(b *bed) {
		g := poll(b)
		defer g.cancel()
		mustDone(t, b.act("coder", "start", ""))
		b.Report(api.GatewayReport{InFlight: map[string]int{"coder": 1}})
		answer := admitLater(b, coder, "stop")
		if g.state != api.Draining {
			t.Errorf("the table says %s", g.state)
		}
		b.after(10 * time.Second)
		b.Report(api.GatewayReport{InFlight: map[string]int{"coder": 1}})
		synctest.Wait()
		mustWait(t, answer)
		b.Report(api.GatewayReport{Drained: []string{coder}})
		if a := <-answer; !a.OK {
			t.Errorf("the answer: %+v", a)
		}
		b.after(time.Millisecond)
		if g.state != api.Stopping {
			t.Errorf("the table says %s after the last request", g.state)
		}
	})
}

func TestADrainThatTheGatewayToldOfBeforeIsOverAtOnce(t *testing.T) {
	inBed(t, func(b *bed) {
		g := poll(b)
		defer g.cancel()
		mustDone(t, b.act("coder", "start", ""))
		b.systemd.by(func() { b.systemd.halt(coder) })
		b.after(hintPause)
		if g.state != api.Draining {
			t.Fatalf("the table says %s", g.state)
		}
		b.Report(api.GatewayReport{Drained: []string{coder}})
		if a := <-admitLater(b, coder, "stop"); !a.OK {
			t.Errorf("the answer: %+v", a)
		}
	})
}

func TestAStopWaitsNoLongerThanTheTiersDrain(t *testing.T) {
	inBed(t, func(b *bed) {
		g := poll(b)
		defer g.cancel()
		mustDone(t, b.act("coder", "start", ""))
		answer := admitLater(b, coder, "stop")
		b.after(29 * time.Second)
		mustWait(t, answer)
		b.after(2 * time.Second)
		if a := <-answer; !a.OK || a.Message == "" {
			t.Errorf("the answer: %+v", a)
		}
	})
}

func TestAStopWithoutAGatewayIsAnsweredAtOnce(t *testing.T) {
	inBed(t, func(b *bed) {
		mustDone(t, b.act("coder", "start", ""))
		if a := <-admitLater(b, coder, "stop"); !a.OK {
			t.Errorf("the answer: %+v", a)
		}
	})
}

func TestAStopGoesOnWhenTheGatewayDies(t *testing.T) {
	inBed(t, func(b *bed) {
		g := poll(b)
		mustDone(t, b.act("coder", "start", ""))
		answer := admitLater(b, coder, "stop")
		mustWait(t, answer)
		g.cancel()
		b.after(3 * gatewayGrace)
		if a := <-answer; !a.OK {
			t.Errorf("the answer: %+v", a)
		}
	})
}

func TestAPortHeldByAStrangerIsToldWithItsOwner(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Skip("this machine has no loopback: " + err.Error())
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	owner := portOwners(procOf(t), []int{port})[port]
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(owner, strings.TrimSpace(string(comm))+" (pid ") {
		t.Errorf("port %d is held by %q", port, owner)
	}
	if owners := portOwners(procOf(t), []int{1}); len(owners) != 0 {
		t.Errorf("nobody listens on port 1, but: %v", owners)
	}
}

// procOf is a root whose process 1 is this one: the real one may be in another network namespace.
func procOf(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for link, target := range map[string]string{"1/net": "/proc/self/net", "7": "/proc/self"} {
		path := filepath.Join(root, "proc", link)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestAPortErrorIsShownUntilThePortIsOpen(t *testing.T) {
	inBed(t, func(b *bed) {
		b.Report(api.GatewayReport{Listeners: []api.Listener{{Tier: "coder", Port: 8002, Error: "address already in use"}, {Port: 8000, Error: "address already in use"}}})
		b.after(time.Second)
		if got := b.tierNow("coder").PortError; !strings.Contains(got, "port 8002 cannot be opened: address already in use") {
			t.Errorf("the port's error: %q", got)
		}
		status, err := b.Status(context.Background())
		if err != nil || status.PortError != "port 8000 cannot be opened: address already in use" || len(status.Warnings) != 0 {
			t.Errorf("the port of all tiers: %q, the warnings: %q, %v", status.PortError, status.Warnings, err)
		}
		// Told again and again it is not looked up again and again.
		looked := b.gateway.looked
		for range 3 {
			b.Report(api.GatewayReport{Listeners: []api.Listener{{Tier: "coder", Port: 8002, Error: "address already in use"}}})
		}
		if b.after(0); b.gateway.looked != looked {
			t.Error("it was looked up for each report")
		}
		b.Report(api.GatewayReport{Listeners: []api.Listener{{Tier: "coder", Port: 8002}, {Port: 8000}}})
		if got := b.tierNow("coder").PortError; got != "" {
			t.Errorf("the port is open: %q", got)
		}
		if status, err = b.Status(context.Background()); err != nil || status.PortError != "" {
			t.Errorf("the port of all tiers is open: %q, %v", status.PortError, err)
		}
	})
}

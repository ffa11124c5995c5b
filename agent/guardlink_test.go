package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/units"
)

func TestAGuardIsToldOfEveryChange(t *testing.T) {
	inBed(t, func(b *bed) {
		g := b.guarded()
		first := g.table()
		if first.Seq == 0 || len(first.Tiers) != 0 || first.Soft != 8<<30 || first.Refuse != 10<<30 || first.Hard != 4<<30 || first.Emergency != 2<<30 {
			t.Errorf("at first it is told %+v", first)
		}
		b.after(time.Second)
		id := b.begin("coder")
		b.after(50 * time.Millisecond)
		if is, known := g.tier(coder); !known || !is.Loading {
			t.Errorf("a load that begins is told as %+v, %t: a change after a silence is told at once", is, known)
		}
		mustDone(t, b.wait(id))
		b.after(guardPause)
		if is, _ := g.tier(coder); is.Loading || is.MainPID == 0 || is.Cgroup != "/tier.slice/tier-gpu.slice/"+coder || !is.GPU || is.Charge != 60<<30 {
			t.Errorf("coder is told as %+v", is)
		}
		if g.table().Seq <= first.Seq {
			t.Error("the numbers of tables do not grow")
		}
		mustDone(t, b.act("coder", "stop", ""))
		b.after(guardPause)
		if is, known := g.tier(coder); known {
			t.Errorf("it is stopped and told as %+v", is)
		}
		n := len(g.tables)
		b.after(time.Hour)
		if len(g.tables) != n {
			t.Errorf("with nothing new %d tables were told", len(g.tables)-n)
		}
	})
}

func TestABusyGatewayMakesAFewTablesASecond(t *testing.T) {
	inBed(t, func(b *bed) {
		p := poll(b)
		defer p.cancel()
		g := b.guarded()
		mustDone(t, b.act("coder", "start", ""))
		b.after(time.Second)
		g.set(func() { g.tables, g.at = nil, nil })
		for i := range 1000 {
			b.reports(map[string]int{"coder": i % 2}, nil)
			b.after(5 * time.Millisecond)
		}
		b.after(time.Second)
		if n := len(g.tables); n < 10 || n > 5*4+2 {
			t.Errorf("%d tables in five seconds", n)
		}
		for i := 1; i < len(g.at); i++ {
			if d := g.at[i].Sub(g.at[i-1]); d < guardPause {
				t.Errorf("a table came %s after the one before", d)
			}
		}
		if is, _ := g.tier(coder); !is.Busy {
			t.Errorf("the last one says %+v", is)
		}
	})
}

func TestAGuardThatHangsKeepsNobodyWaiting(t *testing.T) {
	inBed(t, func(b *bed) {
		here, there := net.Pipe() // nobody reads here
		agent := b.Agent
		ended := make(chan struct{})
		go func() { agent.talk(context.Background(), there); close(ended) }()
		synctest.Wait()
		begun := time.Now()
		mustDone(t, b.act("coder", "start", ""))
		guard, err := b.Guard(context.Background())
		if err != nil || !guard.Connected || guard.State != nil || !strings.Contains(guard.Text, "did not answer within 2s") {
			t.Errorf("%+v, %v", guard, err)
		}
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("all of that took %s", took)
		}
		b.after(2 * writeTime)
		<-ended
		here.Close()
		if guard, _ := b.Guard(context.Background()); guard.Connected {
			t.Error("it is still taken for connected")
		}
	})
}

func TestTheNewestGuardIsHeard(t *testing.T) {
	inBed(t, func(b *bed) {
		old := b.guarded()
		now := b.guarded()
		<-old.gone
		guard, err := b.Guard(context.Background())
		if err != nil || !guard.Connected || guard.State == nil {
			t.Errorf("%+v, %v", guard, err)
		}
		if len(now.tables) != 1 || now.table().Soft == 0 {
			t.Errorf("it was told %+v", now.tables)
		}
		now.hangUp()
		b.after(0)
		if guard, _ := b.Guard(context.Background()); guard.Connected {
			t.Error("nobody is connected any more")
		}
	})
}

func TestAGuardThatSpeaksNonsenseIsHungUpOn(t *testing.T) {
	for rule, text := range map[string]string{
		"no JSON": "hello\n", "a list": "[]\n", "another type": `{"event":{"available":-1}}` + "\n", "a line without end": strings.Repeat("x", maxGuardLine+1),
	} {
		t.Run(rule, func(t *testing.T) {
			inBed(t, func(b *bed) {
				g := b.guarded()
				_, _ = io.WriteString(g.conn, text)
				<-g.gone
				b.after(0)
				if guard, err := b.Guard(context.Background()); err != nil || guard.Connected {
					t.Errorf("%+v, %v", guard, err)
				}
			})
		})
	}
}

func TestAGuardMayConnectBeforeThereIsAnythingToTell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, filepath.Join(t.TempDir(), "tiers.toml"))
		b.fails("list")
		b.run()
		g := b.guarded()
		b.after(time.Minute)
		if n := len(g.tables); n != 0 {
			t.Errorf("from no knowledge it was told %+v", g.tables)
		}
		b.works()
		b.after(5 * time.Second)
		if len(g.tables) == 0 {
			t.Error("it is told nothing")
		}
		b.fails("list")
		g.set(func() { g.tables = nil })
		b.systemd.by(func() { b.systemd.give(true) })
		b.after(time.Minute)
		if len(g.tables) != 0 {
			t.Errorf("while systemd is away it is told %+v", g.tables)
		}
		b.end()
		<-g.gone
	})
}

// The same over a socket of the kernel's, with the peer's credentials.
func TestTheGuardsSocket(t *testing.T) {
	b := newBed(t, filepath.Join(t.TempDir(), "tiers.toml"))
	a := New(Options{Systemd: b.systemd, Log: quiet(), ConfigPath: b.config, Kernel: b, Root: t.TempDir(),
		Host: func(context.Context) (units.Host, error) {
			return units.Host{MemTotal: 125 << 30, SystemdVersion: 262}, nil
		}})
	ctx, cancel := context.WithCancel(context.Background())
	go a.Run(ctx)
	l := listen(t)
	served := make(chan error, 1)
	go func() { served <- a.ServeGuard(ctx, l) }()
	c, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	g := newFakeGuard(t, c, calm)
	eventually(t, "a table", func() bool { return g.table().Soft > 0 })
	guard, err := a.Guard(ctx)
	if err != nil || guard.State == nil || !guard.State.Armed || guard.Text != "" {
		t.Errorf("%+v, %v", guard, err)
	}
	trace, err := a.GuardTrace(ctx)
	if err != nil || len(trace) != 2 || string(trace[1]) != `{"at":2}` {
		t.Errorf("%s, %v", trace, err)
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	<-g.gone
}

func TestAStrangerIsNoGuard(t *testing.T) {
	a := New(Options{Log: quiet()})
	here, there := net.Pipe() // of whose end nobody can tell who it is
	l := &onePipe{conn: there}
	if err := a.ServeGuard(context.Background(), l); !errors.Is(err, net.ErrClosed) {
		t.Errorf("it ends with %v", err)
	}
	if _, err := here.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("it reads %v", err)
	}
}

// onePipe is a listener with one connection.
type onePipe struct {
	net.Listener
	conn net.Conn
}

func (l *onePipe) Accept() (net.Conn, error) {
	c := l.conn
	if l.conn = nil; c == nil {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (l *onePipe) Close() error { return nil }

func FuzzReadWords(f *testing.F) {
	word, err := json.Marshal(api.GuardWord{Event: &api.GuardEvent{Time: epochStart, Kind: "ask", Unit: coder, Text: gaveWay}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append(word, '\n'))
	f.Add([]byte("{\"state\":{\"armed\":true}}\n{\"trace\":[1,{}]}\n"))
	f.Add([]byte("{}\n\n"))
	f.Add([]byte(`{"event":null,"later":[[]]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		heard := 0
		err := readWords(bytes.NewReader(text), func(api.GuardWord) { heard++ })
		if lines := bytes.Count(text, []byte("\n")) + 1; heard > lines {
			t.Errorf("%d words in %d lines", heard, lines)
		}
		if err == nil && heard == 0 && len(bytes.TrimSpace(text)) > 0 {
			t.Errorf("nothing was heard of %q, and nothing is wrong", text)
		}
	})
}

package main

import (
	"context"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// patient is an engine that answers or keeps silent, as its fields say.
type patient struct {
	silent   bool      // /health does not answer,
	cured    time.Time // until then, when set
	hung     bool      // no token comes
	inFlight float64
	work     float64
	growth   float64 // of work, by look
	unknown  bool    // no metrics

	miscounts bool // its requests in flight are none
	asked     int  // for a token
}

func (p *patient) wait(ctx context.Context, hang bool) error {
	if hang {
		<-ctx.Done()
		return errors.New("no answer from the engine")
	}
	return nil
}

func (p *patient) healthy(ctx context.Context) error {
	return p.wait(ctx, p.silent && (p.cured.IsZero() || time.Now().Before(p.cured)))
}

func (p *patient) completes(ctx context.Context) error {
	p.asked++
	return p.wait(ctx, p.hung)
}

func (p *patient) settle(context.Context) error {
	if p.miscounts {
		p.inFlight = 0
	}
	return nil
}

func (p *patient) counters(context.Context) (counters, error) {
	p.work += p.growth
	return counters{known: !p.unknown, inFlight: p.inFlight, work: p.work}, nil
}

func TestTheWatchdogIsFedOnlyWhileTheEngineWorks(t *testing.T) {
	tests := []struct {
		name    string
		patient patient
		givenUp string // "" when the engine is well
	}{
		{"an idle engine is well", patient{}, ""},
		{"a busy engine that makes tokens is well", patient{inFlight: 3, growth: 1}, ""},
		{"one that does not answer is given up", patient{silent: true}, "no answer"},
		{"one that answers and makes no token is given up", patient{inFlight: 3, hung: true}, "3 requests are in flight"},
		{"a client that does not read its stream is no stall", patient{inFlight: 1}, ""},
		{"without metrics the health answer has to do", patient{inFlight: 1, hung: true, unknown: true}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				var fed []string
				w := newWatch(&test.patient, time.Minute, 5*time.Minute, func(lines ...string) { fed = append(fed, lines...) })
				why := w.run(ctx)
				if test.givenUp == "" {
					if why != "" || slices.Contains(fed, "WATCHDOG=trigger") {
						t.Errorf("given up: %s", why)
					}
					if n := len(fed); n < 120 || n > 200 {
						t.Errorf("fed %d times in an hour at an interval of a minute", n)
					}
					return
				}
				if !strings.Contains(why, test.givenUp) || fed[len(fed)-1] != "WATCHDOG=trigger" {
					t.Errorf("reason %q, fed %q", why, fed)
				}
				if w.overdue() {
					t.Error("systemd's own timer ran out before the engine was given up")
				}
			})
		})
	}
}

func TestAnIdleEngineThatMiscountsIsAskedForOneToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		engine := &patient{inFlight: 1, miscounts: true}
		why := newWatch(engine, time.Minute, 5*time.Minute, func(...string) {}).run(ctx)
		if why != "" || engine.asked != 1 {
			t.Errorf("asked for %d tokens in an hour, given up: %q", engine.asked, why)
		}
	})
}

func TestAnEngineGetsThreeChances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sick := &patient{silent: true, cured: time.Now().Add(41 * time.Second)} // two looks have failed by then
		var fed []string
		w := newWatch(sick, time.Minute, time.Hour, func(lines ...string) { fed = append(fed, lines...) })
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		if why := w.run(ctx); why != "" {
			t.Fatalf("given up: %s", why)
		}
		if !slices.Contains(fed, "STATUS=Not answering: no answer from the engine") || !slices.Contains(fed, "STATUS=Ready (the engine answers again)") {
			t.Errorf("systemd heard %q", fed)
		}
	})
}

func TestWatchdogInterval(t *testing.T) {
	pid := os.Getpid()
	tests := []struct {
		name string
		env  []string
		want time.Duration
	}{
		{"unset", nil, 0},
		{"set", []string{"WATCHDOG_USEC=60000000"}, time.Minute},
		{"for this process", []string{"WATCHDOG_USEC=60000000", "WATCHDOG_PID=" + strconv.Itoa(pid)}, time.Minute},
		{"for another process", []string{"WATCHDOG_USEC=60000000", "WATCHDOG_PID=1"}, 0},
		{"no number", []string{"WATCHDOG_USEC=soon"}, 0},
		{"negative", []string{"WATCHDOG_USEC=-1"}, 0},
	}
	for _, test := range tests {
		if got := watchdogInterval(test.env, pid); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

func TestAStuckEngineEndsInAFailure(t *testing.T) {
	for fault, words := range map[string]string{"/test/stuck": "3 requests are in flight", "/test/sick": "stopped answering"} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			b := newBed(t)
			b.tierd(yes)
			args := []string{"run", "--tier=t", "--engine=vllm", "--stall-timeout=100ms", "--socket=" + b.socket, "--admit=" + b.admit, "--", os.Args[0], "--socket=" + b.socket}
			b.start(args, []string{"WATCHDOG_USEC=3000000"})
			b.await("READY=1")
			b.post(fault)
			b.await("STATUS=Not answering")
			b.wantEnd(74, words)
			b.await("WATCHDOG=trigger")
			b.gone(b.pidIn("engine"))
		})
	}
}

func TestAStopOfASickEngineIsStillAStop(t *testing.T) {
	b := newBed(t)
	b.tierd(yes)
	b.run(nil).await("READY=1")
	b.post("/test/sick")
	b.signal(syscall.SIGTERM)
	b.wantEnd(0, "Stopped")
}

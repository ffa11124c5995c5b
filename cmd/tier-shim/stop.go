package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// stopSignals turns SIGTERM, SIGINT and SIGHUP into a context, and counts the later ones.
type stopSignals struct {
	ctx    context.Context // ends at the first signal
	again  chan os.Signal  // the later ones
	caught chan os.Signal
}

func catchStop() *stopSignals {
	ctx, cancel := context.WithCancel(context.Background())
	s := &stopSignals{ctx: ctx, again: make(chan os.Signal, 1), caught: make(chan os.Signal, 4)}
	signal.Notify(s.caught, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	// A journal that is being restarted breaks the output for a moment. With its default action the signal would end the
	// shim, and the model with it. It is caught and not ignored, since the engine would inherit an ignored one.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	go func() {
		for sig := range s.caught {
			if ctx.Err() == nil {
				cancel()
				continue
			}
			select {
			case s.again <- sig:
			default:
			}
		}
	}()
	return s
}

func (s *stopSignals) release() {
	signal.Stop(s.caught)
	close(s.caught)
}

// signalSpan is how far apart the engine and the shim may act on a signal that was sent to the whole unit, as tier-guard
// does and `systemctl kill`: the engine may have ended of it before the shim has heard. A shim that took this for a death
// would have systemd start the tier again.
const signalSpan = 500 * time.Millisecond

// within tells whether a signal to stop has come, or comes within d.
func (s *stopSignals) within(d time.Duration) bool {
	ctx, cancel := context.WithTimeout(s.ctx, d)
	defer cancel()
	<-ctx.Done()
	return s.ctx.Err() != nil
}

// grace is how long an engine without requests may take to end on SIGTERM. llama-server needs 0.1 s, vLLM 3 s.
var grace = map[string]time.Duration{"llama": 10 * time.Second, "vllm": 15 * time.Second}

// secondTerm is when SIGTERM is repeated. One is not enough for vLLM in every phase, and llama-server ends at once on
// the second even with a client that does not leave.
const secondTerm = 3 * time.Second

// stopLoading ends an engine that is not ready. Nothing is in flight, and a loading vLLM does not obey SIGTERM.
func (s *shim) stopLoading(e *engine) *end {
	s.note.send("STOPPING=1", "STATUS=Stopping while loading")
	e.killGroup()
	<-e.done
	return stopped("Stopped while loading")
}

// stopServing ends a ready engine without cutting a request short: tierd has the gateway drain, then the engine is told.
func (s *shim) stopServing(e *engine, p *prober) *end {
	bound := grace[s.opts.engine]
	s.note.send("STOPPING=1", "STATUS=Draining: waiting for the requests in flight")
	s.note.extend(s.opts.drain + bound + 5*time.Second)
	s.drain(e.done, p.inFlight)

	s.status("Stopping the engine")
	e.signal(syscall.SIGTERM)
	second, last := time.NewTimer(secondTerm), time.NewTimer(bound)
	defer second.Stop()
	defer last.Stop()
	for {
		select {
		case <-e.done:
			return stopped("Stopped")
		case <-second.C:
			e.signal(syscall.SIGTERM)
		case <-last.C:
			s.say("the engine did not end within %s of SIGTERM, so it is killed", bound)
			e.killGroup()
			<-e.done
			return stopped("Stopped (the engine had to be killed)")
		}
	}
}

// drain returns when no request is in flight, when --drain is over, when the engine has gone, or at a second signal.
// tierd knows from the gateway what is in flight; without tierd the engine is asked.
func (s *shim) drain(gone <-chan struct{}, inFlight func(context.Context) (int, bool)) {
	ctx, cancel := context.WithTimeout(context.Background(), s.opts.drain)
	defer cancel()
	go func() {
		defer cancel()
		answer, err := askTierd(ctx, s.opts.admit, "stop", func(string) {})
		if err == nil {
			if !answer.OK {
				s.say("the requests in flight are cut off: %s", answer.Message)
			}
			return
		}
		for ctx.Err() == nil {
			if count, known := inFlight(ctx); !known || count == 0 {
				return
			}
			sleep(ctx, 250*time.Millisecond)
		}
	}()
	select {
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			s.say("requests were still in flight after %s; they are cut off", s.opts.drain)
		}
	case <-gone:
	case <-s.stop.again:
		s.say("a second signal: the requests in flight are cut off")
	}
}

// sleep waits for d or for the end of ctx.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

package main

import (
	"context"
	"fmt"
	"os"
	"time"
)

// supervise runs one engine from admission to its end.
func (s *shim) supervise() *end {
	if b := s.opts.blocked; b != nil {
		return failed(b.class, "%s", b.sentence)
	}
	ctx := s.stop.ctx
	s.note.send("STATUS=Asking for admission")
	s.note.extend(admitWait + 10*time.Second)
	if refused := s.admission(ctx); ctx.Err() != nil || refused != nil {
		return orStopped(refused, ctx)
	}
	if held := clearSocket(s.opts.socket); held != nil {
		return held
	}
	argv := s.preferred(ctx)
	if ctx.Err() != nil {
		return orStopped(nil, ctx)
	}
	r := &running{
		shim:    s,
		started: time.Now(),
		load:    newLoading(s.opts.engine, s.opts.progressBytes, time.Now),
		probe:   newProber(s.opts.engine, s.opts.socket, s.opts.served),
		before:  s.cgroup.ooms(),
	}
	if err := r.start(argv); err != nil {
		return failed(classConfiguration, "%s", capital(err.Error()))
	}
	watching, enough := context.WithCancel(context.Background())
	defer enough()
	r.killed = s.cgroup.killed(watching, r.before)
	last := r.untilReady(ctx)
	if last == nil {
		last = r.serve(ctx)
	}
	r.logs.Wait()
	os.Remove(s.opts.socket) // both engines leave it, and the next start of either would fail on it
	return last
}

// orStopped prefers a stop that somebody asked for over what it caused.
func orStopped(last *end, ctx context.Context) *end {
	if ctx.Err() != nil {
		return stopped("Stopped before the engine was started")
	}
	return last
}

// running is an engine and what is known of it.
type running struct {
	*shim
	engine  *engine
	load    *loading
	seen    lastSeen
	probe   *prober
	started time.Time
	before  oomCount // of the unit, before this start
	killed  <-chan struct{}
	logs    drained
}

// start runs the engine with a pipe for each of its outputs.
func (r *running) start(argv []string) error {
	outRead, outWrite, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("cannot make a pipe for the engine's log: %w", err)
	}
	errRead, errWrite, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("cannot make a pipe for the engine's log: %w", err)
	}
	r.status(r.load.words())
	r.engine, err = startEngine(r.opts.oomScore, argv, r.env, outWrite, errWrite)
	if err != nil {
		return err
	}
	line := func(text []byte) {
		r.load.line(text)
		r.seen.line(text)
	}
	r.logs.read(&logTap{out: r.journal.of(r.stdout), line: line}, outRead)
	r.logs.read(&logTap{out: r.journal.of(r.stderr), line: line}, errRead)
	return nil
}

// The start timeout is pushed on in small steps, so that systemd still ends a unit whose shim itself hangs.
const (
	loadTick    = 500 * time.Millisecond
	extendEvery = 5 * time.Second
	extendBy    = 30 * time.Second
)

// untilReady waits for the engine's first token; nil means that it came. While there is progress the start timeout is
// extended; without any for the load timeout the engine is given up.
func (r *running) untilReady(stop context.Context) *end {
	ctx, cancel := context.WithCancel(stop)
	defer cancel()
	var trouble latest
	ready := make(chan error, 1)
	go func() { ready <- r.probe.load(ctx, r.load.kick, trouble.set) }()

	r.note.extend(extendBy)
	tick := time.NewTicker(min(loadTick, r.opts.loadTimeout/2+1))
	defer tick.Stop()
	extended := time.Now()
	for {
		select {
		case <-r.engine.done:
			return r.died()
		case <-r.killed:
			return r.lostToOOM()
		case <-stop.Done():
			return r.stopLoading(r.engine)
		case err := <-ready:
			switch {
			case err == nil:
				return nil
			case stop.Err() != nil:
				return r.stopLoading(r.engine)
			}
			r.engine.killGroup()
			<-r.engine.done
			return failed(classConfiguration, "%s", capital(err.Error()))
		case <-tick.C:
			if quiet := time.Since(r.load.lastMove()); quiet > r.opts.loadTimeout {
				return r.neverReady(quiet, trouble.get())
			}
			if r.opts.engine == "llama" {
				r.load.bytesRead(loadedBytes(r.engine.pid))
			}
			r.status(r.loadWords())
			if time.Since(extended) >= extendEvery {
				r.note.extend(extendBy)
				extended = time.Now()
			}
		}
	}
}

// loadWords is the status of a load. vLLM's main process ends up to half a minute after its engine told why it failed.
func (r *running) loadWords() string {
	if found, _ := r.seen.last(); found != nil && !found.weak {
		return "Failing: " + found.sentence
	}
	return r.load.words()
}

func (r *running) neverReady(quiet time.Duration, trouble error) *end {
	words := r.load.words()
	r.engine.killGroup()
	<-r.engine.done
	why := ""
	if trouble != nil {
		why = "; " + trouble.Error()
	}
	return failed(classTimeout, "The engine did not get ready: no progress for %s (%s%s)", elapsed(quiet), words, why)
}

// died explains the end of an engine that nobody asked to stop. The rest of its log is read first.
func (r *running) died() *end {
	r.logs.Wait()
	if last := r.outOfMemory(r.cgroup.ooms().since(r.before)); last != nil {
		return last // vLLM may even exit well after it
	}
	if r.stop.within(signalSpan) {
		return stopped("Stopped")
	}
	found, words := r.seen.last()
	return explain(r.engine.state, found, words)
}

// lostToOOM ends an engine of which the kernel has taken a process. What is left of it would serve no more, or hang.
func (r *running) lostToOOM() *end {
	r.engine.killGroup()
	<-r.engine.done
	return r.died()
}

// serve says READY and watches until the engine ends or is told to.
func (r *running) serve(stop context.Context) *end {
	r.seen.forget()
	took := time.Since(r.started)
	r.note.send("READY=1", "STATUS="+fmt.Sprintf("Ready (loaded in %s)", seconds(took)))
	r.say("ready after %s", seconds(took))

	ctx, cancel := context.WithCancel(stop)
	defer cancel()
	givenUp := make(chan string, 1)
	var w *watch
	if interval := watchdogInterval(r.env, os.Getpid()); interval > 0 {
		r.note.send("WATCHDOG=1")
		w = newWatch(r.probe, interval, r.opts.stallTimeout, r.note.send)
		go func() {
			if why := w.run(ctx); why != "" {
				givenUp <- why
			}
		}()
	}
	select {
	case <-r.engine.done:
		return r.died()
	case <-r.killed:
		return r.lostToOOM()
	case why := <-givenUp:
		return r.gaveUp(why)
	case <-stop.Done():
		if w != nil && w.overdue() {
			return r.gaveUp("systemd's watchdog heard nothing of it")
		}
		return r.stopServing(r.engine, r.probe)
	}
}

// gaveUp ends an engine that lives and does not work. It does not obey a SIGTERM, and there is nothing to drain.
func (r *running) gaveUp(why string) *end {
	r.engine.killGroup()
	<-r.engine.done
	return failed(classTimeout, "The engine stopped answering: %s", why)
}

// seconds writes a duration with one decimal below ten seconds.
func seconds(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return elapsed(d)
}

func capital(text string) string {
	if text != "" && text[0] >= 'a' && text[0] <= 'z' {
		return string(text[0]-'a'+'A') + text[1:]
	}
	return text
}

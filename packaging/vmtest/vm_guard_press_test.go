//go:build vmtest

package vmtest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/tierd/tierd/packaging/vmtest/wire"
)

// pressing is one shortage of memory: who takes it, and who watches.
type pressing struct {
	g     *guarded
	since time.Time
	over  func() // ends who watches
	hogs  []func()
	lines chan struct{} // one each time that there is news

	mu   sync.Mutex
	seen wire.Shortage
}

// watch begins to watch a shortage that is to come.
func (g *guarded) watch() *pressing {
	g.t.Helper()
	p := &pressing{g: g, since: g.vmNow(), lines: make(chan struct{}, 100)}
	ctx, cancel := context.WithCancel(g.ctx)
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		_, err := g.v.Execute(ctx, fmt.Sprintf("echo $$ >/run/bed/shortage.pid; exec /run/bed/guest shortage -soft %d -hard %d", softLine, hardLine), in, in)
		in.CloseWithError(io.EOF)
		ended <- err
	}()
	go p.read(out)
	p.over = sync.OnceFunc(func() {
		defer cancel()
		g.sh("kill -TERM $(cat /run/bed/shortage.pid)")
		select {
		case err := <-ended:
			if err != nil {
				g.t.Error(err)
			}
		case <-time.After(20 * time.Second):
			g.t.Error("the watch over the shortage did not end")
		}
	})
	g.t.Cleanup(cancel)
	if !p.until(10*time.Second, func(s wire.Shortage) bool { return s.Looks > 0 }) {
		g.t.Fatal("the watch over the shortage did not begin")
	}
	return p
}

// read takes in each line that the watch writes.
func (p *pressing) read(out io.Reader) {
	for d := json.NewDecoder(out); ; {
		var s wire.Shortage
		if err := d.Decode(&s); err != nil {
			if err != io.EOF {
				p.g.t.Logf("the watch over the shortage: %v", err)
			}
			return
		}
		p.mu.Lock()
		p.seen = s
		p.mu.Unlock()
		select {
		case p.lines <- struct{}{}:
		default:
		}
	}
}

func (p *pressing) now() wire.Shortage {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen
}

// until waits for what the watch sees.
func (p *pressing) until(bound time.Duration, is func(wire.Shortage) bool) bool {
	for late := time.After(bound); ; {
		if is(p.now()) {
			return true
		}
		select {
		case <-p.lines:
		case <-late:
			return is(p.now())
		}
	}
}

// hog takes memory with these flags until the shortage is over, or what it returns is called. It is none of systemd's.
func (p *pressing) hog(flags string, args ...any) (let func()) {
	ctx, cancel := context.WithCancel(p.g.ctx)
	ended := make(chan struct{})
	script := "exec /run/bed/guest hog " + fmt.Sprintf(flags, args...)
	go func() {
		defer close(ended)
		var said strings.Builder
		exit, err := p.g.v.Execute(ctx, script, &said, &said)
		if ctx.Err() == nil {
			p.g.t.Errorf("%s: status %d, %v: %s", script, exit, err, said.String())
			return
		}
		p.g.t.Logf("%s: %s", script, strings.TrimSpace(said.String()))
	}()
	let = sync.OnceFunc(func() { cancel(); <-ended })
	p.hogs = append(p.hogs, let)
	p.g.t.Cleanup(let)
	return let
}

// goes waits until a tier is gone.
func (p *pressing) goes(tier string) {
	p.g.t.Helper()
	unit := "tier-" + tier + ".service"
	if !p.until(gone+20*time.Second, func(s wire.Shortage) bool { return !s.Gone[unit].IsZero() }) {
		p.g.t.Errorf("%s does not go: the watch's last news is %+v", tier, p.now())
		p.g.explain()
	}
}

// end lets go of all memory and returns what was seen.
func (p *pressing) end() wire.Shortage {
	p.g.t.Helper()
	for _, let := range p.hogs {
		let()
	}
	p.over()
	p.until(10*time.Second, func(s wire.Shortage) bool { return s.Over })
	s := p.now()
	p.g.t.Logf("%+v", s)
	return s
}

// crossed is when memory fell below the soft line. The watch looks every few milliseconds, or later where it has to wait for
// the one CPU; a tier that goes at once may have given back enough by then, and then it is the guard's look that counts.
func (p *pressing) crossed(s wire.Shortage) time.Time {
	if !s.Crossed.IsZero() {
		return s.Crossed
	}
	for _, e := range p.g.guard().about(p.since, "ask stop kill") {
		if e.Available < softLine {
			return e.Time
		}
	}
	p.g.t.Errorf("memory never fell below the soft line, neither for the watch nor for the guard: %+v", s)
	return p.since
}

// only wants just these tiers to have gone, each within bounds, and the kernel to have killed nobody.
func (p *pressing) only(s wire.Shortage, tiers ...string) {
	p.g.t.Helper()
	t := p.g.t
	for _, tier := range tiers {
		if at := s.Gone["tier-"+tier+".service"]; at.IsZero() {
			t.Errorf("%s is not gone", tier)
		} else if took := at.Sub(p.crossed(s)); took > gone {
			t.Errorf("%s was gone %v after the crossing", tier, took)
		}
	}
	if len(s.Gone) != len(tiers) {
		t.Errorf("gone are %v, and not %q", s.Gone, tiers)
	}
	if s.OOMKills > 0 {
		t.Errorf("the kernel has killed %d processes for memory", s.OOMKills)
	}
}

// figures prints what a shortage cost: how long after the crossing the guard has signalled, and how long it was gone without
// memory. The two clocks are one.
func (p *pressing) figures(name string, s wire.Shortage, tier string) {
	p.g.t.Helper()
	crossed := p.crossed(s)
	for _, e := range p.g.guard().about(crossed.Add(-time.Second), "ask stop kill") {
		if e.Tier == tier {
			// The guard may look before the watch does.
			bench(name+"-signal", max(milliseconds(e.Time.Sub(crossed)), 0), "ms", 50)
			break
		}
	}
	if at := s.Gone["tier-"+tier+".service"]; !at.IsZero() {
		bench(name+"-gone", milliseconds(at.Sub(crossed)), "ms", 5000)
	}
	if !s.Back.IsZero() {
		bench(name+"-back-above-soft", milliseconds(s.Back.Sub(crossed)), "ms", 5000)
	}
	bench(name+"-below-hard", s.BelowHard, "s", 0)
	benchAtLeast(name+"-least-available", float64(s.Least)/(1<<20), "MiB", hardLine>>20)
}

package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/tierd/tierd/agent/hub"
	"github.com/tierd/tierd/units"
)

// pullShow shows how a pull comes along.
type pullShow interface {
	hub.Watcher
	begin(total, here int64) // bytes that are missing, and what of them came earlier
	model(repo string)       // the one that comes now
	close()
}

// pullLineEvery is how often a log gets a line.
const pullLineEvery = 10 * time.Second

func (a *app) newPullShow() pullShow {
	s := &pullCount{out: a.stderr, now: a.now}
	if redrawable(a.stderr) {
		return &pullBar{pullCount: s, pool: mpb.New(mpb.WithOutput(a.stderr), mpb.WithAutoRefresh(), mpb.WithRefreshRate(tick))}
	}
	return &pullLines{pullCount: s}
}

// pullCount counts what came, for both ways to show it.
type pullCount struct {
	out io.Writer
	now func() time.Time

	mu          sync.Mutex
	total, done int64
	repo        string
	rate        pullRate
}

func (s *pullCount) begin(total, here int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total, s.done = total, here
	s.rate.add(s.now(), s.done)
}

func (s *pullCount) model(repo string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.repo = repo
}

// Got counts bytes, for Watcher.
func (s *pullCount) Got(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done += n
	s.rate.add(s.now(), s.done)
}

// text is one line: "Qwen/Qwen2.5-3B  43 %  1.2GiB of 2.8GiB  95.4MiB/s  17s left".
func (s *pullCount) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.total == 0 {
		return s.repo
	}
	done := min(max(s.done, 0), s.total)
	text := fmt.Sprintf("%s  %d %%  %s of %s", s.repo, done*100/s.total, units.Bytes(done), units.Bytes(s.total))
	if rate := s.rate.perSecond(s.now()); rate > 0 {
		text += fmt.Sprintf("  %s/s", units.Bytes(rate))
		if left := time.Duration(float64(s.total-done) / rate * float64(time.Second)); left > 0 {
			text += "  " + formatAge(left) + " left"
		}
	}
	return text
}

// pullLines writes a line now and then, for a log or a pipe.
type pullLines struct {
	*pullCount
	once sync.Once
	stop chan struct{}
	over sync.WaitGroup
}

func (l *pullLines) begin(total, here int64) {
	l.pullCount.begin(total, here)
	if total == 0 {
		return
	}
	l.stop = make(chan struct{})
	l.over.Go(func() {
		every := time.NewTicker(pullLineEvery)
		defer every.Stop()
		for {
			select {
			case <-l.stop:
				return
			case <-every.C:
				fmt.Fprintln(l.out, l.text())
			}
		}
	})
}

// Note is a line at once, for Watcher.
func (l *pullLines) Note(text string) { fmt.Fprintln(l.out, text) }

func (l *pullLines) close() {
	l.once.Do(func() {
		if l.stop != nil {
			close(l.stop)
		}
		l.over.Wait()
	})
}

// pullBar keeps a bar and its line at the foot of a terminal, with what there is to note above it.
type pullBar struct {
	*pullCount
	pool *mpb.Progress
	bar  *mpb.Bar
}

func (b *pullBar) begin(total, here int64) {
	b.pullCount.begin(total, here)
	if total == 0 {
		return
	}
	words := decor.Any(func(decor.Statistics) string { return "  " + b.text() })
	b.bar = b.pool.AddBar(total, mpb.BarWidth(24), mpb.AppendDecorators(words))
	b.bar.SetCurrent(here)
}

// Got moves the bar, for Watcher.
func (b *pullBar) Got(n int64) {
	b.pullCount.Got(n)
	if b.bar != nil {
		b.mu.Lock()
		done := b.done
		b.mu.Unlock()
		b.bar.SetCurrent(max(done, 0))
	}
}

// Note is a line above the bar, for Watcher.
func (b *pullBar) Note(text string) { fmt.Fprintln(b.pool, text) }

func (b *pullBar) close() {
	if b.bar != nil {
		b.bar.Abort(false)
	}
	b.pool.Wait()
}

// pullRate is how fast bytes came within the last seconds.
type pullRate struct{ at []pullSample }

type pullSample struct {
	when time.Time
	done int64
}

// rateWindow is long enough not to flicker, and short enough to see a line that got slow.
const rateWindow = 10 * time.Second

func (r *pullRate) add(now time.Time, done int64) {
	if n := len(r.at); n > 0 && now.Sub(r.at[n-1].when) < tick {
		r.at[n-1].done = done // a sample each tick is enough; this one ends later
		return
	}
	r.at = append(r.at, pullSample{now, done})
	for len(r.at) > 1 && now.Sub(r.at[0].when) > rateWindow {
		r.at = r.at[1:]
	}
}

// perSecond is 0 as long as nobody can tell.
func (r *pullRate) perSecond(now time.Time) float64 {
	if len(r.at) == 0 {
		return 0
	}
	first, last := r.at[0], r.at[len(r.at)-1]
	if d := now.Sub(first.when); d >= time.Second && last.done > first.done {
		return float64(last.done-first.done) / d.Seconds()
	}
	return 0
}

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/tierd/tierd/agent/api"
)

// progress shows how changes come along. update is called from one goroutine only.
type progress interface {
	update(api.Change)
	close()
}

func (a *app) newProgress() progress {
	if redrawable(a.stderr) {
		return newLiveLines(a.stderr, a.now)
	}
	return &plainLines{out: a.stderr, said: map[taskKey]string{}}
}

// newsOf are the tasks of a change as progress shows them: once it is over, its error is reported next and has the reasons of
// all its tasks, which are not said twice. Before that a reason is news.
func newsOf(ch api.Change) []api.Task {
	if ch.Err == nil {
		return ch.Tasks
	}
	tasks := slices.Clone(ch.Tasks)
	for i, t := range tasks {
		if t.State == "error" && strings.Contains(ch.Err.Message, t.Err) {
			tasks[i].Err = ""
		}
	}
	return tasks
}

// taskKey names a task of a change: its place never moves, tasks are only ever added behind the last.
type taskKey struct {
	change string
	index  int
}

// plainLines writes one line for each change of a task's state: what a log or a pipe can take.
type plainLines struct {
	out  io.Writer
	said map[taskKey]string
}

func (p *plainLines) update(ch api.Change) {
	for i, t := range newsOf(ch) {
		key := taskKey{ch.ID, i}
		if t.State == "todo" || p.said[key] == t.State {
			continue
		}
		p.said[key] = t.State
		fmt.Fprintln(p.out, plainLine(t))
	}
}

func (p *plainLines) close() {}

func plainLine(t api.Task) string {
	switch t.State {
	case "doing":
		return fmt.Sprintf("%s: %s", t.Tier, t.Summary)
	case "error":
		if t.Err == "" {
			return fmt.Sprintf("%s: %s: failed", t.Tier, t.Summary)
		}
		return fmt.Sprintf("%s: %s: failed: %s", t.Tier, t.Summary, t.Err)
	case "skipped":
		if t.Err != "" {
			return fmt.Sprintf("%s: %s: skipped: %s", t.Tier, t.Summary, t.Err)
		}
	}
	return fmt.Sprintf("%s: %s: %s", t.Tier, t.Summary, t.State)
}

// liveLines keeps one line per task on a terminal and draws it over as the task comes along.
type liveLines struct {
	pool  *mpb.Progress
	now   func() time.Time
	lines map[taskKey]*liveLine
}

type liveLine struct {
	bar  *mpb.Bar
	text atomic.Pointer[string] // drawn by mpb's goroutine
	from time.Time
	over bool
}

func newLiveLines(out io.Writer, now func() time.Time) *liveLines {
	pool := mpb.New(mpb.WithOutput(out), mpb.WithAutoRefresh(), mpb.WithRefreshRate(tick/2))
	return &liveLines{pool: pool, now: now, lines: map[taskKey]*liveLine{}}
}

func (p *liveLines) update(ch api.Change) {
	for i, t := range newsOf(ch) {
		key := taskKey{ch.ID, i}
		line := p.lines[key]
		if line == nil {
			line = p.add(t)
			p.lines[key] = line
		}
		line.set(t, p.now())
	}
}

func (p *liveLines) add(t api.Task) *liveLine {
	line := &liveLine{}
	text := liveText(t, 0)
	line.text.Store(&text)
	draw := decor.Any(func(decor.Statistics) string { return *line.text.Load() })
	line.bar = p.pool.New(1, mpb.NopStyle(), mpb.PrependDecorators(draw), mpb.BarFillerTrim())
	return line
}

func (l *liveLine) set(t api.Task, now time.Time) {
	if l.over {
		return
	}
	if t.State != "todo" && l.from.IsZero() {
		l.from = now
	}
	var age time.Duration
	if !l.from.IsZero() {
		age = now.Sub(l.from)
	}
	text := liveText(t, age)
	l.text.Store(&text)
	if t.State == "done" || t.State == "error" || t.State == "skipped" {
		l.over = true
		l.bar.SetTotal(1, true)
	}
}

// marks begin the lines. They have no colour: mpb would count the escape sequences as columns and cut too early.
var marks = map[string]string{"todo": "·", "doing": "▸", "done": "✓", "error": "✗", "skipped": "-"}

// liveText is a task's line: mark, tier, what is done, for how long, and the unit's own words.
func liveText(t api.Task, age time.Duration) string {
	text := fmt.Sprintf("%s %-10s %s", marks[t.State], t.Tier, t.Summary)
	if t.State != "todo" && t.State != "skipped" {
		text += "  " + formatAge(age)
	}
	switch {
	case t.Err != "":
		text += "  " + t.Err
	case t.Status != "" && t.State == "doing":
		text += "  " + t.Status
	}
	return text
}

// close leaves the lines as they are: on Ctrl-C some are not over.
func (p *liveLines) close() {
	for _, l := range p.lines {
		if !l.over {
			l.bar.Abort(false)
		}
	}
	p.pool.Wait()
}

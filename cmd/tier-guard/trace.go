package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/tierd/tierd/agent/guard"
)

// tracer appends every look to a file. It allocates, so it is for measuring and for looking for faults; nil is none.
type tracer struct {
	file    *os.File
	lines   chan traced
	stopped bool // the hot goroutine's: looks came faster than they could be written, and a trace has no gaps
}

// traced is a look with its decision, or else new lines and a new pace.
type traced struct {
	look     *guard.Facts
	decision guard.Decision
	lines    guard.Lines
	pace     guard.Pace
}

func openTrace(path string) (*tracer, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("cannot write a trace: %w", err)
	}
	return &tracer{file: f, lines: make(chan traced, 1024)}, nil
}

func (t *tracer) set(to *table) {
	if t != nil {
		t.put(traced{lines: to.lines, pace: to.pace})
	}
}

func (t *tracer) look(f *guard.Facts, d guard.Decision) {
	if t == nil {
		return
	}
	l := traced{look: new(guard.Facts), decision: d}
	*l.look = *f
	l.look.Tiers = slices.Clone(f.Tiers)
	t.put(l)
}

func (t *tracer) put(l traced) {
	if t.stopped {
		return
	}
	select {
	case t.lines <- l:
	default:
		t.stopped = true
		close(t.lines)
	}
}

// end is the hot goroutine's last word.
func (t *tracer) end() {
	if t != nil && !t.stopped {
		t.stopped = true
		close(t.lines)
	}
}

// run writes until the end. A trace that cannot be written, on a full disk, is given up.
func (t *tracer) run(first *table, log *slog.Logger) {
	if t == nil {
		return
	}
	defer t.file.Close()
	w, err := guard.NewWriter(t.file, guard.New(first.lines, first.pace))
	for l := range t.lines {
		switch {
		case err != nil: // the rest is dropped
		case l.look == nil:
			err = w.Set(l.lines, l.pace)
		default:
			err = w.Look(l.look, l.decision)
		}
		if err != nil && w != nil {
			log.Error("no more looks are written to the trace", "err", err)
			w = nil
		}
	}
}

// recent are the looks that are remembered.
func (h *hot) recent() (*guard.Ring, error) {
	a, err := h.ask(true)
	if err != nil {
		return nil, err
	}
	return a.ring, nil
}

// sendTrace writes the looks as one Word with a Trace, look by look: as a whole it would be the largest that the guard ever
// holds, and what it has taken once is locked.
func (l *link) sendTrace(r *guard.Ring) error {
	if l.conn == nil {
		return errClosed
	}
	_ = l.conn.SetWriteDeadline(time.Now().Add(sendBound))
	to := bufio.NewWriterSize(l.conn, 4<<10)
	_, _ = to.WriteString(`{"trace":`) // Flush tells
	lines := &list{to: to, next: '['}
	err := r.WriteTrace(lines)
	_, _ = to.WriteString("]}\n")
	if err = errors.Join(err, to.Flush()); err != nil {
		l.hangUp()
		return fmt.Errorf("tierd does not take the trace: %w", err)
	}
	return nil
}

// list has lines of JSON, which are written to it one at a time, be the elements of a list.
type list struct {
	to   *bufio.Writer
	next byte // what comes before the next one
}

func (l *list) Write(line []byte) (int, error) {
	_ = l.to.WriteByte(l.next)
	l.next = ','
	_, err := l.to.Write(bytes.TrimSuffix(line, []byte{'\n'}))
	return len(line), err
}

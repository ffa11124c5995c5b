package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"

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

// recent are the looks that are remembered, as lines of a trace.
func (h *hot) recent() ([]json.RawMessage, error) {
	a := h.ask(true)
	if a == nil {
		return nil, errors.New("the guard does not come round to its looks")
	}
	var text bytes.Buffer
	if err := a.ring.WriteTrace(&text); err != nil {
		return nil, err
	}
	var lines []json.RawMessage
	for d := json.NewDecoder(&text); ; {
		var line json.RawMessage
		if err := d.Decode(&line); errors.Is(err, io.EOF) {
			return lines, nil
		} else if err != nil {
			return nil, err
		}
		lines = append(lines, line)
	}
}

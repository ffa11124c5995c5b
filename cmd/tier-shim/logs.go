package main

import (
	"io"
	"os"
	"sync"
	"time"
)

// lineLimit bounds what is kept of one line. A longer one is still passed on whole; its rest is only not looked at.
const lineLimit = 4 << 10

// logTap passes an engine's output on as it comes, and hands each line to a reader of it. Lines end at a line feed or at
// a carriage return: progress bars are drawn with the latter.
type logTap struct {
	out  io.Writer
	line func([]byte)

	held [lineLimit]byte
	n    int
}

// copyFrom reads until the last writer has closed the pipe. Bytes go out before they are looked at, and in the pieces
// in which they came. Output that cannot be written is dropped: a full or broken journal must not stop the engine.
func (t *logTap) copyFrom(pipe *os.File) {
	buffer := make([]byte, 16<<10)
	for {
		n, err := pipe.Read(buffer)
		if n > 0 {
			t.out.Write(buffer[:n]) //nolint:errcheck
			t.scan(buffer[:n])
		}
		if err != nil {
			t.flush()
			return
		}
	}
}

func (t *logTap) scan(p []byte) {
	for _, b := range p {
		switch {
		case b == '\n' || b == '\r':
			t.flush()
		case t.n < len(t.held):
			t.held[t.n] = b
			t.n++
		}
	}
}

// flush hands on what is held. The slice is valid only during the call.
func (t *logTap) flush() {
	if t.n > 0 {
		t.line(t.held[:t.n])
	}
	t.n = 0
}

// journal lets the engine and the shim write beside each other: both outputs are the same stream of systemd's journal.
type journal struct {
	mu      sync.Mutex
	midLine bool // the engine has not ended its line
}

// of returns a writer to one of the outputs.
func (j *journal) of(w io.Writer) io.Writer { return &journalWriter{j, w} }

// sentence writes a line of the shim's own, and sees to it that it begins as one.
func (j *journal) sentence(w io.Writer, text string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.midLine {
		text = "\n" + text
		j.midLine = false
	}
	io.WriteString(w, text) //nolint:errcheck // there is nowhere else to say it
}

type journalWriter struct {
	journal *journal
	w       io.Writer
}

func (w *journalWriter) Write(p []byte) (int, error) {
	w.journal.mu.Lock()
	defer w.journal.mu.Unlock()
	w.journal.midLine = len(p) > 0 && p[len(p)-1] != '\n'
	return w.w.Write(p)
}

// drained waits for the log readers, but not for ever: a process that left the engine's group may hold the pipe open.
type drained struct{ readers []chan struct{} }

func (d *drained) read(tap *logTap, pipe *os.File) {
	done := make(chan struct{})
	d.readers = append(d.readers, done)
	go func() {
		defer close(done)
		tap.copyFrom(pipe)
	}()
}

// Wait returns when everything has been passed on, or after half a second.
func (d *drained) Wait() {
	bound := time.After(500 * time.Millisecond)
	for _, done := range d.readers {
		select {
		case <-done:
		case <-bound:
			return
		}
	}
}

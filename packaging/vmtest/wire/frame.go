// Package wire is what the guest's program in a VM and the machine outside say to each other beside plain HTTP: a greeting
// when the agent's end of the serial line is ready, the frames in which a command's output comes, and the summaries in JSON
// of the watch and the hammers.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
)

// Greeting is what the agent writes once its line passes bytes as they are. Nobody may speak to it before.
const Greeting = "tierd bed agent\n"

// Kinds of frames.
const (
	Stdout = 'o'
	Stderr = 'e'
	Exit   = 'x' // the last one; its bytes are the exit status in decimal, 128+N for signal N
)

// maxFrame bounds what a reader takes for one frame's length: a command's output is passed on in pieces of 32 KiB.
const maxFrame = 1 << 20

// Writer writes frames one at a time, each at once: a kind, the length in four bytes, the greatest first, and the bytes.
// Several goroutines may use it.
type Writer struct {
	mu    sync.Mutex
	w     io.Writer
	flush func() error
}

// NewWriter returns a writer of frames that calls flush after each.
func NewWriter(w io.Writer, flush func() error) *Writer { return &Writer{w: w, flush: flush} }

// Of returns a writer whose every Write becomes a frame of that kind.
func (f *Writer) Of(kind byte) io.Writer { return kindWriter{f, kind} }

// Exit writes the last frame.
func (f *Writer) Exit(status int) error {
	_, err := f.Of(Exit).Write([]byte(strconv.Itoa(status)))
	return err
}

type kindWriter struct {
	f    *Writer
	kind byte
}

func (k kindWriter) Write(data []byte) (int, error) {
	k.f.mu.Lock()
	defer k.f.mu.Unlock()
	frame := binary.BigEndian.AppendUint32([]byte{k.kind}, uint32(len(data)))
	if _, err := k.f.w.Write(append(frame, data...)); err != nil {
		return 0, err
	}
	return len(data), k.f.flush()
}

// Copy passes a command's output on until its last frame and returns its exit status. Frames that end without one are
// io.ErrUnexpectedEOF: the command's end is not known.
func Copy(stdout, stderr io.Writer, frames io.Reader) (status int, err error) {
	var head [5]byte
	for {
		if _, err := io.ReadFull(frames, head[:]); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return 0, err
		}
		size := int64(binary.BigEndian.Uint32(head[1:]))
		if size > maxFrame {
			return 0, fmt.Errorf("a frame of %d bytes is longer than the %d that there may be", size, maxFrame)
		}
		var err error
		switch head[0] {
		case Stdout:
			_, err = io.CopyN(stdout, frames, size)
		case Stderr:
			_, err = io.CopyN(stderr, frames, size)
		case Exit:
			return readStatus(io.LimitReader(frames, size))
		default:
			err = fmt.Errorf("there is no frame of kind %q", head[0])
		}
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return 0, err
		}
	}
}

func readStatus(r io.Reader) (int, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return 0, err
	}
	status, err := strconv.ParseUint(string(text), 10, 8)
	if err != nil {
		return 0, fmt.Errorf("the last frame has no exit status: %w", err)
	}
	return int(status), nil
}

package rocm

import (
	"archive/tar"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Record writes what one Snapshot of the host under root reads as a .tar.gz, for Open's sister OpenRecording: the files, byte
// for byte, and why others could not be read. It holds nothing that the Snapshot did not read, so no process's command line
// or environment and no process but those that use a GPU; the kernel's own command line is in it.
func Record(ctx context.Context, root string, w io.Writer) error { return Open(root).record(ctx, w) }

// record is for a Host that has read nothing yet.
func (h *Host) record(ctx context.Context, w io.Writer) error {
	h.notes = &notes{files: map[string][]byte{}, errors: map[string]error{}}
	s := h.Snapshot(ctx)
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("cannot record the host: %w", err)
	}
	if err := h.notes.write(w, s.Time); err != nil {
		return fmt.Errorf("cannot write the recording: %w", err)
	}
	return nil
}

// notes are what was read, for a recording.
type notes struct {
	mu     sync.Mutex
	files  map[string][]byte
	errors map[string]error
}

// note keeps what a read said. A file that is not there needs no note.
func (h *Host) note(path string, data []byte, err error) {
	if h.notes == nil {
		return
	}
	h.notes.mu.Lock()
	defer h.notes.mu.Unlock()
	switch {
	case err == nil:
		h.notes.files[path] = data
	case !missing(err):
		h.notes.errors[path] = err
	}
}

// manifestName is the one file of a recording that the host has not.
const manifestName = "recording.json"

// manifest says of a recording what a tree of files cannot.
type manifest struct {
	Version int         `json:"version"`
	Taken   time.Time   `json:"taken"`
	Errors  []fileError `json:"errors,omitempty"`
}

// fileError is why a file could not be read.
type fileError struct {
	File  string     `json:"file"`
	Errno unix.Errno `json:"errno,omitempty"`
	Hung  bool       `json:"hung,omitempty"`
	Text  string     `json:"text"`
}

func newFileError(file string, err error) fileError {
	e := fileError{File: file, Hung: errors.Is(err, ErrHung), Text: err.Error()}
	errors.As(err, &e.Errno)
	return e
}

// error is what reading the file ends in.
func (e fileError) error() error {
	switch {
	case e.Errno != 0:
		return e.Errno
	case e.Hung:
		return hungError(e.Text)
	default:
		return errors.New(e.Text)
	}
}

func (n *notes) write(w io.Writer, taken time.Time) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	taken = taken.Truncate(time.Second) // tar has no parts of it
	m := manifest{Version: 1, Taken: taken.UTC()}
	for path, err := range n.errors {
		m.Errors = append(m.Errors, newFileError(path, err))
	}
	slices.SortFunc(m.Errors, func(a, b fileError) int { return cmp.Compare(a.File, b.File) })
	text, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		return err
	}
	zip := gzip.NewWriter(w)
	out := tar.NewWriter(zip)
	put := func(name string, data []byte) error {
		h := &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o444, Size: int64(len(data)), ModTime: taken}
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		_, err := out.Write(data)
		return err
	}
	if err := put(manifestName, append(text, '\n')); err != nil {
		return err
	}
	for _, path := range slices.Sorted(maps.Keys(n.files)) {
		if err := put(path, n.files[path]); err != nil {
			return err
		}
	}
	return errors.Join(out.Close(), zip.Close())
}

// Package quirks says what is known to work, to do harm and to hang on AMD GPUs: formats of models, settings of engines,
// kernels. What it knows is data, in a file that the package installs and in the administrator's own.
//
// It is beside package rocm and not in it, since rocm is also in the guard, which is locked in memory and has no use for a
// TOML parser.
package quirks

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// embedded is what Load falls back to where the installed file is missing or cannot be used.
//
//go:embed quirks.toml
var embedded []byte

const (
	shippedFile = "/usr/lib/tierd/quirks.toml"
	ownFolder   = "/etc/tierd/quirks.d"
)

// Quirks is what is known of formats, settings and kernels on AMD GPUs: the entries of the shipped file and of the
// administrator's own. The zero value knows nothing.
type Quirks struct {
	entries []quirk
}

// quirk is one entry of a file.
type quirk struct {
	Verdict
	conditions map[string]condition
	needs      []need
	rank       int // of its file: a later one wins
	line       int
}

// The verdicts. One that is not among them never leaves Load.
const (
	Allow  = "allow"  // known to work
	Warn   = "warn"   // not known, or known to work badly
	Refuse = "refuse" // known to hang, crash or answer wrongly
)

// Verdict is what is known of one topic.
type Verdict struct {
	ID      string // of the entry; "" when nothing is known
	Topic   string // "format", "kv_cache", "kernel", "mes", "env NAME", "flag --NAME", "parameter MODULE.NAME"
	Verdict string // Allow, Warn or Refuse
	Reason  string // a clause without a full stop
	Since   string // the month by which it was known: "2026-06"
	Source  string // where: "vllm-project/vllm#46186"
}

// Fault is what is wrong with a file of quirks. The file is left out as a whole; the others stay in force.
type Fault struct {
	File string // as its reader knows it, without the root
	Line int    // 0: the file as a whole
	Msg  string
}

// Error is the fault as one line: "/etc/tierd/quirks.d/10-own.toml:3: ...".
func (f Fault) Error() string {
	if f.Line == 0 {
		return fmt.Sprintf("%s: %s", f.File, f.Msg)
	}
	return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Msg)
}

// Load reads /usr/lib/tierd/quirks.toml under root, and over it /etc/tierd/quirks.d/*.toml in the order of their
// names. In place of an installed file that is missing or has a fault stands the copy that this program was built with.
func Load(root string) (Quirks, []Fault) {
	var q Quirks
	var faults []Fault
	load := func(name string) ([]quirk, bool) {
		src, err := read(filepath.Join(root, name))
		if errors.Is(err, fs.ErrNotExist) && name == shippedFile {
			return nil, false
		}
		if err != nil {
			faults = append(faults, Fault{File: name, Msg: fmt.Sprintf("cannot be read: %v", err)})
			return nil, false
		}
		found, wrong := parse(name, src)
		faults = append(faults, wrong...)
		return found, len(wrong) == 0
	}
	entries, ok := load(shippedFile)
	if !ok {
		entries, _ = parse(shippedFile, embedded) // a test holds it free of faults
	}
	q.entries = entries
	own, _ := filepath.Glob(filepath.Join(root, ownFolder, "*.toml")) // the pattern is a good one, unless root is not
	slices.Sort(own)
	for i, file := range own {
		entries, _ := load(filepath.Join(ownFolder, filepath.Base(file)))
		for _, e := range entries {
			e.rank = i + 1
			q.entries = append(q.entries, e)
		}
	}
	return q, faults
}

// maxFile bounds what is read of one file: the shipped one has an eighth of it.
const maxFile = 128 << 10

func read(file string) ([]byte, error) {
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return nil, plainError(err)
	case !info.Mode().IsRegular():
		return nil, errors.New("it is not a plain file")
	case info.Size() > maxFile:
		return nil, fmt.Errorf("it has %d bytes, and more than %d are not read", info.Size(), maxFile)
	}
	src, err := os.ReadFile(file)
	return src, plainError(err)
}

// plainError leaves out what the fault says already: the path.
func plainError(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

package opencode

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Record is what is remembered of one file that Apply wrote: enough to take it back.
type Record struct {
	Path  string `json:"path"`
	Kind  Kind   `json:"kind"`
	Scope Scope  `json:"scope"`
	Named bool   `json:"named,omitempty"` // its place was named by the user
	// Kept is what was there before. The first is from before the first apply; each forced one puts what it replaced on top, and
	// each undo takes one off.
	Kept []Snapshot `json:"kept"`
	// Wrote is what Apply wrote. There are two of them only while the second replaces the first: after a crash in between either
	// may be in the file, and both are ours.
	Wrote []Snapshot `json:"wrote"`
	Made  []string   `json:"made,omitempty"` // directories that were not there before, outermost first
	// Cut is Plan.Cut of what was written last: without an engine to ask, its context is not taken for out of date.
	Cut map[string]int `json:"cut,omitempty"`
}

// maxRecord has room for a handful of files of maxFile in base64.
const maxRecord = 64 << 20

// recordName is the name of the record of a path: a path has characters and a length that a name cannot have.
func recordName(path string) string {
	sum := sha256.Sum256([]byte(path))
	return hex.EncodeToString(sum[:16]) + recordSuffix
}

const recordSuffix = ".json"

// parseRecord reads a record. One that is not whole is an error: nothing is taken back by guessing.
func parseRecord(src []byte) (*Record, error) {
	var r Record
	d := json.NewDecoder(bytes.NewReader(src))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one value")
	}
	if !filepath.IsAbs(r.Path) || filepath.Clean(r.Path) != r.Path {
		return nil, fmt.Errorf("path %q is not absolute and clean", r.Path)
	}
	if len(r.Kept) == 0 || len(r.Wrote) == 0 {
		return nil, errors.New("it does not say what was there before, or what was written")
	}
	for _, s := range slices.Concat(r.Kept, r.Wrote) {
		if err := s.check(); err != nil {
			return nil, err
		}
	}
	for _, dir := range r.Made {
		// Undo removes these when they are empty: it must not be led elsewhere.
		if inside, err := filepath.Rel(dir, r.Path); err != nil || !filepath.IsAbs(dir) || !filepath.IsLocal(inside) || inside == "." {
			return nil, fmt.Errorf("%q is no directory of %s", dir, r.Path)
		}
	}
	return &r, nil
}

// readRecord reads the record of a path in the state directory; nil when there is none.
func readRecord(dir, path string) (*Record, error) {
	r, err := readRecordFile(filepath.Join(dir, recordName(path)))
	if err != nil || r == nil {
		return nil, err
	}
	if r.Path != path {
		return nil, badRecord(filepath.Join(dir, recordName(path)), fmt.Errorf("it is about %s", r.Path))
	}
	return r, nil
}

func readRecordFile(name string) (*Record, error) {
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read what was kept: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxRecord {
		return nil, badRecord(name, errors.New("it is no file of ours"))
	}
	src, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("cannot read what was kept: %w", err)
	}
	r, err := parseRecord(src)
	if err != nil {
		return nil, badRecord(name, err)
	}
	return r, nil
}

func badRecord(name string, err error) error {
	return refuse(name, "if you know what was there before, put it there by hand and remove "+name,
		"cannot use %s, which holds what was there before: %v", name, err)
}

// Applied returns the records in a state directory, by path.
func Applied(p Place) ([]Record, error) {
	entries, err := os.ReadDir(p.state)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read what was kept: %w", err)
	}
	var all []Record
	for _, e := range entries {
		if filepath.Ext(e.Name()) != recordSuffix || e.Name() == madeName {
			continue
		}
		r, err := readRecordFile(filepath.Join(p.state, e.Name()))
		if err != nil {
			return nil, err
		}
		if r != nil {
			all = append(all, *r)
		}
	}
	slices.SortFunc(all, func(a, b Record) int { return bytes.Compare([]byte(a.Path), []byte(b.Path)) })
	return all, nil
}

// Written is the record of a place's configuration; nil when Apply has written none, or it was taken back.
func Written(p Place) (*Record, error) { return readRecord(p.state, p.Config) }

// before is what the next undo brings back.
func (r *Record) before() Snapshot { return r.Kept[len(r.Kept)-1] }

// latest is what the last apply wrote.
func (r *Record) latest() Snapshot { return r.Wrote[len(r.Wrote)-1] }

// knows tells whether nothing of anybody else is lost with the file as it is now: it comes from Apply, was there before, or is gone.
func (r *Record) knows(now Snapshot) bool {
	return !now.Exists || now.is(r.before()) || slices.ContainsFunc(r.Wrote, now.is)
}

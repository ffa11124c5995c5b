package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"github.com/tierd/tierd/agent/api/guardwire"
	"github.com/tierd/tierd/agent/guard"
	"golang.org/x/sys/unix"
)

const (
	keptName  = "table.json"
	keepEvery = time.Second // between two writes: a busy tierd has something new four times a second
)

// word is what tierd said last, and when by both clocks: that of the wall may be set before it is read again, and the other one
// starts anew only with the kernel, which takes the file along.
type word struct {
	Wall  time.Time        `json:"wall"`
	Boot  int64            `json:"boot"` // nanoseconds of CLOCK_BOOTTIME
	Table *guardwire.Table `json:"table"`
}

// kept is the file by which a guard that was killed knows which tiers are idle while tierd hangs: of those that it finds by itself
// each might be busy. It is the keeper's.
type kept struct {
	dir     string    // "": nothing is kept
	news    *word     // not written yet
	written time.Time // when it was tried last
	failed  bool      // and told
}

func (s *kept) path() string { return filepath.Join(s.dir, keptName) }

// put takes over what tierd has just said.
func (s *kept) put(w word) {
	if s.dir != "" {
		s.news = &w
	}
}

// waits tells whether there is something to be written.
func (s *kept) waits() bool { return s.news != nil }

// due tells whether it is time for that.
func (s *kept) due() bool { return s.waits() && time.Since(s.written) >= keepEvery }

// write replaces the file as a whole. Where it cannot, the one from before goes as well: a tier that was idle then may be busy now.
// Of errors in a row the first is returned.
func (s *kept) write() error {
	if !s.waits() {
		return nil
	}
	err := s.replace(s.news)
	s.news, s.written = nil, time.Now()
	first := !s.failed
	s.failed = err != nil
	if err == nil {
		return nil
	}
	if gone := os.Remove(s.path()); gone != nil && !errors.Is(gone, os.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	if !first {
		return nil
	}
	return err
}

func (s *kept) replace(w *word) error {
	text, err := json.Marshal(w)
	if err != nil {
		return err
	}
	next := s.path() + ".new"
	err = os.WriteFile(next, text, 0o600)
	if err == nil {
		err = os.Rename(next, s.path())
	}
	if err != nil {
		_ = os.Remove(next) // so that what it takes of a full /run is free again
	}
	return err
}

// read returns what the guard before this one has kept; nil, and no error, when there is nothing.
func (s *kept) read(boot int64) (*word, error) {
	if s.dir == "" {
		return nil, nil
	}
	// Whatever else has that name must not hold up a guard that starts.
	f, err := os.OpenFile(s.path(), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxLine+1))
	if err != nil {
		return nil, err
	}
	w, err := parseWord(text, boot)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.path(), err)
	}
	return w, nil
}

// parseWord reads a kept file. One with a fault is not what a guard has written, so nothing in it counts.
func parseWord(text []byte, boot int64) (*word, error) {
	if len(text) > maxLine {
		return nil, fmt.Errorf("has more than %d KiB", maxLine>>10)
	}
	var w word
	if err := json.Unmarshal(text, &w); err != nil {
		return nil, err
	}
	switch {
	case w.Table == nil:
		return nil, errors.New("has no table")
	case w.Wall.IsZero() || w.Boot <= 0 || w.Boot > boot:
		return nil, fmt.Errorf("was not written since the machine started: its boot is %d, and now is %d", w.Boot, boot)
	case len(w.Table.Tiers) > guard.MaxTiers:
		return nil, fmt.Errorf("has %d tiers, and there are never more than %d", len(w.Table.Tiers), guard.MaxTiers)
	}
	units := map[string]bool{}
	for i, t := range w.Table.Tiers {
		switch {
		case t.Tier == "" || t.Unit == "" || units[t.Unit]:
			return nil, fmt.Errorf("tiers[%d]: tier %q, unit %q: one has no name, or its unit is there twice", i, t.Tier, t.Unit)
		case !path.IsAbs(t.Cgroup) || path.Clean(t.Cgroup) != t.Cgroup || path.Base(t.Cgroup) != t.Unit:
			return nil, fmt.Errorf("tiers[%d]: cgroup %q is not that of %s", i, t.Cgroup, t.Unit)
		case t.MainPID < 0 || t.Priority < 0 || t.Priority > 100:
			return nil, fmt.Errorf("tiers[%d]: main_pid %d or priority %d is out of range", i, t.MainPID, t.Priority)
		}
		units[t.Unit] = true
	}
	return &w, nil
}

// recall has the guard go by what was kept, until tierd speaks: by its lines, and by what it says of units that still are in the
// life that it was about, which their main processes tell. Others are found as if nothing had been kept.
func (k *keeper) recall() {
	boot := boottime()
	w, err := k.kept.read(boot)
	if err != nil {
		k.log.Warn("cannot go by what tierd said to the guard before this one", "err", err)
	}
	if w == nil {
		return
	}
	k.spoken = w.Table
	for _, f := range heard(w.Table.Tiers, w.Wall, w.Boot) {
		pids, err := pidsIn(filepath.Join(k.opts.root, cgroups, f.cgroup, "cgroup.procs"))
		if err == nil && f.main > 0 && slices.Contains(pids, f.main) {
			f.kept = true
			k.heard = append(k.heard, f)
		}
	}
	k.log.Info("goes by what tierd said to the guard before this one", "tiers", len(k.heard), "of", len(w.Table.Tiers), "age", time.Duration(boot-w.Boot).Round(time.Millisecond))
}

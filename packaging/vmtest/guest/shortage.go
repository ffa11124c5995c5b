package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/packaging/vmtest/wire"
)

// shortage looks every few milliseconds at how much memory is available and at which tiers there are, before everybody else.
// It writes a line of JSON when it begins, when the soft line is crossed for the first time, when a tier is gone, and at
// SIGTERM, each with all that was seen so far. What it reads is open from the beginning: there may be no descriptor left.
func shortage(args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("shortage", flag.ContinueOnError)
	every := flags.Duration("every", 5*time.Millisecond, "time between looks")
	soft := flags.Int64("soft", 0, "bytes of available memory: the first line")
	hard := flags.Int64("hard", 0, "bytes: the second")
	root := flags.String("root", "/", "the host's files are below it")
	if err := flags.Parse(args); err != nil {
		return err
	}
	w, err := newShortWatch(*root, *soft, *hard)
	if err != nil {
		return err
	}
	if *root == "/" {
		if err := comeFirst(); err != nil {
			return err
		}
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, os.Interrupt, syscall.SIGTERM)
	out, tick := json.NewEncoder(stdout), time.NewTicker(*every)
	defer tick.Stop()
	for first := true; ; first = false {
		news, err := w.look(time.Now())
		if err == nil && (news || first) {
			err = out.Encode(w.seen)
		}
		if err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ended:
			w.seen.Over = true
			return out.Encode(w.seen)
		}
	}
}

// shortWatch is what one shortage is watched with.
type shortWatch struct {
	soft, hard   int64
	meminfo, vm  *os.File
	units        map[string]*os.File // cgroup.events of those that are there
	seen         wire.Shortage
	last         time.Time
	below        bool // at the last look, below the hard line
	killsAtFirst int64
	buffer       [16 << 10]byte
}

func newShortWatch(root string, soft, hard int64) (*shortWatch, error) {
	w := &shortWatch{soft: soft, hard: hard, units: map[string]*os.File{}, seen: wire.Shortage{Gone: map[string]time.Time{}}}
	var err error
	if w.meminfo, err = os.Open(filepath.Join(root, "proc/meminfo")); err != nil {
		return nil, err
	}
	if w.vm, err = os.Open(filepath.Join(root, "proc/vmstat")); err != nil {
		return nil, err
	}
	dirs, err := filepath.Glob(filepath.Join(root, tierCgroups, "*", "tier-*.service"))
	if err != nil {
		return nil, err
	}
	for _, dir := range dirs {
		f, err := os.Open(filepath.Join(dir, "cgroup.events"))
		if gone(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		w.units[filepath.Base(dir)] = f
	}
	if w.killsAtFirst, err = w.field(w.vm, "oom_kill "); err != nil {
		return nil, err
	}
	w.seen.Units = len(w.units)
	return w, nil
}

// look takes one look. Whether there is news.
func (w *shortWatch) look(now time.Time) (news bool, err error) {
	available, err := w.field(w.meminfo, "MemAvailable:")
	if err != nil {
		return false, err
	}
	available <<= 10
	kills, err := w.field(w.vm, "oom_kill ")
	if err != nil {
		return false, err
	}
	s := &w.seen
	if s.Looks == 0 {
		s.Least = available
	} else {
		gap := now.Sub(w.last)
		s.LongestGap = max(s.LongestGap, gap.Seconds())
		if w.below {
			s.BelowHard += gap.Seconds()
		}
	}
	s.Looks++
	s.Least, s.Available, s.OOMKills = min(s.Least, available), available, kills-w.killsAtFirst
	w.last, w.below = now, available < w.hard
	if available < w.soft && s.Crossed.IsZero() {
		s.Crossed, news = now, true
	}
	if available >= w.soft && !s.Crossed.IsZero() && s.Back.IsZero() && len(s.Gone) > 0 {
		s.Back, news = now, true
	}
	for unit, f := range w.units {
		n, err := f.ReadAt(w.buffer[:], 0)
		switch {
		case err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, unix.ENODEV):
			return false, err
		case errors.Is(err, unix.ENODEV) || bytes.Contains(w.buffer[:n], []byte("populated 0")):
			s.Gone[unit], news = now, true
			delete(w.units, unit)
			f.Close()
		}
	}
	return news, nil
}

// field reads one number of a file of /proc.
func (w *shortWatch) field(f *os.File, name string) (n int64, err error) {
	size, err := f.ReadAt(w.buffer[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	_, rest, found := strings.Cut("\n"+string(w.buffer[:size]), "\n"+name)
	if _, err := fmt.Sscan(rest, &n); !found || err != nil {
		return 0, fmt.Errorf("%s: no %s", f.Name(), strings.TrimRight(name, ": "))
	}
	return n, nil
}

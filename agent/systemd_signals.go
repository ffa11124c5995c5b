package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"
)

// keepJobs is how many ended jobs are remembered for callers that have not yet heard their job's path.
const keepJobs = 256

// session is what lives as long as one connection to the bus.
type session struct {
	conn  *dbus.Conn
	hints *hints
	ended chan struct{}

	signals chan *dbus.Signal // as the connection delivers them

	mu      sync.Mutex
	held    map[string]bool            // units that this connection references
	watched map[string]bool            // units whose signals are delivered
	units   map[string]UnitStatus      // as last read
	dirty   map[string]bool            // changed since
	paths   map[dbus.ObjectPath]string // back from a unit's path to its name
	waiting map[dbus.ObjectPath]chan string
	results map[dbus.ObjectPath]string // of jobs that ended before anybody waited
	order   []dbus.ObjectPath          // of results, the oldest first
}

func newSession(conn *dbus.Conn, h *hints) *session {
	return &session{
		conn: conn, hints: h, ended: make(chan struct{}), held: map[string]bool{}, watched: map[string]bool{},
		units: map[string]UnitStatus{}, dirty: map[string]bool{}, paths: map[dbus.ObjectPath]string{},
		waiting: map[dbus.ObjectPath]chan string{}, results: map[dbus.ObjectPath]string{},
	}
}

// end lets everybody go who waits for a job.
func (s *session) end() { close(s.ended) }

// call sends one message to the manager and stores its answer.
func (s *session) call(ctx context.Context, method string, args []any, answer ...any) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	return s.translate(s.conn.Object(systemdName, managerPath).CallWithContext(ctx, managerIface+"."+method, 0, args...).Store(answer...))
}

// translate tells a lost connection from a refusal.
func (s *session) translate(err error) error {
	var refused dbus.Error
	switch {
	case err == nil:
		return nil
	case isDBus(err, errNoReply), isDBus(err, errNoOwner):
		return fmt.Errorf("%w: %w", ErrDisconnected, err)
	case errors.As(err, &refused):
		return err
	case errors.Is(err, dbus.ErrClosed), errors.As(err, new(*net.OpError)), s.conn.Context().Err() != nil:
		return fmt.Errorf("%w: %w", ErrDisconnected, err)
	}
	return err
}

// subscribe makes the manager send signals at all, and asks for the one that tells of a daemon-reload.
func (s *session) subscribe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	if err := s.conn.AddMatchSignalContext(ctx, dbus.WithMatchSender(systemdName), dbus.WithMatchObjectPath(managerPath),
		dbus.WithMatchInterface(managerIface), dbus.WithMatchMember("Reloading")); err != nil {
		return fmt.Errorf("cannot watch for reloads of systemd: %w", err)
	}
	if err := s.call(ctx, "Subscribe", nil); err != nil {
		return fmt.Errorf("cannot subscribe to systemd's signals: %w", err)
	}
	return nil
}

// watch asks for the signals of one unit: its properties, and the end of its jobs. Matching by unit keeps the rest of the
// machine from waking tierd: one daemon-reload sends hundreds of signals about all units.
func (s *session) watch(ctx context.Context, name string) error {
	s.mu.Lock()
	known := s.watched[name]
	s.mu.Unlock()
	if known {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	object := unitPath(name)
	s.mu.Lock()
	s.paths[object] = name
	s.mu.Unlock()
	for _, match := range [][]dbus.MatchOption{
		{dbus.WithMatchSender(systemdName), dbus.WithMatchObjectPath(object), dbus.WithMatchInterface(propertyIface), dbus.WithMatchMember("PropertiesChanged")},
		{dbus.WithMatchSender(systemdName), dbus.WithMatchObjectPath(managerPath), dbus.WithMatchInterface(managerIface), dbus.WithMatchMember("JobRemoved"), dbus.WithMatchArg(2, name)},
	} {
		if err := s.conn.AddMatchSignalContext(ctx, match...); err != nil {
			return fmt.Errorf("cannot watch %s: %w", name, s.translate(err))
		}
	}
	s.mu.Lock()
	s.watched[name] = true
	s.mu.Unlock()
	return nil
}

// take follows one signal.
func (s *session) take(sig *dbus.Signal) {
	switch sig.Name {
	case propertyIface + ".PropertiesChanged":
		s.mu.Lock()
		name, ours := s.paths[sig.Path]
		if ours {
			s.dirty[name] = true
		}
		s.mu.Unlock()
		if ours {
			s.hints.give(false)
		}
	case managerIface + ".JobRemoved":
		var id uint32
		var job dbus.ObjectPath
		var unit, result string
		if dbus.Store(sig.Body, &id, &job, &unit, &result) == nil {
			s.jobEnded(job, result)
		}
	case managerIface + ".Reloading":
		var active bool
		if dbus.Store(sig.Body, &active) == nil && !active {
			s.hints.give(true)
		}
	}
}

// jobEnded hands a job's result to who waits for it, or keeps it: the signal may overtake the reply that names the job.
func (s *session) jobEnded(job dbus.ObjectPath, result string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ch := s.waiting[job]; ch != nil {
		delete(s.waiting, job)
		ch <- result
		return
	}
	s.results[job] = result
	s.order = append(s.order, job)
	if len(s.order) > keepJobs {
		delete(s.results, s.order[0])
		s.order = s.order[1:]
	}
}

// jobCheck is how often a job that is waited for is looked up, should its end have been missed.
const jobCheck = 15 * time.Second

// job waits for the end of a job. Two callers may have got the same one, since systemd merges them.
func (s *session) job(ctx context.Context, job dbus.ObjectPath) (string, error) {
	s.mu.Lock()
	if result, over := s.results[job]; over {
		s.mu.Unlock()
		return result, nil
	}
	ch := s.waiting[job]
	if ch == nil {
		ch = make(chan string, 1)
		s.waiting[job] = ch
	}
	s.mu.Unlock()
	check := time.NewTicker(jobCheck)
	defer check.Stop()
	for {
		select {
		case result := <-ch:
			ch <- result // for the other one
			return result, nil
		case <-check.C:
			if s.jobGone(ctx, job) {
				return "", ErrDisconnected // the unit's state tells what became of it
			}
		case <-s.ended:
			return "", ErrDisconnected
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

func (s *session) jobGone(ctx context.Context, job dbus.ObjectPath) bool {
	id, err := strconv.ParseUint(path.Base(string(job)), 10, 32)
	if err != nil {
		return true
	}
	var same dbus.ObjectPath
	return isDBus(s.call(ctx, "GetJob", []any{uint32(id)}, &same), errNoSuchJob)
}

// unitPath is a unit's object path: every byte that is no ASCII letter or digit, and a leading digit, becomes _ and two
// hexadecimal digits (sd_bus_path_encode(3)).
func unitPath(name string) dbus.ObjectPath {
	var b strings.Builder
	b.WriteString(unitPathPrefix)
	for i := range len(name) {
		c := name[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if letter || c >= '0' && c <= '9' && i > 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "_%02x", c)
		}
	}
	return dbus.ObjectPath(b.String())
}

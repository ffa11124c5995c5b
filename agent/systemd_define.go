package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/tierd/tierd/units"
)

// definingDir holds one file for each unit that is being defined. It is per unit, so that a start of another one, by
// whomever, is not swallowed.
const definingDir = "run/tierd/defining"

// transientDir is where the manager keeps the definitions that it was sent.
const transientDir = "run/systemd/transient"

// Names of D-Bus errors that mean something here.
const (
	errNoSuchUnit = "org.freedesktop.systemd1.NoSuchUnit"
	errUnitExists = "org.freedesktop.systemd1.UnitExists"
	errNoSuchJob  = "org.freedesktop.systemd1.NoSuchJob"
	errNoReply    = "org.freedesktop.DBus.Error.NoReply"        // the manager went away: daemon-reexec
	errNoOwner    = "org.freedesktop.DBus.Error.NameHasNoOwner" // and is not back yet
)

// property is a(sv) as StartTransientUnit takes it.
type property struct {
	Name  string
	Value dbus.Variant
}

// aux is a(sa(sv)): further units of the same call, of which there are none.
type aux struct {
	Name       string
	Properties []property
}

// condition is one entry of Conditions: a(sbbs).
type condition struct {
	Type    string
	Trigger bool
	Negate  bool
	Param   string
}

// transient is what is sent for a unit: its own properties, the reference that keeps it loaded, and the condition that
// keeps it from running while it is defined.
func transient(u units.Unit) []property {
	return append(wrapped(u.Properties),
		property{"AddRef", dbus.MakeVariant(true)},
		property{"Conditions", dbus.MakeVariant([]condition{{"ConditionPathExists", false, true, "/" + filepath.Join(definingDir, u.Name)}})})
}

// wrapped are properties as D-Bus sends them.
func wrapped(props []units.Property) []property {
	list := make([]property, 0, len(props)+2)
	for _, p := range props {
		list = append(list, property{p.Name, dbus.MakeVariant(p.Value)})
	}
	return list
}

// Define loads a unit without starting it. StartTransientUnit knows no other way than to start it, so a condition is unmet
// just then: the job ends well and the unit is loaded, inactive, and starts by whatever tool from then on. The mode is
// ignore-dependencies, because a start, even one whose condition fails, first stops what the unit conflicts with: to
// define a variant would stop the one that serves.
func (b *Bus) Define(ctx context.Context, u units.Unit) error {
	s, err := b.open(ctx)
	if err != nil {
		return err
	}
	if b.masked(u.Name) {
		return errors.New(maskedReason(u.Name))
	}
	if err := s.watch(ctx, u.Name); err != nil {
		return err
	}
	if err := s.forget(ctx, u.Name); err != nil {
		return err
	}
	unblock, err := b.block(u.Name)
	if err != nil {
		return err
	}
	defer unblock()
	path, err := b.startTransient(ctx, s, u)
	if err != nil {
		return fmt.Errorf("systemd does not take it: %w", s.explain(ctx, u.Name, err))
	}
	s.hold(u.Name, true)
	result, err := s.job(ctx, path)
	// The start of a variant cancels the job when it comes just now (Conflicts=); the unit is loaded all the same.
	if err == nil && result != "done" && result != "canceled" {
		err = fmt.Errorf("systemd's job to load it ended: %s", result)
	}
	return err
}

// block makes the file that the unit's condition looks at.
func (b *Bus) block(name string) (func(), error) {
	file := filepath.Join(b.root, definingDir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		return nil, err
	}
	return func() {
		if err := os.Remove(file); err != nil {
			b.log.Error("a unit cannot start while this file is there", "unit", name, "err", err)
		}
	}, nil
}

// unblockAll removes what a tierd that was killed while it defined a unit has left: that unit could never start.
func (b *Bus) unblockAll() {
	left, err := filepath.Glob(filepath.Join(b.root, definingDir, "*"))
	for _, file := range left {
		b.log.Warn("was killed while it defined a unit", "unit", filepath.Base(file))
		err = errors.Join(err, os.Remove(file))
	}
	if err != nil {
		b.log.Error("units cannot start while these files are there", "err", err)
	}
}

// startTransient sends the definition. A unit that was just forgotten may still be there: it is dropped from a queue of
// the manager's. It stays for good when another loaded unit names it, as variants do in Conflicts=; then its file is
// removed and the manager reads its units again, after which the name is free.
func (b *Bus) startTransient(ctx context.Context, s *session, u units.Unit) (dbus.ObjectPath, error) {
	var path dbus.ObjectPath
	for try := 0; ; try++ {
		err := s.call(ctx, "StartTransientUnit", []any{u.Name, "ignore-dependencies", transient(u), []aux{}}, &path)
		if err == nil || !isDBus(err, errUnitExists) {
			return path, err
		}
		switch try {
		case 0:
		case 1:
			if err := b.unpin(ctx, s, u.Name); err != nil {
				return "", err
			}
		default:
			return "", err
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// unpin frees the name of a unit of ours that is loaded, does not run and is not held.
func (b *Bus) unpin(ctx context.Context, s *session, name string) error {
	status, err := s.read(ctx, name)
	if err != nil {
		return err
	}
	file := "/" + filepath.Join(transientDir, name)
	if running(status) || status.FragmentPath != file {
		return nil // the next try says what it is
	}
	if err := os.Remove(filepath.Join(b.root, file)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("cannot remove its earlier definition: %w", err)
	}
	return s.call(ctx, "Reload", nil)
}

// forget makes the manager drop an earlier definition that does not run.
func (s *session) forget(ctx context.Context, name string) error {
	var path dbus.ObjectPath
	err := s.call(ctx, "GetUnit", []any{name}, &path)
	if isDBus(err, errNoSuchUnit) {
		s.hold(name, false)
		return nil
	}
	if err != nil {
		return err
	}
	status, err := s.read(ctx, name)
	if err != nil {
		return err
	}
	if running(status) || status.Job != 0 { // it may wait for the end of another variant
		return ErrRunning
	}
	return s.drop(ctx, name)
}

// drop clears a failure and gives the reference back.
func (s *session) drop(ctx context.Context, name string) error {
	if err := s.reset(ctx, name); err != nil {
		return err
	}
	if !s.holds(name) {
		return nil
	}
	err := s.call(ctx, "UnrefUnit", []any{name})
	if err != nil && !isDBus(err, errNoSuchUnit) {
		return fmt.Errorf("cannot give the reference to %s back: %w", name, err)
	}
	s.hold(name, false)
	return nil
}

func (s *session) reset(ctx context.Context, name string) error {
	err := s.call(ctx, "ResetFailedUnit", []any{name})
	if err != nil && !isDBus(err, errNoSuchUnit) {
		return fmt.Errorf("cannot reset %s: %w", name, err)
	}
	return nil
}

func (s *session) hold(name string, held bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if held {
		s.held[name] = true
	} else {
		delete(s.held, name)
	}
	s.dirty[name] = true
}

func (s *session) holds(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held[name]
}

// explain turns "the unit exists" into why.
func (s *session) explain(ctx context.Context, name string, err error) error {
	if !isDBus(err, errUnitExists) {
		return err
	}
	status, readErr := s.read(ctx, name)
	switch {
	case readErr != nil:
		return err
	case status.LoadState == "masked":
		return errors.New(maskedReason(name))
	case running(status): // somebody started it since forget looked
		return ErrRunning
	case status.FragmentPath != "":
		return fmt.Errorf("%s defines a unit of that name; to change a tier use drop-ins (systemctl edit %s)", status.FragmentPath, name)
	}
	return err
}

func isDBus(err error, name string) bool {
	var e dbus.Error
	return errors.As(err, &e) && e.Name == name
}

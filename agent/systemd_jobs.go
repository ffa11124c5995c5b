package agent

import (
	"context"
	"fmt"

	"github.com/godbus/dbus/v5"

	"github.com/tierd/tierd/units"
)

// Adopt takes a reference to a unit that is loaded.
func (b *Bus) Adopt(ctx context.Context, name string) error {
	s, err := b.open(ctx)
	if err != nil {
		return err
	}
	if err := s.watch(ctx, name); err != nil {
		return err
	}
	if s.holds(name) {
		return nil
	}
	if err := s.call(ctx, "RefUnit", []any{name}); err != nil {
		return fmt.Errorf("cannot take a reference to %s: %w", name, err)
	}
	s.hold(name, true)
	return nil
}

// Release gives the reference back and forgets a failure.
func (b *Bus) Release(ctx context.Context, name string) error {
	s, err := b.open(ctx)
	if err != nil {
		return err
	}
	if err := s.drop(ctx, name); err != nil {
		return err
	}
	if b.masked(name) {
		// The manager found the name in its transient folder when it last looked, and does not look there again by itself:
		// it would say "not found" where the administrator expects "masked".
		return s.call(ctx, "Reload", nil)
	}
	return nil
}

// Reset forgets a failure and the count of starts with it.
func (b *Bus) Reset(ctx context.Context, name string) error {
	s, err := b.open(ctx)
	if err != nil {
		return err
	}
	return s.reset(ctx, name)
}

// Start starts a loaded unit and waits for the job.
func (b *Bus) Start(ctx context.Context, name string) error {
	return b.runJob(ctx, "StartUnit", "start", name, "replace")
}

// StartBeside starts a unit without ending those that it conflicts with: the mode "ignore-requirements" pulls nothing else
// into the transaction, and keeps to the orders (systemctl(1), --job-mode=). The slice is what a tier requires and may be
// without; the unit is ordered after it, so nobody waits for it here.
func (b *Bus) StartBeside(ctx context.Context, name string) error {
	s, err := b.open(ctx)
	if err != nil {
		return err
	}
	u, err := s.read(ctx, name)
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", name, err)
	}
	if u.Slice != "" {
		var path dbus.ObjectPath
		if err := s.call(ctx, "StartUnit", []any{u.Slice, "replace"}, &path); err != nil {
			return fmt.Errorf("cannot start %s: %w", u.Slice, err)
		}
	}
	return b.runJob(ctx, "StartUnit", "start", name, "ignore-requirements")
}

// Stop stops a unit and waits for the job. A unit that is not loaded is stopped already.
func (b *Bus) Stop(ctx context.Context, name string) error {
	err := b.runJob(ctx, "StopUnit", "stop", name, "replace")
	if isDBus(err, errNoSuchUnit) {
		return nil
	}
	return err
}

func (b *Bus) runJob(ctx context.Context, method, what, name, mode string) error {
	s, err := b.open(ctx)
	if err != nil {
		return err
	}
	if err := s.watch(ctx, name); err != nil {
		return err
	}
	var path dbus.ObjectPath
	if err := s.call(ctx, method, []any{name, mode}, &path); err != nil {
		return err
	}
	result, err := s.job(ctx, path)
	if err != nil {
		return err
	}
	if result != "done" {
		return &JobError{what, name, result}
	}
	return nil
}

// Set changes properties of a unit, as `systemctl set-property --runtime` does.
func (b *Bus) Set(ctx context.Context, name string, props []units.Property) error {
	s, err := b.open(ctx)
	if err != nil {
		return err
	}
	return s.call(ctx, "SetUnitProperties", []any{name, true, wrapped(props)})
}

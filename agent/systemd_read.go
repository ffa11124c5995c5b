package agent

import (
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/tierd/tierd/units"
)

// tierPattern matches the units of tiers; others match too, and are told apart by their fields.
const tierPattern = "tier-*.service"

// listed is an entry of ListUnitsByPatterns: a(ssssssouso).
type listed struct {
	Name, Description, Load, Active, Sub, Following string
	Path                                            dbus.ObjectPath
	JobID                                           uint32
	JobType                                         string
	JobPath                                         dbus.ObjectPath
}

// List reads the units that are named or that carry our fields.
func (b *Bus) List(ctx context.Context, names []string, depth Depth) ([]UnitStatus, error) {
	s, err := b.openNow(ctx) // whoever asks for the status must not wait for a bus that is gone
	if err != nil {
		return nil, err
	}
	if depth > ReadChanged {
		if err := s.find(ctx, names, depth == ReadAll); err != nil {
			return nil, err
		}
	}
	wanted := map[string]bool{}
	for _, n := range names {
		wanted[n] = true
	}
	for _, name := range s.stale(names) {
		if err := s.refresh(ctx, name, wanted[name] || s.watches(name)); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []UnitStatus
	for name, u := range s.units {
		u.Held = s.held[name]
		u.Masked = b.masked(name)
		if wanted[name] || u.Tier != "" {
			list = append(list, u)
		}
	}
	return list, nil
}

// find notes which units are loaded now, and marks those to read again. What was read of others is forgotten.
func (s *session) find(ctx context.Context, names []string, all bool) error {
	var loaded []listed
	if err := s.call(ctx, "ListUnitsByPatterns", []any{[]string{}, []string{tierPattern}}, &loaded); err != nil {
		return fmt.Errorf("cannot list the units: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	there := map[string]bool{}
	for _, u := range loaded {
		there[u.Name] = true
		old, known := s.units[u.Name]
		if all || !known || old.LoadState != u.Load || old.ActiveState != u.Active || old.SubState != u.Sub {
			s.dirty[u.Name] = true
		}
	}
	for name := range s.units {
		if !there[name] {
			delete(s.units, name)
			delete(s.dirty, name)
		}
	}
	for _, name := range names {
		if !there[name] { // to ask for its properties would make systemd load it
			s.units[name] = UnitStatus{Name: name, LoadState: "not-found", ActiveState: "inactive"}
			delete(s.dirty, name)
		}
	}
	return nil
}

// stale takes the names of the units to read: those that changed, and those of names that were never read.
func (s *session) stale(names []string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		if _, known := s.units[name]; !known {
			s.dirty[name] = true
		}
	}
	list := slices.Collect(maps.Keys(s.dirty))
	clear(s.dirty)
	return list
}

// refresh reads one unit, and has its signals delivered from before it was read when it is one of ours. Should that fail
// it stays marked.
func (s *session) refresh(ctx context.Context, name string, wanted bool) error {
	u, err := UnitStatus{}, error(nil)
	if !wanted {
		if u, err = s.read(ctx, name); err == nil {
			wanted = u.Tier != ""
		}
	}
	if wanted && err == nil {
		if err = s.watch(ctx, name); err == nil {
			u, err = s.read(ctx, name)
		}
	}
	if err != nil {
		s.mark(name)
		return fmt.Errorf("cannot read %s: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.units[name] = u
	return nil
}

func (s *session) mark(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dirty[name] = true
}

func (s *session) watches(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.watched[name]
}

// managerVersion is the manager's own: "262.1-2".
func (s *session) managerVersion(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	var v dbus.Variant
	err := s.conn.Object(systemdName, managerPath).CallWithContext(ctx, propertyIface+".Get", 0, managerIface, "Version").Store(&v)
	if err != nil {
		return "", fmt.Errorf("cannot read systemd's version: %w", s.translate(err))
	}
	text, _ := v.Value().(string)
	return text, nil
}

// read gets every property of a unit in one message: the empty name stands for all interfaces.
func (s *session) read(ctx context.Context, name string) (UnitStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	props := map[string]dbus.Variant{}
	err := s.conn.Object(systemdName, unitPath(name)).CallWithContext(ctx, propertyIface+".GetAll", 0, "").Store(&props)
	if err != nil {
		return UnitStatus{}, s.translate(err)
	}
	return statusFrom(name, props), nil
}

// masked tells whether an administrator's link says that the unit must not be started. Systemd itself looks at it only
// when no definition of ours is loaded.
func (b *Bus) masked(name string) bool {
	for _, dir := range []string{"etc/systemd/system", "run/systemd/system"} {
		if target, err := os.Readlink(filepath.Join(b.root, dir, name)); err == nil && target == "/dev/null" {
			return true
		}
	}
	return false
}

// statusFrom picks what the agent needs from a unit's properties. What is missing stays zero.
func statusFrom(name string, props map[string]dbus.Variant) UnitStatus {
	u := UnitStatus{
		Name: name, LoadState: value[string](props, "LoadState"), ActiveState: value[string](props, "ActiveState"),
		SubState: value[string](props, "SubState"), Result: value[string](props, "Result"), StatusText: value[string](props, "StatusText"),
		ExecCode: int(value[int32](props, "ExecMainCode")), ExecStatus: int(value[int32](props, "ExecMainStatus")),
		MainPID: int(value[uint32](props, "MainPID")), Restarts: int(value[uint32](props, "NRestarts")),
		FragmentPath: value[string](props, "FragmentPath"), Slice: value[string](props, "Slice"),
		MemoryMin: units.Bytes(value[uint64](props, "MemoryMin")), MemoryMax: units.Bytes(value[uint64](props, "MemoryMax")),
		Invocation: hex.EncodeToString(value[[]byte](props, "InvocationID")),
	}
	if at := value[uint64](props, "StateChangeTimestamp"); at > 0 {
		u.Since = time.UnixMicro(int64(at))
	}
	if job := value[[]any](props, "Job"); len(job) > 0 { // (uo)
		u.Job, _ = job[0].(uint32)
	}
	if now, ok := props["MemoryCurrent"].Value().(uint64); ok && now != units.Infinity { // "not known"
		u.MemoryNow = &now
	}
	for _, file := range value[[]string](props, "DropInPaths") {
		// What the distribution applies to every service, or systemd itself wrote, is not the administrator's.
		if strings.HasPrefix(file, "/etc/") || strings.HasPrefix(file, "/run/systemd/system") {
			u.DropIns = append(u.DropIns, file)
		}
	}
	for _, field := range value[[][]byte](props, "LogExtraFields") {
		key, text, _ := strings.Cut(string(field), "=")
		switch key {
		case "TIERD_TIER":
			u.Tier = text
		case "TIERD_VARIANT":
			u.Variant = text
		case "TIERD_HASH":
			u.Hash = text
		case "TIERD_PORT":
			u.Port, _ = strconv.Atoi(text) // 0 when it is no number: not known
		}
	}
	u.Memory = chargeOf(props["ExecStart"])
	return u
}

// value is a property of that type, its zero value when it is missing or of another.
func value[T any](props map[string]dbus.Variant, name string) T {
	v, _ := props[name].Value().(T)
	return v
}

// chargeOf reads --memory=BYTES from the shim's command line, in ExecStart: a(sasbttttuii).
func chargeOf(execStart dbus.Variant) units.Bytes {
	commands, _ := execStart.Value().([][]any)
	for _, command := range commands {
		if len(command) < 2 {
			continue
		}
		args, _ := command[1].([]string)
		for _, arg := range args {
			if arg == "--" {
				break
			}
			if text, ok := strings.CutPrefix(arg, "--memory="); ok {
				n, err := strconv.ParseUint(text, 10, 64)
				if err == nil {
					return units.Bytes(n)
				}
			}
		}
	}
	return 0
}

package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/tierd/tierd/units"
)

var aUnit = units.Unit{Name: coder, Tier: "coder", Properties: []units.Property{{Name: "Type", Value: "notify"}}}

// listedAs reads everything and returns the unit of that name.
func listedAs(t *testing.T, b *Bus, name string, depth Depth) UnitStatus {
	t.Helper()
	list, err := b.List(t.Context(), []string{name}, depth)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range list {
		if u.Name == name {
			return u
		}
	}
	return UnitStatus{}
}

func TestAConnectionKnowsItsManager(t *testing.T) {
	b, f := onBus(t)
	if got := b.Version(); got != "262.1" {
		t.Errorf("the version is %q", got)
	}
	if got := f.said("Hello", "Subscribe"); !slices.Equal(got, []string{"Hello", "Subscribe"}) {
		t.Errorf("it said %q", got)
	}
	hinted(t, b, true)
}

func TestADefinedUnitIsHeldAndReplacedByTheNext(t *testing.T) {
	b, f := onBus(t)
	if err := b.Define(t.Context(), aUnit); err != nil {
		t.Fatal(err)
	}
	if got := f.said("StartTransientUnit", "UnrefUnit", "Reload"); len(got) != 1 {
		t.Errorf("the first definition took %q", got)
	}
	if u := listedAs(t, b, coder, ReadAll); !u.Held || u.LoadState != "loaded" || u.Tier != "coder" || u.Hash != "h1" {
		t.Errorf("the unit: %+v", u)
	}
	if err := b.Define(t.Context(), aUnit); err != nil {
		t.Fatal(err)
	}
	if got := f.said("StartTransientUnit", "UnrefUnit", "ResetFailedUnit", "Reload"); !slices.Equal(got, []string{
		"ResetFailedUnit " + coder, "UnrefUnit " + coder, "StartTransientUnit " + coder}) {
		t.Errorf("the second took %q", got)
	}
	if left, err := os.ReadDir(filepath.Join(b.root, definingDir)); err != nil || len(left) > 0 {
		t.Errorf("what keeps it from starting is still there: %v, %v", left, err)
	}
}

func TestWhatKeepsAUnitFromBeingDefined(t *testing.T) {
	for _, c := range []struct {
		rule  string
		setup func(b *Bus, f *fakeBus)
		want  string
	}{
		{"it runs", func(_ *Bus, f *fakeBus) { f.with(coder, func(u *busUnit) { u.active = "active" }) }, ErrRunning.Error()},
		{"it is masked", func(b *Bus, _ *fakeBus) {
			mask(t, b, coder)
		}, "is masked by the administrator"},
		{"a file of the administrator's has its name", func(_ *Bus, f *fakeBus) {
			f.set(func() { f.pinned[coder] = true })
			f.with(coder, func(u *busUnit) { u.fragment = "/etc/systemd/system/" + coder; u.refs = 1 })
		}, "/etc/systemd/system/" + coder + " defines a unit of that name; to change a tier use drop-ins"},
		{"the name is masked by now", func(_ *Bus, f *fakeBus) {
			f.with(coder, func(u *busUnit) { u.load = "masked" })
		}, "systemctl unmask"},
		{"systemd refuses a property", func(_ *Bus, f *fakeBus) {
			f.set(func() { f.fail["StartTransientUnit"] = busError("org.freedesktop.DBus.Error.PropertyReadOnly") })
		}, "systemd does not take it: the bus said boo"},
		{"its job fails", func(_ *Bus, f *fakeBus) {
			f.set(func() { f.results["define "+coder] = "dependency" })
		}, "systemd's job to load it ended: dependency"},
		{"the manager re-executes itself", func(_ *Bus, f *fakeBus) {
			f.set(func() { f.fail["GetUnit"] = busError(errNoReply) })
		}, ErrDisconnected.Error()},
		{"a failure cannot be cleared", func(_ *Bus, f *fakeBus) {
			f.with(coder, func(*busUnit) {})
			f.set(func() { f.fail["ResetFailedUnit"] = busError("org.freedesktop.DBus.Error.AccessDenied") })
		}, "cannot reset " + coder},
		{"an earlier definition cannot be given up", func(b *Bus, f *fakeBus) {
			if err := b.Define(t.Context(), aUnit); err != nil {
				t.Fatal(err)
			}
			f.set(func() { f.fail["UnrefUnit"] = busError("org.freedesktop.DBus.Error.AccessDenied") })
		}, "cannot give the reference to " + coder + " back"},
		{"the folder of what keeps it from starting is none", func(b *Bus, _ *fakeBus) {
			if err := os.WriteFile(filepath.Join(b.root, "run"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}, "not a directory"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			b, f := onBus(t)
			c.setup(b, f)
			if err := b.Define(t.Context(), aUnit); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func mask(t *testing.T, b *Bus, name string) {
	t.Helper()
	link := filepath.Join(b.root, "etc/systemd/system", name)
	if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/null", link); err != nil {
		t.Fatal(err)
	}
}

func TestAUnitThatIsStartedWhileItIsDefinedRunsOn(t *testing.T) {
	b, f := onBus(t)
	if err := b.Define(t.Context(), aUnit); err != nil {
		t.Fatal(err)
	}
	f.set(func() {
		f.before = map[string]func(){"UnrefUnit": func() { f.units[coder].active = "activating" }}
	})
	if err := b.Define(t.Context(), aUnit); !errors.Is(err, ErrRunning) {
		t.Errorf("the definition: %v", err)
	}
	if u := listedAs(t, b, coder, ReadAll); u.ActiveState != "activating" || u.Held {
		t.Errorf("the unit: %+v", u)
	}
}

func TestADefinitionWhoseJobAVariantCancelsIsLoadedAllTheSame(t *testing.T) {
	b, f := onBus(t)
	f.set(func() { f.results["define "+coder] = "canceled" })
	if err := b.Define(t.Context(), aUnit); err != nil {
		t.Error(err)
	}
}

func TestANameThatAVariantKeepsLoadedIsFreed(t *testing.T) {
	b, f := onBus(t)
	if err := b.Define(t.Context(), aUnit); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(b.root, transientDir, coder)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	f.set(func() { f.pinned[coder] = true })
	f.said()
	if err := b.Define(t.Context(), aUnit); err != nil {
		t.Fatal(err)
	}
	if got := f.said("StartTransientUnit", "Reload"); len(got) != 4 || got[2] != "Reload" {
		t.Errorf("it took %q, want a reload after the second try", got)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the earlier definition is still on disk: %v", err)
	}
	hinted(t, b, true)
}

func TestAUnitIsAdoptedOnceAndReleased(t *testing.T) {
	b, f := onBus(t)
	f.with(coder, func(u *busUnit) { u.active = "active" })
	for range 2 {
		if err := b.Adopt(t.Context(), coder); err != nil {
			t.Fatal(err)
		}
	}
	if got := f.said("RefUnit"); len(got) != 1 {
		t.Errorf("two adoptions took %q", got)
	}
	if u := listedAs(t, b, coder, ReadAll); !u.Held || u.ActiveState != "active" {
		t.Errorf("the unit: %+v", u)
	}
	f.with(coder, func(u *busUnit) { u.active = "failed" })
	if err := b.Release(t.Context(), coder); err != nil {
		t.Fatal(err)
	}
	if u := listedAs(t, b, coder, ReadAll); u.Held || u.LoadState != "not-found" {
		t.Errorf("after its release: %+v", u)
	}
	if err := b.Adopt(t.Context(), coder); err == nil || !strings.Contains(err.Error(), "cannot take a reference to "+coder) {
		t.Errorf("to adopt what is not there: %v", err)
	}
	if err := b.Release(t.Context(), coder); err != nil {
		t.Errorf("to release what is not there: %v", err)
	}
	mask(t, b, coder)
	f.said()
	if err := b.Release(t.Context(), coder); err != nil || len(f.said("Reload")) != 1 {
		t.Errorf("a masked unit needs a reload to be seen as masked: %v", err)
	}
}

func TestStartAndStopLastAsLongAsTheJob(t *testing.T) {
	b, f := onBus(t)
	if err := b.Start(t.Context(), coder); !isDBus(err, errNoSuchUnit) {
		t.Errorf("a start of what is not loaded: %v", err)
	}
	if err := b.Stop(t.Context(), coder); err != nil {
		t.Errorf("what is not loaded is stopped: %v", err)
	}
	f.with(coder, func(*busUnit) {})
	if err := b.Start(t.Context(), coder); err != nil {
		t.Error(err)
	}
	if u := listedAs(t, b, coder, ReadChanged); u.ActiveState != "active" {
		t.Errorf("after the start: %+v", u)
	}
	f.set(func() { f.results["stop "+coder] = "timeout" })
	if err := b.Stop(t.Context(), coder); err == nil || err.Error() != "systemd's job to stop "+coder+" ended: timeout" {
		t.Errorf("a stop that takes too long: %v", err)
	}
	f.set(func() { f.lostJobs = true })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := b.Start(ctx, coder); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a job whose end is never told ends with its caller: %v", err)
	}
	f.set(func() { f.hangsUp = "StartUnit" })
	if err := b.Start(t.Context(), coder); !errors.Is(err, ErrDisconnected) {
		t.Errorf("and with the connection: %v", err)
	}
}

func TestAStartBesideLeavesConflictsAlone(t *testing.T) {
	b, f := onBus(t)
	f.with(coder, func(u *busUnit) { u.slice = "tier-gpu.slice" })
	f.with("tier-gpu.slice", func(u *busUnit) { u.fields = nil })
	f.said()
	if err := b.StartBeside(t.Context(), coder); err != nil {
		t.Error(err)
	}
	if got := f.said("StartUnit"); !slices.Equal(got, []string{"StartUnit tier-gpu.slice", "StartUnit " + coder}) {
		t.Errorf("it asked for %q", got)
	}
	if mode := f.bodies["StartUnit"][1]; mode != "ignore-requirements" {
		t.Errorf("in the mode %v", mode)
	}
	f.with(coder, func(u *busUnit) { u.slice = "tier-gone.slice" })
	if err := b.StartBeside(t.Context(), coder); err == nil || !strings.Contains(err.Error(), "cannot start tier-gone.slice") {
		t.Errorf("without its slice: %v", err)
	}
	f.set(func() { f.hangsUp = "GetAll" })
	if err := b.StartBeside(t.Context(), coder); !errors.Is(err, ErrDisconnected) {
		t.Errorf("and without the bus: %v", err)
	}
}

func TestAUnitThatWaitsForItsStartIsNotDefinedAnew(t *testing.T) {
	b, f := onBus(t)
	f.with(coder, func(u *busUnit) { u.job = 7 })
	if u := listedAs(t, b, coder, ReadAll); u.Job != 7 {
		t.Errorf("its job is %d", u.Job)
	}
	if err := b.Define(t.Context(), aUnit); !errors.Is(err, ErrRunning) {
		t.Errorf("it was: %v", err)
	}
	if got := f.said("StartTransientUnit", "UnrefUnit"); len(got) > 0 {
		t.Errorf("it did %q", got)
	}
}

func TestWhatIsReadAgain(t *testing.T) {
	b, f := onBus(t)
	const stranger = "tier-of-somebody.service"
	hinted(t, b, true)
	f.with(coder, func(*busUnit) {})
	f.with(stranger, func(u *busUnit) { u.fields = nil })
	reads := func(depth Depth) int {
		t.Helper()
		f.said()
		list, err := b.List(t.Context(), []string{coder, util}, depth)
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(list, func(u UnitStatus) bool { return u.Name == stranger }) {
			t.Errorf("a stranger is listed: %+v", list)
		}
		return len(f.said("GetAll"))
	}
	if n := reads(ReadAll); n != 2 {
		t.Errorf("at first %d units were read, want the two that are loaded", n)
	}
	if n := reads(ReadChanged) + reads(ReadListed); n != 0 {
		t.Errorf("%d were read although nothing changed", n)
	}
	f.set(func() { f.units[stranger].active = "active" })
	if n := reads(ReadChanged); n != 0 {
		t.Errorf("%d were read for a stranger", n)
	}
	if n := reads(ReadListed); n != 1 {
		t.Errorf("%d were read, want the one whose state in the list is another", n)
	}
	f.with(coder, func(u *busUnit) { u.active, u.sub = "active", "running" })
	hinted(t, b, false)
	if n := reads(ReadChanged); n != 1 {
		t.Errorf("%d were read, want the one of which a signal came", n)
	}
	if n := reads(ReadAll); n != 2 {
		t.Errorf("%d were read, want all that are loaded", n)
	}
	if u := listedAs(t, b, util, ReadAll); u.LoadState != "not-found" || u.ActiveState != "inactive" {
		t.Errorf("a unit that is not loaded: %+v", u)
	}
}

func TestAReadingThatFailsIsMadeGoodByTheNext(t *testing.T) {
	b, f := onBus(t)
	f.with(coder, func(u *busUnit) { u.active = "active" })
	f.set(func() { f.fail["GetAll"] = busError("org.freedesktop.DBus.Error.LimitsExceeded") })
	if _, err := b.List(t.Context(), []string{coder}, ReadAll); err == nil || !strings.Contains(err.Error(), "cannot read "+coder) {
		t.Errorf("the reading: %v", err)
	}
	f.set(func() {
		clear(f.fail)
		f.fail["ListUnitsByPatterns"] = busError("org.freedesktop.DBus.Error.LimitsExceeded")
	})
	if _, err := b.List(t.Context(), []string{coder}, ReadListed); err == nil || !strings.Contains(err.Error(), "cannot list the units") {
		t.Errorf("the list: %v", err)
	}
	f.set(func() { clear(f.fail) })
	if u := listedAs(t, b, coder, ReadChanged); u.ActiveState != "active" {
		t.Errorf("the unit: %+v", u)
	}
	f.set(func() { f.fail["AddMatch"] = busError("org.freedesktop.DBus.Error.LimitsExceeded") })
	if err := b.Start(t.Context(), util); err == nil || !strings.Contains(err.Error(), "cannot watch "+util) {
		t.Errorf("a unit that cannot be watched: %v", err)
	}
}

func TestAManagerThatDoesNotAnswerIsToldApartFromARefusal(t *testing.T) {
	b, f := onBus(t)
	f.set(func() { f.silent["RefUnit"] = true })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := b.Adopt(ctx, coder); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("no answer: %v", err)
	}
	f.set(func() { f.fail["ResetFailedUnit"] = busError("org.freedesktop.DBus.Error.AccessDenied") })
	if err := b.Reset(t.Context(), coder); err == nil || errors.Is(err, ErrDisconnected) {
		t.Errorf("a refusal: %v", err)
	}
	s, err := b.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !s.jobGone(t.Context(), "/org/freedesktop/systemd1/job/7") || !s.jobGone(t.Context(), "/no/number") {
		t.Error("a job that nobody knows is not gone")
	}
}

func TestANewConnectionHoldsNothing(t *testing.T) {
	b, f := onBus(t)
	f.with(coder, func(u *busUnit) { u.active = "active" })
	if err := b.Adopt(t.Context(), coder); err != nil {
		t.Fatal(err)
	}
	hinted(t, b, true)
	f.hangUp()
	hinted(t, b, true) // that it is lost, or already that there is another
	limit := time.Now().Add(30 * time.Second)
	for listedAs(t, b, coder, ReadAll).Held {
		if time.Now().After(limit) {
			t.Fatal("a reference outlived its connection")
		}
	}
	if err := b.Adopt(t.Context(), coder); err != nil {
		t.Fatal(err)
	}
	if u := listedAs(t, b, coder, ReadAll); !u.Held || u.ActiveState != "active" {
		t.Errorf("the unit: %+v", u)
	}
}

func TestABusWithoutAManagerIsNoSession(t *testing.T) {
	for member, want := range map[string]string{
		"AddMatch":  "cannot watch for reloads of systemd",
		"Subscribe": "cannot subscribe to systemd's signals",
		"Get":       "cannot read systemd's version",
	} {
		b, f := onBus(t)
		f.set(func() { f.fail[member] = busError("org.freedesktop.DBus.Error.ServiceUnknown") })
		f.hangUp()
		limit := time.Now().Add(30 * time.Second)
		_, err := b.List(t.Context(), nil, ReadAll)
		for (err == nil || errors.Is(err, ErrDisconnected)) && time.Now().Before(limit) {
			_, err = b.List(t.Context(), nil, ReadAll)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("without %s: %v, want %q", member, err, want)
		}
	}
}

func TestPropertiesOfASliceAreSetUntilTheNextBoot(t *testing.T) {
	b, f := onBus(t)
	if err := b.Set(t.Context(), "tier.slice", []units.Property{{Name: "MemoryMin", Value: uint64(4096)}}); err != nil {
		t.Fatal(err)
	}
	var body []any
	f.set(func() { body = f.bodies["SetUnitProperties"] })
	want := []any{"tier.slice", true, [][]any{{"MemoryMin", dbus.MakeVariant(uint64(4096))}}}
	if !reflect.DeepEqual(body, want) || dbus.SignatureOf("", true, wrapped(nil)).String() != "sba(sv)" {
		t.Errorf("it was sent %#v", body)
	}
	f.set(func() { f.fail["SetUnitProperties tier.slice"] = busError(errNoSuchUnit) })
	if err := b.Set(t.Context(), "tier.slice", nil); err == nil || !strings.Contains(err.Error(), "the bus said boo") {
		t.Errorf("a refusal is %v", err)
	}
	f.set(func() { f.fail["SetUnitProperties tier.slice"] = busError(errNoReply) })
	if err := b.Set(t.Context(), "tier.slice", nil); !errors.Is(err, ErrDisconnected) {
		t.Errorf("a manager that went away is %v", err)
	}
}

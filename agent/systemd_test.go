package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godbus/dbus/v5"
	"pgregory.net/rapid"

	"github.com/tierd/tierd/units"
)

func TestUnitPath(t *testing.T) {
	for name, want := range map[string]string{
		"tier-coder.service":      "tier_2dcoder_2eservice",
		"tier-orch-llama.service": "tier_2dorch_2dllama_2eservice",
		"1x.service":              "_31x_2eservice",
		"a1.service":              "a1_2eservice",
		"a_b.service":             "a_5fb_2eservice",
	} {
		if got := unitPath(name); got != dbus.ObjectPath(unitPathPrefix+want) {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestUnitPathsAreValidAndDiffer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.String().Draw(t, "a"), rapid.String().Draw(t, "b")
		if a != "" && !unitPath(a).IsValid() {
			t.Fatalf("%q gives %q", a, unitPath(a))
		}
		if (a == b) != (unitPath(a) == unitPath(b)) {
			t.Fatalf("%q and %q: %q and %q", a, b, unitPath(a), unitPath(b))
		}
	})
}

func properties() map[string]dbus.Variant {
	p := map[string]dbus.Variant{}
	for name, v := range map[string]any{
		"LoadState": "loaded", "ActiveState": "failed", "SubState": "failed", "Result": "exit-code", "StatusText": "boo",
		"ExecMainCode": int32(1), "ExecMainStatus": int32(66), "MainPID": uint32(12), "NRestarts": uint32(3),
		"StateChangeTimestamp": uint64(1_700_000_000_000_000), "MemoryCurrent": uint64(42), "InvocationID": []byte{0xab, 1},
		"FragmentPath": "/run/systemd/transient/tier-coder.service", "Slice": "tier-gpu.slice", "MemoryMin": uint64(7), "MemoryMax": uint64(9),
		"LogExtraFields": [][]byte{[]byte("TIERD_TIER=coder"), []byte("TIERD_VARIANT=vllm"), []byte("TIERD_HASH=h"), []byte("TIERD_PORT=8002"), []byte("OTHER=x")},
		"DropInPaths": []string{
			"/usr/lib/systemd/system/service.d/10-timeout-abort.conf", "/run/systemd/transient/tier-coder.service.d/50-x.conf",
			"/etc/systemd/system/tier-coder.service.d/override.conf", "/run/systemd/system/tier-coder.service.d/now.conf",
		},
	} {
		p[name] = dbus.MakeVariant(v)
	}
	p["ExecStart"] = dbus.MakeVariantWithSignature([][]any{{"/p", []string{"/p", "run", "--memory=1024", "--", "x", "--memory=5"}, false}}, dbus.ParseSignatureMust("a(sasb)"))
	return p
}

func TestStatusFrom(t *testing.T) {
	u := statusFrom("tier-coder.service", properties())
	if u.LoadState != "loaded" || u.ActiveState != "failed" || u.Result != "exit-code" || u.StatusText != "boo" || u.ExecCode != 1 ||
		u.ExecStatus != 66 || u.MainPID != 12 || u.Restarts != 3 || u.Invocation != "ab01" || u.Slice != "tier-gpu.slice" {
		t.Errorf("the unit: %+v", u)
	}
	if u.Tier != "coder" || u.Variant != "vllm" || u.Hash != "h" || u.Port != 8002 {
		t.Errorf("our fields: %+v", u)
	}
	if !u.Since.Equal(time.Unix(1_700_000_000, 0)) || u.MemoryNow == nil || *u.MemoryNow != 42 || u.Memory != 1024 || u.MemoryMin != 7 || u.MemoryMax != 9 {
		t.Errorf("times and sizes: %v %v %v %v", u.Since, u.MemoryNow, u.Memory, u.MemoryMin)
	}
	want := []string{"/etc/systemd/system/tier-coder.service.d/override.conf", "/run/systemd/system/tier-coder.service.d/now.conf"}
	if !slices.Equal(u.DropIns, want) {
		t.Errorf("drop-ins: %q", u.DropIns)
	}
}

func TestStatusFromWhatIsMissingOrOfAnotherType(t *testing.T) {
	if u := statusFrom("x", nil); u.Name != "x" || u.MemoryNow != nil || !u.Since.IsZero() || u.Tier != "" {
		t.Errorf("of nothing: %+v", u)
	}
	p := properties()
	for name := range p {
		p[name] = dbus.MakeVariant(3.14)
	}
	if u := statusFrom("x", p); u.ActiveState != "" || u.MemoryNow != nil || u.Memory != 0 {
		t.Errorf("of other types: %+v", u)
	}
	p = map[string]dbus.Variant{"MemoryCurrent": dbus.MakeVariant(units.Infinity), "LogExtraFields": dbus.MakeVariant([][]byte{[]byte("TIERD_PORT=many"), []byte("nonsense")})}
	if u := statusFrom("x", p); u.MemoryNow != nil || u.Port != 0 {
		t.Errorf("without a memory controller: %+v", u)
	}
}

func TestWhatIsSentHasTheSignatureThatSystemdWants(t *testing.T) {
	u := units.Unit{Name: "tier-x.service", Properties: []units.Property{
		{Name: "Type", Value: "notify"},
		{Name: "ExecStartEx", Value: []units.Exec{{Path: "/x", Args: []string{"/x"}, Flags: []string{"no-env-expand"}}}},
	}}
	sent := transient(u)
	got := map[string]string{}
	for _, p := range sent {
		got[p.Name] = p.Value.Signature().String()
	}
	for name, want := range map[string]string{"Type": "s", "ExecStartEx": "a(sasas)", "AddRef": "b", "Conditions": "a(sbbs)"} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	if s := dbus.SignatureOf(u.Name, "fail", sent, []aux{}).String(); s != "ssa(sv)a(sa(sv))" {
		t.Errorf("the call is %q", s)
	}
	if c := sent[len(sent)-1].Value.Value().([]condition)[0]; c.Param != "/run/tierd/defining/tier-x.service" || !c.Negate || c.Trigger {
		t.Errorf("the condition: %+v", c)
	}
}

func testBus(t *testing.T) *Bus {
	t.Helper()
	return newBus(quiet(), t.TempDir(), func(context.Context, string) (*dbus.Conn, error) { return nil, errors.New("no bus here") })
}

func TestAUnitIsBlockedOnlyWhileItIsDefined(t *testing.T) {
	b := testBus(t)
	file := filepath.Join(b.root, "run/tierd/defining/tier-x.service")
	unblock, err := b.block("tier-x.service")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Errorf("while it is defined: %v", err)
	}
	unblock()
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("afterwards: %v", err)
	}
}

func TestMaskedIsALinkToNothing(t *testing.T) {
	b := testBus(t)
	link := func(dir, name, target string) {
		path := filepath.Join(b.root, dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
	}
	link("etc/systemd/system", "tier-a.service", "/dev/null")
	link("run/systemd/system", "tier-b.service", "/dev/null")
	link("etc/systemd/system", "tier-c.service", "/etc/other.service")
	for name, want := range map[string]bool{"tier-a.service": true, "tier-b.service": true, "tier-c.service": false, "tier-d.service": false} {
		if b.masked(name) != want {
			t.Errorf("%s masked: %v", name, !want)
		}
	}
}

func TestHintsBecomeOneAndNoneIsLost(t *testing.T) {
	h := newHints()
	h.give(false)
	h.give(true)
	h.give(false)
	if all := <-h.ch; !all {
		t.Error("that everything is to be read was lost")
	}
	select {
	case <-h.ch:
		t.Error("three hints are more than one")
	default:
	}
	h.give(false)
	if all := <-h.ch; all {
		t.Error("a small hint became a large one")
	}
}

func jobSignal(job dbus.ObjectPath, result string) *dbus.Signal {
	return &dbus.Signal{Name: managerIface + ".JobRemoved", Body: []any{uint32(7), job, "tier-x.service", result}}
}

func TestJobs(t *testing.T) {
	session := func() *session { h := newHints(); return newSession(nil, &h) }
	t.Run("the end of a job may come before the reply that names it", func(t *testing.T) {
		s := session()
		s.take(jobSignal("/job/7", "done"))
		if got, err := s.job(context.Background(), "/job/7"); got != "done" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	})
	t.Run("two may wait for the same job", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := session()
			results := make(chan string, 2)
			for range 2 {
				go func() {
					got, err := s.job(context.Background(), "/job/7")
					results <- fmt.Sprint(got, err)
				}()
			}
			synctest.Wait()
			s.take(jobSignal("/job/8", "failed"))
			s.take(jobSignal("/job/7", "done"))
			for range 2 {
				if got := <-results; got != "done<nil>" {
					t.Errorf("got %s", got)
				}
			}
		})
	})
	t.Run("a lost connection ends the wait", func(t *testing.T) {
		s := session()
		s.end()
		if _, err := s.job(context.Background(), "/job/7"); !errors.Is(err, ErrDisconnected) {
			t.Errorf("%v", err)
		}
	})
	t.Run("so does the caller's context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := session().job(ctx, "/job/7"); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	})
	t.Run("what nobody waits for is forgotten in time", func(t *testing.T) {
		s := session()
		for i := range 3 * keepJobs {
			s.take(jobSignal(dbus.ObjectPath(fmt.Sprint("/job/", i)), "done"))
		}
		if len(s.results) != keepJobs || len(s.order) != keepJobs {
			t.Errorf("%d results are kept", len(s.results))
		}
	})
}

func TestSignals(t *testing.T) {
	h := newHints()
	s := newSession(nil, &h)
	s.paths[unitPath("tier-x.service")] = "tier-x.service"
	hinted := func() string {
		select {
		case all := <-h.ch:
			return fmt.Sprint(all)
		default:
			return "none"
		}
	}
	s.take(&dbus.Signal{Name: propertyIface + ".PropertiesChanged", Path: unitPath("tier-y.service")})
	if got := hinted(); got != "none" || len(s.dirty) > 0 {
		t.Errorf("a stranger's signal: %s, %v", got, s.dirty)
	}
	s.take(&dbus.Signal{Name: propertyIface + ".PropertiesChanged", Path: unitPath("tier-x.service")})
	if got := hinted(); got != "false" || !slices.Equal(s.stale(nil), []string{"tier-x.service"}) {
		t.Errorf("our unit's signal: %s", got)
	}
	s.take(&dbus.Signal{Name: managerIface + ".Reloading", Body: []any{true}})
	if got := hinted(); got != "none" {
		t.Errorf("the begin of a reload: %s", got)
	}
	s.take(&dbus.Signal{Name: managerIface + ".Reloading", Body: []any{false}})
	if got := hinted(); got != "true" {
		t.Errorf("the end of a reload: %s", got)
	}
	for _, body := range [][]any{nil, {"x"}, {uint32(1), "no path", "u", "r"}} { // never a panic
		s.take(&dbus.Signal{Name: managerIface + ".JobRemoved", Body: body})
		s.take(&dbus.Signal{Name: managerIface + ".Reloading", Body: body})
	}
}

func TestABusThatIsNotThereIsTriedAgainAndEveryCallIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testBus(t)
		ctx, cancel := context.WithCancel(context.Background())
		var tries atomic.Int32
		b.dial = func(context.Context, string) (*dbus.Conn, error) { tries.Add(1); return nil, errors.New("no bus here") }
		go b.keep(ctx)
		short, cancelShort := context.WithTimeout(ctx, time.Minute)
		defer cancelShort()
		for name, call := range map[string]func() error{
			"define":  func() error { return b.Define(short, units.Unit{Name: "x"}) },
			"adopt":   func() error { return b.Adopt(short, "x") },
			"release": func() error { return b.Release(short, "x") },
			"reset":   func() error { return b.Reset(short, "x") },
			"start":   func() error { return b.Start(short, "x") },
			"stop":    func() error { return b.Stop(short, "x") },
		} {
			if err := call(); !errors.Is(err, ErrDisconnected) || !strings.Contains(err.Error(), "no bus here") {
				t.Errorf("%s: %v", name, err)
			}
		}
		if n := tries.Load(); n < 10 || n > 30 {
			t.Errorf("%d tries in a minute", n)
		}
		cancel()
		synctest.Wait()
	})
}

func TestABusThatIsNotThereIsToldAtOnceWithItsPath(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "bus")
	for address, want := range map[string]string{
		"unix:path=" + missing: "cannot reach the system bus at " + missing + ": no such file or directory",
		"unix:abstract=nobody": "cannot reach the system bus at unix:abstract=nobody: connection refused",
		"carrier:pigeon":       "cannot reach the system bus at carrier:pigeon: dbus: invalid bus address (invalid or unsupported transport)",
	} {
		t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
		b := NewSystemd(quiet())
		if _, err := b.List(t.Context(), nil, ReadAll); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", address, err, want)
		}
		b.Close()
		if b.Version() != "" {
			t.Errorf("%s: a version was heard: %q", address, b.Version())
		}
	}
}

func TestABusThatNeverAnswersIsNotWaitedForLongerThanTheCallerWants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testBus(t)
		b.dial = func(ctx context.Context, _ string) (*dbus.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go b.keep(ctx)
		short, cancelShort := context.WithTimeout(ctx, time.Second)
		defer cancelShort()
		_, err := b.List(short, nil, ReadAll)
		if !errors.Is(err, ErrDisconnected) || !strings.Contains(err.Error(), "cannot reach the system bus at /run/dbus/system_bus_socket: context deadline exceeded") {
			t.Errorf("the list: %v", err)
		}
	})
}

func TestErrorsOfTheBusAreNamed(t *testing.T) {
	exists := dbus.Error{Name: errUnitExists, Body: []any{"Unit tier-x.service already exists."}}
	if !isDBus(fmt.Errorf("it failed: %w", exists), errUnitExists) || isDBus(exists, errNoSuchUnit) || isDBus(nil, errUnitExists) {
		t.Error("an error of the bus is not known by its name")
	}
	var s session
	if err := s.translate(dbus.Error{Name: errNoReply}); !errors.Is(err, ErrDisconnected) {
		t.Errorf("a manager that re-executes itself: %v", err)
	}
	if err := s.translate(exists); errors.Is(err, ErrDisconnected) || !strings.Contains(err.Error(), "already exists") {
		t.Errorf("a refusal: %v", err)
	}
}

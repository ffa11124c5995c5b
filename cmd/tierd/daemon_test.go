package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tierd/tierd/agent"
	"github.com/tierd/tierd/agent/api"
)

// fakeCore is an agent that answers Status, Summary and Reload; the daemon itself calls nothing else.
type fakeCore struct {
	agent.Control
	events chan api.Event
	fail   chan error // what Run ends with

	mu      sync.Mutex
	status  api.Status
	err     error
	reloads int
	asked   int // for a summary
}

func (f *fakeCore) Run(ctx context.Context) error {
	select {
	case err := <-f.fail:
		return err
	case <-ctx.Done():
		return nil
	}
}

// ServeGuard greets one guard.
func (f *fakeCore) ServeGuard(ctx context.Context, l net.Listener) error {
	defer context.AfterFunc(ctx, func() { l.Close() })()
	for {
		c, err := l.Accept()
		if err != nil {
			return nil
		}
		c.Write([]byte("{}\n"))
		c.Close()
	}
}

func (f *fakeCore) Status(context.Context) (api.Status, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status, f.err
}

func (f *fakeCore) Reload(context.Context, bool) (api.ConfigResult, string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reloads++
	return api.ConfigResult{}, "", f.err
}

func (f *fakeCore) Summary(context.Context) (agent.Summary, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	s := agent.Summary{ConfigError: f.status.ConfigError}
	for _, t := range f.status.Tiers {
		s.Tiers = append(s.Tiers, t.State)
	}
	return s, f.err
}

func (f *fakeCore) Subscribe() (<-chan api.Event, func()) { return f.events, func() {} }

func (f *fakeCore) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// bench is a daemon with its surroundings: systemd's notification socket among them.
type bench struct {
	core   *fakeCore
	hangup chan os.Signal
	told   *net.UnixConn
	path   string // of the control socket
	log    bytes.Buffer
	end    func() error
}

func start(t *testing.T, status api.Status) *bench {
	t.Helper()
	dir := t.TempDir()
	told, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { told.Close() })
	t.Setenv("NOTIFY_SOCKET", filepath.Join(dir, "notify"))
	b := &bench{
		core:   &fakeCore{status: status, events: make(chan api.Event), fail: make(chan error)},
		hangup: make(chan os.Signal), told: told, path: filepath.Join(dir, "control"),
	}
	sockets, err := openSockets(settings{control: b.path, admit: filepath.Join(dir, "admit")})
	if err != nil {
		t.Fatal(err)
	}
	if sockets.guard, err = openGuard(settings{guard: filepath.Join(dir, "guard")}); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(&b.log, nil))
	d := daemon{core: b.core, log: log, notify: newNotifier(log), sockets: sockets, hangup: b.hangup, root: dir}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.run(ctx) }()
	b.end = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() { b.end() })
	return b
}

// hears reads the next notification.
func (b *bench) hears(t *testing.T) string {
	t.Helper()
	b.told.SetReadDeadline(time.Now().Add(time.Minute))
	text := make([]byte, 4096)
	n, err := b.told.Read(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(text[:n])
}

func TestSystemdIsToldHowThingsAre(t *testing.T) {
	b := start(t, api.Status{Tiers: []api.Tier{{State: api.Stopped}, {State: api.Stopped}}})
	if got := b.hears(t); got != "READY=1\nWATCHDOG=1\nSTATUS=2 tiers" {
		t.Errorf("at start: %q", got)
	}
	b.core.set(func() { b.core.status.Tiers = []api.Tier{{State: api.Ready}, {State: api.Starting}} })
	b.core.events <- api.Event{}
	if got := b.hears(t); got != "WATCHDOG=1\nSTATUS=2 tiers, 1 ready, 1 starting" {
		t.Errorf("after an event: %q", got)
	}
	b.core.events <- api.Event{}
	if got := b.hears(t); got != "WATCHDOG=1" {
		t.Errorf("an event that changes nothing here: %q", got)
	}
	b.hangup <- syscall.SIGHUP
	if got := b.hears(t); !strings.HasPrefix(got, "RELOADING=1\nMONOTONIC_USEC=") {
		t.Errorf("at SIGHUP: %q", got)
	}
	if got := b.hears(t); got != "READY=1\nWATCHDOG=1" || b.core.reloads != 1 {
		t.Errorf("after the reload: %q, %d reloads", got, b.core.reloads)
	}
	if err := b.end(); err != nil {
		t.Error(err)
	}
	if got := b.hears(t); got != "STOPPING=1\nSTATUS=Ending; tiers run on" {
		t.Errorf("at the end: %q", got)
	}
}

func TestAnAgentThatDoesNotAnswerFeedsNoWatchdog(t *testing.T) {
	b := start(t, api.Status{})
	b.hears(t)
	b.core.set(func() { b.core.err = context.DeadlineExceeded })
	b.core.events <- api.Event{}
	b.hangup <- syscall.SIGHUP // taken only after the failed answer
	b.core.set(func() { b.core.err = nil })
	if got := b.hears(t); !strings.HasPrefix(got, "RELOADING=1") {
		t.Errorf("a failed answer was told as %q", got)
	}
}

func TestTheWatchdogIsFedWhileNothingHappens(t *testing.T) {
	t.Setenv("WATCHDOG_USEC", "100000")
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	b := start(t, api.Status{})
	b.hears(t)
	for range 3 {
		if got := b.hears(t); got != "WATCHDOG=1" {
			t.Errorf("a beat told %q", got)
		}
	}
	b.core.set(func() {
		if b.core.asked < 4 {
			t.Errorf("the loop was asked %d times for 3 beats", b.core.asked)
		}
	})
}

func TestTheClientIsServedWhileTheDaemonRuns(t *testing.T) {
	b := start(t, api.Status{Version: "9"})
	c := api.New(b.path)
	defer c.Close()
	if status, err := c.Status(context.Background()); err != nil || status.Version != "9" {
		t.Errorf("%+v, %v", status, err)
	}
	if err := b.end(); err != nil {
		t.Error(err)
	}
	if _, err := c.Status(context.Background()); !api.Unavailable(err) {
		t.Errorf("after the end: %v", err)
	}
}

func TestAPartThatFailsEndsTheDaemon(t *testing.T) {
	b := start(t, api.Status{})
	b.hears(t)
	b.core.fail <- io.ErrUnexpectedEOF
	if got := b.hears(t); !strings.HasPrefix(got, "STOPPING=1") {
		t.Errorf("told %q", got)
	}
	if err := b.end(); !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "cannot keep the tiers") {
		t.Errorf("ended with %v", err)
	}
}

func TestSummaryOfOneTier(t *testing.T) {
	if got := inWords(agent.Summary{Tiers: []api.State{api.Ready}}); got != "1 tier, 1 ready" {
		t.Error(got)
	}
}

func TestSummaryNamesAFaultInTiersToml(t *testing.T) {
	got := inWords(agent.Summary{ConfigError: "tiers.toml:3: x", Tiers: []api.State{api.Failed, api.Blocked, api.Stopped}})
	if got != "3 tiers, 1 failed, 1 blocked; tiers.toml has a fault, see tierctl status" {
		t.Error(got)
	}
}

func TestTheGuardIsHeardUntilTheEnd(t *testing.T) {
	b := start(t, api.Status{})
	path := filepath.Join(filepath.Dir(b.path), "guard")
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetReadDeadline(time.Now().Add(time.Minute))
	if text, err := io.ReadAll(c); err != nil || string(text) != "{}\n" {
		t.Errorf("it heard %q, %v", text, err)
	}
	if err := b.end(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

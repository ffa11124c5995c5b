package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/rocm"
)

// fakeControl is an agent with one tier and one change. Methods note what they were asked.
type fakeControl struct {
	mu      sync.Mutex
	asked   []string
	events  []api.Event
	wakes   map[chan api.Event]bool
	done    chan struct{} // closed: the change is done
	drained chan struct{} // closed: Admit("stop") may answer
	err     error         // what the next order is refused with
	pending string        // change of a reload
}

func newFakeControl() *fakeControl {
	return &fakeControl{wakes: map[chan api.Event]bool{}, done: make(chan struct{}), drained: make(chan struct{})}
}

func (f *fakeControl) note(format string, args ...any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, fmt.Sprintf(format, args...))
	return f.err
}

func (f *fakeControl) notes() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.asked...)
}

var epochStart = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func fakeTier() api.Tier {
	used := uint64(7 << 30)
	return api.Tier{
		Name: "coder", Role: "coder", Port: 8002, Start: "boot", Priority: 80, State: api.Ready, Status: "Serving",
		Reason: "asked to", Class: api.ClassTimeout, Since: epochStart, Variant: "vllm", Unit: "tier-coder.service", Engine: "vllm", Model: "m",
		Variants: []api.Variant{{Name: "vllm", Unit: "tier-coder.service", Engine: "vllm", Model: "m", State: api.Ready, Memory: 9, Reason: "none"}},
		Context:  49152, Memory: 9 << 30, MemoryCurrent: &used, MainPID: 812, Restarts: 1, RestartPending: true, Removed: true,
		LeavesMachine: true, DropIns: []string{"/etc/x.conf"}, PortError: "port 8002 is held by nginx (pid 812)", Warning: "w", IdleSince: epochStart, StopsAt: epochStart,
	}
}

func fakeChange(state string) api.Change {
	return api.Change{
		ID: "7", Kind: "start", Summary: "start coder", Tiers: []string{"coder"}, State: state, Started: epochStart, Finished: epochStart,
		Tasks: []api.Task{{Tier: "coder", Unit: "tier-coder.service", Summary: "start tier-coder.service", State: "doing", Status: "Loading", Err: "none"}},
		Err:   &api.Error{Kind: api.KindUnit, Message: "m", Hint: "h", Class: api.ClassBudget},
	}
}

func (f *fakeControl) Status(context.Context) (api.Status, error) {
	return api.Status{
		Version: "1", Started: epochStart, Systemd: "262", ConfigPath: "/etc/tierd/tiers.toml", ConfigHash: "abc", ConfigError: "none",
		Warnings: []string{"w"}, Gateway: "connected", PortError: "port 8000 is held by nginx (pid 812)", Tiers: []api.Tier{fakeTier()},
	}, f.note("status")
}

func (f *fakeControl) Tier(name string) (api.Tier, error) {
	if name != "coder" {
		return api.Tier{}, &api.Error{Kind: api.KindNotFound, Message: fmt.Sprintf("there is no tier %q", name)}
	}
	return fakeTier(), f.note("tier %s", name)
}

func (f *fakeControl) Modes() ([]api.Mode, error) {
	return []api.Mode{{Name: "full", Default: true, Tiers: map[string]string{"coder": "vllm"}}}, f.note("modes")
}

func (f *fakeControl) PlanMode(_ context.Context, mode string) (api.Plan, error) {
	unit := api.UnitText{Unit: "tier-coder.service", Tier: "coder", Variant: "vllm", Action: "start", Text: "[Unit]\n"}
	return api.Plan{Mode: mode, Units: []api.UnitText{unit}, Warnings: []string{"w"}, Refusal: "r"}, f.note("plan %s", mode)
}

func (f *fakeControl) Budget(_ context.Context, mode string) (api.Budget, error) {
	size := uint64(128 << 30)
	pool := api.Pool{Name: "ram", Size: &size, Used: &size, Promised: 1, Others: 2, Leaked: 3}
	share := api.Share{Tier: "coder", Unit: "tier-coder.service", Variant: "vllm", Phase: "ready", RAM: 9, GPU: 9, Taken: 9,
		Charge: api.Charge{Weights: 5, KV: 3, Overhead: 1, Host: 1, Mapped: 1, Measured: 1, Written: 9, Text: "9"}}
	return api.Budget{Mode: mode, RAM: pool, GPU: &pool, Reserve: 1, KeepFree: 1, Free: &size, Pending: 1, Tiers: []api.Share{share},
		Words: "w", GiveWay: []string{"coder"}}, f.note("budget %s", mode)
}

func (f *fakeControl) Metrics(ctx context.Context) (api.Metrics, error) {
	used := uint64(7 << 30)
	budget, _ := f.Budget(ctx, "")
	tier := api.TierMetrics{Tier: "coder", Starts: map[string]uint64{"boot": 1}, Stops: map[string]uint64{"failed:timeout": 1}, Memory: 9, MemoryCurrent: &used}
	guard := api.GuardMetrics{Connected: true, Armed: true, Resting: 1, Actions: map[string]uint64{"ask": 1}, Available: &used, Lines: map[string]uint64{"soft": 1}}
	return api.Metrics{Version: "1", Started: epochStart, ConfigValid: true, Tiers: []api.TierMetrics{tier}, Budget: &budget, Guard: &guard}, f.note("metrics")
}

func (f *fakeControl) Guard(context.Context) (api.Guard, error) {
	held := uint64(5 << 30)
	event := api.GuardEvent{Time: epochStart, Kind: "ask", Tier: "coder", Unit: "tier-coder.service", Text: "t", Available: 1, DryRun: true}
	state := api.GuardState{
		Armed: true, Why: "w", DryRun: true, Level: "calm", Available: 9, Slope: -1, Refuse: 4, Soft: 3, Hard: 2, Emergency: 1, SwapFree: 1, SwapTotal: 2,
		GTTUsed: &held, Poll: 0.5, Looks: 7, Resident: 3 << 20, CPU: 0.1, Since: epochStart, Would: "nothing", Stops: 1, Kills: 1, Last: &event,
		Order: []api.GuardVictim{{Tier: "coder", Unit: "tier-coder.service", RAM: &held, GPU: &held, Charge: 9, Why: "idle"}},
	}
	rest := api.GuardRest{Tier: "coder", Unit: "tier-coder.service", Text: "t", Until: epochStart, Stops: 1}
	return api.Guard{Connected: true, Text: "t", Enabled: true, State: &state, Recent: []api.GuardEvent{event}, Resting: []api.GuardRest{rest}}, f.note("guard")
}

func (f *fakeControl) GuardTrace(context.Context) ([]json.RawMessage, error) {
	return []json.RawMessage{json.RawMessage(`{"at":1}`)}, f.note("guard trace")
}

func (f *fakeControl) Host(context.Context) (rocm.Snapshot, error) {
	return rocm.Snapshot{Time: time.Now()}, f.note("host")
}

func (f *fakeControl) Act(_ context.Context, tier string, req api.TierRequest) (string, error) {
	return "7", f.note("act %s %s %s", tier, req.Action, req.Variant)
}

func (f *fakeControl) Stack(_ context.Context, req api.StackRequest) (string, error) {
	return "7", f.note("stack %s %s %t", req.Action, req.Mode, req.Boot)
}

func (f *fakeControl) Reload(_ context.Context, restart bool) (api.ConfigResult, string, error) {
	result := api.ConfigResult{Changed: []string{"coder"}, Removed: []string{"old"}, Pending: []string{"coder"}, Gateway: []string{"key"}, Warnings: []string{"w"}}
	return result, f.pending, f.note("reload %t", restart)
}

func (f *fakeControl) Changes() ([]api.Change, error) {
	return []api.Change{fakeChange("doing")}, f.note("changes")
}

func (f *fakeControl) Change(id string) (api.Change, error) {
	if id != "7" {
		return api.Change{}, &api.Error{Kind: api.KindNotFound, Message: fmt.Sprintf("there is no change %q", id)}
	}
	return fakeChange("doing"), f.note("change %s", id)
}

func (f *fakeControl) WaitChange(ctx context.Context, id string) (api.Change, error) {
	if _, err := f.Change(id); err != nil {
		return api.Change{}, err
	}
	select {
	case <-f.done:
		return fakeChange("done"), nil
	case <-ctx.Done():
		return api.Change{}, ctx.Err()
	}
}

func (f *fakeControl) AbortChange(id string) error { return f.note("abort %s", id) }

func (f *fakeControl) Events(after uint64) []api.Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	var later []api.Event
	for _, e := range f.events {
		if e.Seq > after {
			later = append(later, e)
		}
	}
	return later
}

func (f *fakeControl) Subscribe() (<-chan api.Event, func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	wake := make(chan api.Event, 1)
	f.wakes[wake] = true
	return wake, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.wakes, wake)
	}
}

// emit makes events; subscribers whose channel is full get no more, as with the agent's.
func (f *fakeControl) emit(seqs ...uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, seq := range seqs {
		e := api.Event{Seq: seq, Time: epochStart, Kind: "tier", Tier: "coder", Unit: "tier-coder.service", State: api.Ready, Change: "7", Text: "coder is ready"}
		f.events = append(f.events, e)
		for wake := range f.wakes {
			select {
			case wake <- e:
			default:
			}
		}
	}
}

func (f *fakeControl) subscribers() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.wakes)
}

func (f *fakeControl) Table(ctx context.Context, after uint64) (api.Table, error) {
	route := api.Route{
		Tier: "coder", Role: "coder", Port: 8002, Names: []string{"coder"}, State: api.Ready, Status: "s", Reason: "r", Unit: "tier-coder.service",
		Variant: "vllm", Engine: "vllm", Model: "m", Served: "m", Socket: "/run/tier/tier-coder/engine.sock", Context: 1, Drain: 30,
	}
	if after >= 3 {
		<-ctx.Done()
		return api.Table{}, ctx.Err()
	}
	key := api.Key{Name: "laptop", SHA256: "ab", Scopes: []string{api.ScopeModels}, Tiers: []string{"coder"}}
	return api.Table{Seq: 3, Listen: "127.0.0.1", Port: 8000, Routes: []api.Route{route}, NoConfig: true, Keys: []api.Key{key}, OpenLoopback: true,
		Hosts: []string{"models.home"}, MaxConnections: 9, MaxBody: 9}, f.note("table %d", after)
}

func (f *fakeControl) Report(report api.GatewayReport) { f.note("report %d", len(report.Listeners)) }

func (f *fakeControl) Ensure(ctx context.Context, tier string) error {
	if tier == "slow" {
		f.note("waits for %s", tier)
		<-ctx.Done()
		f.note("gone %s", tier)
		return ctx.Err()
	}
	return f.note("ensure %s", tier)
}

func (f *fakeControl) Admit(ctx context.Context, unit, op string, waits func(string)) api.AdmitAnswer {
	f.note("admit %s %s", unit, op)
	if op == "stop" {
		select {
		case <-f.drained:
		case <-ctx.Done():
		}
	}
	return api.AdmitAnswer{OK: true}
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// listen makes a socket as systemd would: closing the listener leaves the file.
func listen(t testing.TB) *net.UnixListener {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "s"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	t.Cleanup(func() { l.Close() })
	return l
}

// serve runs a server until the test ends, or until the function that it returns is called; that one gives Serve's error.
func serve(t testing.TB, s interface {
	Serve(context.Context, net.Listener) error
}) (path string, end func() error) {
	t.Helper()
	l := listen(t)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l) }()
	end = sync.OnceValue(func() error {
		cancel()
		return <-served
	})
	t.Cleanup(func() { end() })
	return l.Addr().String(), end
}

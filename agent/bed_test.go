package agent

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/rocm"
	"github.com/tierd/tierd/units"
)

const bedConfig = `
[host]
reserve = "10GiB"
models = ["/m"]
default_mode = "full"
[engine.llama]
command = ["/usr/bin/llama-server"]
[engine.radv]
kind = "llama"
gpu = true
command = ["/opt/llama/llama-server"]
[tier.orch]
role = "orchestrator"
port = 8001
start = "boot"
priority = 90
[tier.orch.variant.a]
engine = "radv"
model = "/m/orch.gguf"
context = "4K"
memory = "20GiB"
[tier.orch.variant.b]
engine = "llama"
model = "/m/orch.gguf"
context = "4K"
memory = "20GiB"
[tier.coder]
role = "coder"
port = 8002
start = "boot"
priority = 50
[tier.coder.variant.a]
engine = "radv"
model = "/m/coder.gguf"
context = "4K"
memory = "60GiB"
[tier.util]
role = "utility"
port = 8012
start = "manual"
priority = 10
[tier.util.variant.a]
engine = "llama"
model = "/m/util.gguf"
context = "4K"
memory = "2GiB"
[mode.full]
tiers = ["orch", "coder", "util"]
[mode.small]
tiers = ["orch/b", "util"]
`

const (
	orchA = "tier-orch.service"
	orchB = "tier-orch-b.service"
	coder = "tier-coder.service"
	util  = "tier-util.service"
)

// bed is an agent on a fake systemd, inside a synctest bubble.
type bed struct {
	*Agent
	t         testing.TB
	systemd   *fakeSystemd
	config    string
	cancel    context.CancelFunc
	memory    atomic.Pointer[rocm.Memory]
	memoryErr error
	held      sync.Map // by unit: what its cgroup has, a uint64
	snapshot  atomic.Pointer[rocm.Snapshot]
	snapshots atomic.Int32 // how many were taken
	files     fs.FS        // where models and engines are looked for; nil: they are not
	runDir    string       // where switches are noted
	state     string       // where measured figures are kept; "": nowhere
	broken    string       // why the host cannot be read
	boot      string       // the kernel's boot_id; "": it says none
	calls     []ensureCall // of the requests that come and go
	poller    *pollingGateway
	guard     *fakeGuard
}

func bytesOf(gib uint64) *uint64 { n := gib << 30; return &n }

// inBed runs a test on an agent that has read its configuration and defined its units.
func inBed(t *testing.T, f func(b *bed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, filepath.Join(t.TempDir(), "tiers.toml"))
		b.run()
		defer b.end()
		f(b)
		for _, wrong := range b.systemd.wrongs {
			t.Error("it must not happen: " + wrong)
		}
	})
}

func newBed(t testing.TB, config string) *bed {
	b := &bed{t: t, systemd: newFakeSystemd(), config: config, runDir: filepath.Join(filepath.Dir(config), "run")}
	b.memory.Store(&rocm.Memory{MemTotal: bytesOf(125), MemAvailable: bytesOf(120)})
	b.write(bedConfig)
	return b
}

func (b *bed) write(text string) {
	b.t.Helper()
	if err := os.WriteFile(b.config, []byte(text), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// change replaces words of the configuration.
func (b *bed) change(old, text string) {
	b.t.Helper()
	now, err := os.ReadFile(b.config)
	if err != nil || !strings.Contains(string(now), old) {
		b.t.Fatalf("no %q in the configuration (%v)", old, err)
	}
	b.write(strings.ReplaceAll(string(now), old, text))
}

// run starts an agent on what is there; also a second one after end.
func (b *bed) run() { b.runWith(quiet()) }

func (b *bed) runWith(log *slog.Logger) {
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel = cancel
	root := b.t.(interface{ TempDir() string }).TempDir()
	if b.boot != "" {
		id := filepath.Join(root, "proc/sys/kernel/random/boot_id")
		if err := errors.Join(os.MkdirAll(filepath.Dir(id), 0o755), os.WriteFile(id, []byte(b.boot+"\n"), 0o644)); err != nil {
			b.t.Fatal(err)
		}
	}
	b.Agent = New(Options{
		Systemd: b.systemd, Log: log, ConfigPath: b.config, Version: "1", Root: root,
		Host: func(context.Context) (units.Host, error) {
			if b.broken != "" {
				return units.Host{}, errors.New(b.broken)
			}
			return units.Host{MemTotal: 125 << 30, SystemdVersion: 262, FS: b.files}, nil
		},
		Kernel: b, FS: b.files, StateDir: b.state, RunDir: b.runDir,
	})
	b.shims(func(ctx context.Context, unit string) api.AdmitAnswer { return b.Admit(ctx, unit, "start", nil) })
	agent := b.Agent
	go agent.Run(ctx)
	synctest.Wait()
}

// shims has those of units that start ask for admission there; nil: they do not ask.
func (b *bed) shims(admit func(ctx context.Context, unit string) api.AdmitAnswer) {
	b.systemd.mu.Lock()
	defer b.systemd.mu.Unlock()
	b.systemd.admit = admit
}

// has makes the host one of so many GiB, free leaves it so many.
func (b *bed) has(gib uint64) { m := *b.memory.Load(); m.MemTotal = bytesOf(gib); b.memory.Store(&m) }

func (b *bed) free(gib uint64) {
	m := *b.memory.Load()
	m.MemAvailable = bytesOf(gib)
	b.memory.Store(&m)
}

// Memory and Cgroup are a kernel's.
func (b *bed) Memory() (rocm.Memory, error) {
	if b.memoryErr != nil {
		return rocm.Memory{}, b.memoryErr
	}
	return *b.memory.Load(), nil
}

func (b *bed) Cgroup(path string) (rocm.CgroupMemory, error) {
	of, there := b.held.Load(filepath.Base(path))
	if !there {
		return rocm.CgroupMemory{}, fs.ErrNotExist
	}
	held := of.(uint64)
	return rocm.CgroupMemory{Anon: &held}, nil
}

func (b *bed) MemoryMin(path string) (units.Bytes, error) {
	b.systemd.mu.Lock()
	defer b.systemd.mu.Unlock()
	n, counted := b.systemd.mins[path]
	if !counted {
		return 0, fs.ErrNotExist
	}
	return n, nil
}

func (b *bed) Snapshot(context.Context) rocm.Snapshot {
	b.snapshots.Add(1)
	if s := b.snapshot.Load(); s != nil {
		return *s
	}
	return rocm.Snapshot{}
}

// end ends the agent as SIGTERM ends tierd, and its connection to systemd with it.
func (b *bed) end() {
	b.cancel()
	<-b.Agent.ended
	b.systemd.disconnect()
}

// after lets time pass and everything settle.
func (b *bed) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (b *bed) tierNow(name string) api.Tier {
	b.t.Helper()
	t, err := b.Tier(name)
	if err != nil {
		b.t.Fatal(err)
	}
	return t
}

// mustState checks a tier's state.
func (b *bed) mustState(tier string, want api.State) {
	b.t.Helper()
	if t := b.tierNow(tier); t.State != want {
		b.t.Errorf("%s is %s (%s), want %s", tier, t.State, t.Reason, want)
	}
}

// act asks for a change of a tier and waits for its end.
func (b *bed) act(tier, action, variant string) api.Change {
	b.t.Helper()
	id, err := b.Act(context.Background(), tier, api.TierRequest{Action: action, Variant: variant})
	if err != nil {
		b.t.Fatalf("%s %s: %v", action, tier, err)
	}
	return b.wait(id)
}

func (b *bed) up(mode string) api.Change {
	b.t.Helper()
	id, err := b.Stack(context.Background(), api.StackRequest{Action: "up", Mode: mode})
	if err != nil {
		b.t.Fatalf("up %s: %v", mode, err)
	}
	return b.wait(id)
}

func (b *bed) wait(id string) api.Change {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	c, err := b.WaitChange(ctx, id)
	if err != nil || !c.Done() {
		b.t.Fatalf("change %s did not end: %+v, %v", id, c, err)
	}
	synctest.Wait()
	return c
}

func mustDone(t testing.TB, c api.Change) {
	t.Helper()
	if c.State != "done" {
		t.Errorf("%s: %s, %v", c.Summary, c.State, c.Err)
	}
}

package agent

import (
	"context"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/units"
)

// slowBus is a systemd that takes as long to read units as a real one, and notes when it is told to start one.
type slowBus struct {
	*fakeSystemd
	started atomic.Pointer[time.Time]
}

func (s *slowBus) Start(ctx context.Context, name string) error {
	now := time.Now()
	s.started.Store(&now)
	begun, cancel := context.WithCancel(ctx)
	cancel() // its own wait for the job looks every 10 ms
	_ = s.fakeSystemd.Start(begun, name)
	for s.state(name) == "activating" {
		time.Sleep(100 * time.Microsecond)
	}
	return nil
}

func (s *slowBus) List(ctx context.Context, names []string, depth Depth) ([]UnitStatus, error) {
	pause := 3 * time.Millisecond
	if depth == ReadAll {
		pause *= time.Duration(len(names))
	}
	time.Sleep(pause)
	return s.fakeSystemd.List(ctx, names, depth)
}

// BenchmarkEnsure is what tierd adds to the start of a tier for a request: the way from the gateway's call over the socket
// to systemd, with units whose reading takes 3 ms each. The goal of a cold start is 30 ms in all.
func BenchmarkEnsure(b *testing.B) {
	root := b.TempDir()
	config := filepath.Join(root, "tiers.toml")
	writeFile(b, config, bedConfig)
	systemd := &slowBus{fakeSystemd: newFakeSystemd()}
	systemd.load = 30 * time.Millisecond
	memory := &bed{t: b}
	memory.systemd = systemd.fakeSystemd
	memory.memory.Store(newBed(b, config).memory.Load())
	a := New(Options{Systemd: systemd, Log: quiet(), ConfigPath: config, Root: root, Kernel: memory,
		Host: func(context.Context) (units.Host, error) {
			return units.Host{MemTotal: 125 << 30, SystemdVersion: 262}, nil
		}})
	systemd.admit = func(ctx context.Context, unit string) api.AdmitAnswer { return a.Admit(ctx, unit, "start", nil) }
	ctx, cancel := context.WithCancel(context.Background())
	go a.Run(ctx)
	defer func() { cancel(); <-a.ended }()
	path, end := serve(b, NewServer(a, quiet(), root))
	defer end()
	client := api.New(path)
	defer client.Close()
	var before, after []time.Duration
	b.ReportAllocs()
	for b.Loop() {
		began := time.Now()
		if err := client.Ensure(ctx, "coder"); err != nil {
			b.Fatal(err)
		}
		answered := time.Now()
		systemd.mu.Lock()
		ready := systemd.units[coder].Since
		systemd.mu.Unlock()
		before, after = append(before, systemd.started.Load().Sub(began)), append(after, answered.Sub(ready))
		id, err := a.Act(ctx, "coder", api.TierRequest{Action: "stop"})
		if err != nil {
			b.Fatal(err)
		}
		if c, err := a.WaitChange(ctx, id); err != nil || c.State != "done" {
			b.Fatalf("%+v, %v", c.Err, err)
		}
	}
	slices.Sort(before)
	slices.Sort(after)
	b.ReportMetric(float64(before[len(before)/2].Microseconds()), "to-start-p50-µs")
	b.ReportMetric(float64(after[len(after)/2].Microseconds()), "from-ready-p50-µs")
}

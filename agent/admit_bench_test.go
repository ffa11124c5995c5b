package agent

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/units"
)

// twelveTiers is a configuration whose tiers all fit but for the last.
func twelveTiers() string {
	var b strings.Builder
	b.WriteString("[host]\nreserve = \"4GiB\"\nmodels = [\"/m\"]\n[engine.llama]\ncommand = [\"/usr/bin/llama-server\"]\n")
	for i := range 13 {
		memory := 9
		if i == 12 {
			memory = 60
		}
		fmt.Fprintf(&b, "[tier.t%d]\nport = %d\npriority = %d\nmin_residency = \"0s\"\n[tier.t%d.variant.a]\nengine = \"llama\"\nmodel = \"/m/x.gguf\"\ncontext = \"4K\"\nmemory = \"%dGiB\"\n", i, 8001+i, 5*i, i, memory)
	}
	return b.String()
}

// BenchmarkAdmission is what a shim waits for: its question reaches the loop, proc/meminfo and twelve cgroups are read, and
// every set of tiers that might give way is looked at. The goal is 5 ms for 99 of 100.
func BenchmarkAdmission(b *testing.B) {
	root := b.TempDir()
	write := func(name, text string) {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			b.Fatal(err)
		}
		writeFile(b, path, text)
	}
	write("proc/meminfo", "MemTotal: 130988112 kB\nMemAvailable: 20000000 kB\n")
	systemd := newFakeSystemd()
	systemd.load = 0
	config := filepath.Join(root, "tiers.toml")
	write("tiers.toml", twelveTiers())
	a := New(Options{Systemd: systemd, Log: quiet(), ConfigPath: config, Root: root, Kernel: NewKernel(root),
		Host: func(context.Context) (units.Host, error) { return units.Host{SystemdVersion: 262}, nil }})
	ctx, cancel := context.WithCancel(context.Background())
	go a.Run(ctx)
	defer func() { cancel(); <-a.ended }()
	for i := range 12 {
		name := fmt.Sprintf("t%d", i)
		write("sys/fs/cgroup/tier.slice/tier-cpu.slice/tier-"+name+".service/memory.stat", "anon 9663676416\nfile 98304000\nkernel 512000\nshmem 1000\n")
		id, err := a.Act(ctx, name, api.TierRequest{Action: "start"})
		if err != nil {
			b.Fatal(err)
		}
		if c, err := a.WaitChange(ctx, id); err != nil || c.State != "done" {
			b.Fatalf("%s: %+v, %v", name, c.Err, err)
		}
	}
	var took []time.Duration
	b.ReportAllocs()
	for b.Loop() {
		began := time.Now()
		answer := a.Admit(ctx, "tier-t12.service", "start", nil)
		took = append(took, time.Since(began))
		if answer.OK || !strings.Contains(answer.Message, "it fits once") {
			b.Fatalf("got %+v", answer)
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

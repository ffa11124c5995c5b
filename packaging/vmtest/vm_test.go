//go:build vmtest

package vmtest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// buildGuest builds the program that runs in VMs, static because the tree in them has another C library.
func buildGuest(t *testing.T) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "guest")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-ldflags", "-s -w", "-o", out, "./guest")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cannot build the guest's program: %v\n%s", err, text)
	}
	return out
}

// startVM boots a VM with so much memory on the bed's tree and model, for one test.
func startVM(t *testing.T, memory int64) (*VM, context.Context) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute)
	t.Cleanup(cancel)
	mkuml := exec.CommandContext(ctx, "./mkuml.sh")
	mkuml.Stderr = os.Stderr
	kernel, err := mkuml.Output()
	if err != nil {
		t.Fatalf("cannot have a kernel for the VM: %v", err)
	}
	begin := time.Now()
	v, err := StartVM(ctx, Machine{
		Kernel: strings.TrimSpace(string(kernel)),
		Guest:  buildGuest(t),
		Layers: []string{fixture.base.Model, fixture.base.Root},
		Memory: memory,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the VM is up in %.1f s", time.Since(begin).Seconds())
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("the VM's journal:\n" + v.Journal())
		}
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	return v, ctx
}

func TestVMBoots(t *testing.T) {
	v, ctx := startVM(t, 1536<<20)
	begin := time.Now()
	for _, script := range []string{"true", "uname -a; cat /proc/meminfo | head -5; cat /proc/pressure/memory; systemctl --failed; systemd-analyze; systemd-analyze blame | head -20; mount; cat /sys/fs/cgroup/cgroup.controllers; nproc; ip addr",
		"dd if=/dev/zero bs=1M count=20 2>/dev/null | md5sum", "head -c 20000000 /dev/zero | tr '\\0' 'a'", "exit 7"} {
		begin = time.Now()
		r, err := v.Run(ctx, script)
		if len(r.Stdout) > 10000 {
			r.Stdout = "long"
		}
		t.Logf("%v: %v %v %d %s %s", script, time.Since(begin), err, r.Exit, r.Stdout, r.Stderr)
	}
	begin = time.Now()
	t.Log(v.PowerOff(ctx), time.Since(begin))
}

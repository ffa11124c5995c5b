//go:build vmtest

package vmtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// vmMemory of a VM holds two of the tiers of testdata/vm-tiers.toml beside the reserve, and not three. The system itself
// takes 70 MiB, so that two also fit by what is really free when the second one asks.
const vmMemory = 1104 << 20

// vmKernel has a kernel made, once.
var vmKernel = sync.OnceValues(func() (string, error) {
	cmd := exec.Command("./mkuml.sh")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("cannot have a kernel for the VM (mkuml.sh): %w", err)
	}
	return strings.TrimSpace(string(out)), nil
})

// vmGuest builds the program that runs in VMs, once; static, because the tree in them has another C library.
var vmGuest = sync.OnceValues(func() (string, error) {
	out := filepath.Join(workDir(), "guest")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-ldflags", "-s -w", "-o", out, "./guest")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build the guest's program: %w\n%s", err, text)
	}
	return out, nil
})

// startVM boots a VM with so much memory on the bed's tree and model, and on layers above them, for one test.
func startVM(t *testing.T, memory int64, above ...string) (*VM, context.Context) {
	t.Helper()
	kernel, err := vmKernel()
	if err != nil {
		t.Fatal(err)
	}
	guest, err := vmGuest()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), vmPatience+hammerTime(t))
	t.Cleanup(cancel)
	begin := time.Now()
	v, err := StartVM(ctx, Machine{
		Kernel: kernel, Guest: guest, Memory: memory,
		Layers: append(above, fixture.base.Model, fixture.base.Root),
	})
	if err != nil {
		t.Fatal(err)
	}
	bench("vm-boot", milliseconds(time.Since(begin)), "ms", 20_000)
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

// vmPatience bounds what a test does in a VM beside its hammer: only a hang meets it.
const vmPatience = 20 * time.Minute

// installInVM installs the built package as dpkg does it, with these tiers.
func installInVM(t *testing.T, v *VM, ctx context.Context, tiers string) {
	t.Helper()
	deb, err := v.CopyIn(fixture.deb)
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	inVM(t, v, ctx, "dpkg -i "+deb)
	t.Logf("the package is installed in %.1f s", time.Since(begin).Seconds())
	if err := v.WriteFile(ctx, "/etc/tierd/tiers.toml", []byte(tiers), 0o644); err != nil {
		t.Fatal(err)
	}
	inVM(t, v, ctx, "tierctl reload")
}

func vmTiers(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("testdata/vm-tiers.toml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// inVM runs a command that must not fail and returns what it wrote.
func inVM(t *testing.T, v *VM, ctx context.Context, script string) string {
	t.Helper()
	out, err := v.Must(ctx, script)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// numberInVM runs a command whose output is one number.
func numberInVM(t *testing.T, v *VM, ctx context.Context, script string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(inVM(t, v, ctx, script), 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	return n
}

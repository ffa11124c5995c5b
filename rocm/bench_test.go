package rocm

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/rocm/rocmtest"
)

// busyHost is a machine with so many processes of 20 open files each, one in 100 of which is a GPU client, and with links
// like those of a live host.
func busyHost(t testing.TB, processes int) (root string) {
	root = rocmtest.Unpack(t, "gtt120")
	for _, pid := range []string{"2210", "4300", "4311", "4390", "4402", "4520"} { // their files have no links
		os.RemoveAll(filepath.Join(root, "proc", pid))
		os.RemoveAll(filepath.Join(root, kfdProc, pid))
	}
	for i := range processes {
		base := filepath.Join(root, "proc", fmt.Sprint(1000+i))
		for _, name := range []string{"fd", "fdinfo"} {
			if err := os.MkdirAll(filepath.Join(base, name), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		write(t, base, "comm", fmt.Sprintf("worker-%d\n", i))
		write(t, base, "cgroup", "0::/system.slice/worker.service\n")
		for fd := range 20 {
			target, info := fmt.Sprintf("socket:[%d]", 100000+20*i+fd), "pos:\t0\nflags:\t02\nmnt_id:\t15\nino:\t2054\n"
			switch {
			case i%100 == 0 && fd == 7:
				target = "/dev/dri/renderD128"
				info += fmt.Sprintf("drm-driver:\tamdgpu\ndrm-client-id:\t%d\ndrm-pdev:\t0000:c5:00.0\ndrm-resident-gtt:\t512 MiB\n", i)
			case fd%4 == 0:
				target = fmt.Sprintf("/usr/lib/x86_64-linux-gnu/libsomething.so.%d", fd)
			case fd < 3:
				target = "/dev/null"
			}
			if err := os.Symlink(target, filepath.Join(base, "fd", fmt.Sprint(fd))); err != nil {
				t.Fatal(err)
			}
			write(t, base, fmt.Sprintf("fdinfo/%d", fd), info)
		}
	}
	return root
}

func BenchmarkSnapshot500Processes(b *testing.B) {
	h := host(busyHost(b, 500))
	if s := h.Snapshot(context.Background()); len(s.Clients) != 5 || len(s.Problems) > 0 || *s.GPUs[0].GTTUsed == 0 {
		b.Fatalf("%d clients, problems %v", len(s.Clients), s.Problems)
	}
	measure(b, h)
}

// BenchmarkSnapshotOfThisMachine reads the real /proc and /sys.
func BenchmarkSnapshotOfThisMachine(b *testing.B) {
	h := host("/")
	measure(b, h)
}

// measure reports the CPU time as well, since a machine that has much else to do takes longer for the same.
func measure(b *testing.B, h *Host) {
	used := func() time.Duration {
		var u unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := used()
	b.ReportAllocs()
	for b.Loop() {
		h.Snapshot(context.Background())
	}
	b.ReportMetric(float64(used()-before)/float64(b.N)/1e6, "cpu-ms/op")
}

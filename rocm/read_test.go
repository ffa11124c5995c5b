package rocm

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/rocm/rocmtest"
)

// hang makes reads of a file hang, as those of sysfs do while a GPU hangs: opening a FIFO waits for a writer.
func hang(t *testing.T, root, name string) (path string) {
	t.Helper()
	path = filepath.Join(root, name)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// release lets so many reads that hang return with nothing.
func release(t *testing.T, path string, readers int) {
	t.Helper()
	for range readers {
		fd, err := unix.Open(path, unix.O_WRONLY|unix.O_NONBLOCK, 0)
		if err == unix.ENXIO { // nobody reads
			return
		} else if err != nil {
			t.Fatal(err)
		}
		unix.Close(fd)
	}
}

// wait is for what other goroutines are about to bring about.
func wait(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !done(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%s: never", what)
		}
	}
}

// hasty waits for so long only, and long enough for everything that does not hang on a machine that has much else to do.
func hasty(root string) *Host {
	h := Open(root)
	h.Limit = 2 * time.Second
	return h
}

func problemsOf(s Snapshot) (files []string) {
	for _, p := range s.Problems {
		files = append(files, p.File)
	}
	return files
}

// waiting is how many reads have not returned.
func waiting(h *Host) int {
	h.calls.mu.Lock()
	defer h.calls.mu.Unlock()
	return len(h.calls.open)
}

func TestACardThatHangsCostsOneLimitAndOneGoroutine(t *testing.T) {
	root := rocmtest.Unpack(t, "dgpu-gfx1100-plus-gfx1151")
	path := hang(t, root, "sys/class/drm/card1/device/gpu_busy_percent")
	h := hasty(root)
	before := runtime.NumGoroutine()

	start := time.Now()
	s := h.Snapshot(context.Background())
	if took := time.Since(start); took < h.Limit || took > 20*h.Limit {
		t.Errorf("the first look took %s with a limit of %s", took, h.Limit)
	}
	check := func(s Snapshot) {
		t.Helper()
		if got := problemsOf(s); !slices.Equal(got, []string{"/sys/class/drm/card1/device/gpu_busy_percent"}) || !errors.Is(s.Problems[0], ErrHung) {
			t.Errorf("problems: %v", s.Problems)
		}
		one, other := s.GPUs[1], s.GPUs[0]
		if one.Busy != nil || one.Power != nil || one.GTTUsed == nil || *one.GTTUsed != 96468992 || one.Gfx() != "gfx1151" || one.PoolSize == nil {
			t.Errorf("the card that hangs: %s", show(&one))
		}
		if other.Busy == nil || *other.Busy != 12 || other.Power == nil || len(s.Clients) != 1 || s.Memory.MemTotal == nil {
			t.Errorf("the rest: %s", show(&s))
		}
	}
	check(s)
	for range 5 {
		start := time.Now()
		check(h.Snapshot(context.Background()))
		if took := time.Since(start); took >= h.Limit {
			t.Errorf("a later look took %s", took)
		}
	}
	wait(t, "all but one goroutine end", func() bool { return runtime.NumGoroutine() == before+1 })

	release(t, path, 1)
	wait(t, "the read returns", func() bool { return waiting(h) == 0 && runtime.NumGoroutine() == before })
	write(t, root, "new", "41\n")
	if err := os.Rename(filepath.Join(root, "new"), path); err != nil {
		t.Fatal(err)
	}
	if s := h.Snapshot(context.Background()); len(s.Problems) > 0 || *s.GPUs[1].Busy != 41 || s.GPUs[1].Power == nil {
		t.Errorf("afterwards: %s", show(&s))
	}
}

func TestAReadThatHangsHoldsNothingElseBack(t *testing.T) {
	for name, c := range map[string]struct {
		files []string
		check func(Snapshot) bool
	}{
		"meminfo": {[]string{"proc/meminfo"}, func(s Snapshot) bool {
			return s.Memory == (Memory{}) && s.Pressure.Memory != nil && len(s.Swaps) == 1 && *s.GPUs[0].GTTUsed > 0 && s.ClientsComplete
		}},
		"a card's memory": {[]string{"sys/class/drm/card1/device/mem_info_vram_total"}, func(s Snapshot) bool {
			g := s.GPUs[0]
			return g.PCI == "0000:c5:00.0" && g.VRAMTotal == nil && g.GTTUsed == nil && g.Pool == "" && g.Gfx() == "gfx1151" && len(s.Clients) == 4
		}},
		"KFD": {[]string{"sys/class/kfd/kfd/topology/nodes/1/properties"}, func(s Snapshot) bool {
			g := s.GPUs[0]
			return g.KFD == nil && g.Pool == PoolGTT && *g.PoolSize == 120<<30 && g.Busy != nil && len(s.Clients) == 4
		}},
		"what two processes hold": {[]string{"proc/4311/fdinfo/27", "proc/4402/fdinfo/27"}, func(s Snapshot) bool {
			gtt, _ := s.Unattributed("0000:c5:00.0")
			return len(s.Clients) == 4 && len(s.Clients[1].Memory) == 0 && s.Clients[1].KFD[64506] == 69155684352 &&
				s.Clients[3].Memory[0].GTT == 2469605376 && !s.ClientsComplete && gtt == nil && s.GPUs[0].Busy != nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := rocmtest.Unpack(t, "gtt120")
			var paths, want []string
			for _, f := range c.files {
				paths, want = append(paths, hang(t, root, f)), append(want, "/"+f)
			}
			h := hasty(root)
			for range 2 { // the second time the read hangs already
				s := h.Snapshot(context.Background())
				if !slices.Equal(problemsOf(s), want) || !c.check(s) {
					t.Errorf("got %s\nproblems %v", show(&s), s.Problems)
				}
				if n := waiting(h); n != len(want) {
					t.Errorf("%d reads have not returned", n)
				}
			}
			for _, p := range paths {
				release(t, p, 1)
			}
		})
	}
}

func TestSnapshotsSideBySideShareWhatHangs(t *testing.T) {
	t.Parallel()
	root := rocmtest.Unpack(t, "gtt120")
	path := hang(t, root, "proc/4311/fdinfo/28")
	h := hasty(root)
	var all sync.WaitGroup
	snapshots := make([]Snapshot, 16)
	for i := range snapshots {
		all.Go(func() { snapshots[i] = h.Snapshot(context.Background()) })
	}
	all.Wait()
	if n := waiting(h); n != 1 {
		t.Errorf("%d reads have not returned", n)
	}
	for _, s := range snapshots {
		if len(s.Problems) != 1 || *s.GPUs[0].GTTUsed != 110479224832 {
			t.Errorf("problems %v", s.Problems)
		}
	}
	release(t, path, 1)
}

func TestACallerWhoGivesUpLeavesNoMark(t *testing.T) {
	root := rocmtest.Unpack(t, "gtt120")
	path := hang(t, root, "proc/meminfo")
	h := host(root)
	ctx, cancel := context.WithCancel(context.Background())
	got := make(chan Snapshot)
	go func() { got <- h.Snapshot(ctx) }()
	begun := func() *call {
		h.calls.mu.Lock()
		defer h.calls.mu.Unlock()
		return h.calls.open["proc/meminfo"]
	}
	wait(t, "the read begins", func() bool { return begun() != nil })
	cancel()
	if s := <-got; !slices.ContainsFunc(s.Problems, func(p Problem) bool { return errors.Is(p, context.Canceled) && !errors.Is(p, ErrHung) }) {
		t.Errorf("problems %v", s.Problems)
	}
	if k := begun(); k == nil || k.late {
		t.Errorf("the read is %+v", k)
	}
	// The read was begun; it may not have come to open the file yet, and then there is nobody to release.
	wait(t, "the read returns", func() bool { release(t, path, 1); return waiting(h) == 0 })
}

func TestReadsAreBounded(t *testing.T) {
	root := t.TempDir()
	for _, size := range []int{0, 1, maxFile - 1, maxFile, maxFile + 1, 3 * maxFile} {
		write(t, root, "f", string(make([]byte, size)))
		data, err := dir(root).read("f", maxFile)
		if size <= maxFile && (err != nil || len(data) != size) || size > maxFile && (err == nil || data != nil) {
			t.Errorf("of %d bytes came %d, %v", size, len(data), err)
		}
	}
	if data, err := dir(root).read("f", maxCPUInfo); err != nil || len(data) != 3*maxFile {
		t.Errorf("of %d bytes came %d, %v", 3*maxFile, len(data), err)
	}
}

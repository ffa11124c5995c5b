package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The test program is the child that is signalled, too.
func TestMain(m *testing.M) {
	if kind := os.Getenv(childVar); kind != "" {
		beChild(kind)
		return
	}
	if os.Getenv(guardVar) != "" {
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

const guardVar = "TIER_GUARD_TEST" // has the test program be the guard itself, which can be killed

const bound = 20 * time.Second // only against hanging

// process is a real one in a fake tree.
type process struct {
	*exec.Cmd
	done chan struct{}
}

// start is a child that ends on SIGTERM ("meek") or not ("deaf"), and is ready for it.
func start(t testing.TB, kind string) *process {
	t.Helper()
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p := &process{Cmd: exec.Command("/proc/self/exe"), done: make(chan struct{})}
	p.Env = append(os.Environ(), childVar+"="+kind)
	p.Stdout = in
	err = p.Start()
	in.Close()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		_ = p.Wait()
	}()
	t.Cleanup(func() {
		_ = p.Process.Kill()
		<-p.done
	})
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *process) pid() int { return p.Process.Pid }

// ended waits for its end and tells by which signal.
func (p *process) ended(t testing.TB) syscall.Signal {
	t.Helper()
	select {
	case <-p.done:
		return p.ProcessState.Sys().(syscall.WaitStatus).Signal()
	case <-time.After(bound):
		t.Fatal("the process is still there")
		return 0
	}
}

func (p *process) alive() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

const coderGroup = "/tier.slice/tier-gpu.slice/tier-coder.service"

// fakeUnit writes the files of a cgroup with these processes in it.
func fakeUnit(t testing.TB, root, cgroup string, pids ...int) {
	t.Helper()
	dir := filepath.Join(cgroups, cgroup)
	var list strings.Builder
	for _, pid := range pids {
		fmt.Fprintln(&list, pid)
	}
	put(t, root, dir+"/cgroup.procs", list.String())
	put(t, root, dir+"/cgroup.events", "populated 1\nfrozen 0\n")
	put(t, root, dir+"/cgroup.kill", "")
	put(t, root, dir+"/memory.stat", "anon 1073741824\nfile 5000\nkernel 30\nshmem 7\nslab_reclaimable 10\n")
}

// killed tells whether the kernel was told to kill the cgroup.
func killed(t testing.TB, root, cgroup string) bool {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, cgroups, cgroup, "cgroup.kill"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text) == "1"
}

// fakeHost has memory, pressure figures and nothing else.
func fakeHost(t testing.TB, root string, totalMiB, availableMiB int) {
	t.Helper()
	put(t, root, "proc/meminfo", meminfoOf(totalMiB, availableMiB))
	put(t, root, "proc/pressure/memory", "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n")
}

func meminfoOf(totalMiB, availableMiB int) string {
	return fmt.Sprintf("MemTotal:       %8d kB\nMemFree:         1000 kB\nMemAvailable:   %8d kB\nSwapTotal:       0 kB\nSwapFree:        0 kB\n",
		totalMiB<<10, availableMiB<<10)
}

// opened is a unit as the guard has it.
func opened(t testing.TB, root, cgroup string, main int) *watched {
	t.Helper()
	w, err := openUnit(root, filepath.Base(cgroup), cgroup, main)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	return w
}

// until waits for what another process or goroutine does.
func until(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(bound); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

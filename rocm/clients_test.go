package rocm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/tierd/tierd/rocm/rocmtest"
)

// process puts a process into a tree, its open files as FD -> what it leads to, and fdinfo of a GPU client for those of
// a node of the GPU.
func putProcess(t *testing.T, root string, pid int, links map[int]string, infos map[int]string) {
	t.Helper()
	base := fmt.Sprintf("proc/%d/", pid)
	write(t, root, base+"comm", fmt.Sprintf("p%d\n", pid))
	write(t, root, base+"cgroup", "0::/system.slice/p.service\n")
	for fd, target := range links {
		if err := os.MkdirAll(filepath.Join(root, base+"fd"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, filepath.Join(root, fmt.Sprintf("%sfd/%d", base, fd))); err != nil {
			t.Fatal(err)
		}
	}
	for fd, text := range infos {
		write(t, root, fmt.Sprintf("%sfdinfo/%d", base, fd), text)
	}
}

func gpuClient(id int, rest string) string {
	return fmt.Sprintf("drm-driver:\tamdgpu\ndrm-client-id:\t%d\ndrm-pdev:\t0000:c5:00.0\n%s", id, rest)
}

func TestClients(t *testing.T) {
	const node = "/dev/dri/renderD128"
	root := rocmtest.Unpack(t, "gtt120-idle")
	one := gpuClient(1, "drm-resident-gtt:\t1 MiB\n")
	// A process that was handed a file by an older one, which keeps it open and has opened the card once more.
	putProcess(t, root, 100, map[int]string{3: node, 4: node, 5: "/etc/passwd"}, map[int]string{3: one, 4: one, 5: "a file that need not be read"})
	putProcess(t, root, 99, map[int]string{3: node, 9: "/dev/dri/card1"}, map[int]string{3: one, 9: gpuClient(2, "drm-resident-vram:\t2 MiB\n")})
	// In a container, on another make's card, with compute alone, and without anything of a GPU.
	putProcess(t, root, 200, map[int]string{7: "/var/lib/c/dev/dri/renderD128 (deleted)"}, map[int]string{7: gpuClient(3, "drm-memory-gtt:\t4 KiB\n")})
	putProcess(t, root, 201, map[int]string{7: "/dev/dri/renderD129"}, map[int]string{7: "drm-driver:\ti915\ndrm-client-id:\t1\ndrm-total-gtt:\t1 MiB\n"})
	putProcess(t, root, 202, map[int]string{7: "/dev/kfd"}, map[int]string{7: "pos:\t0\n"})
	write(t, root, kfdProc+"/202/vram_64506", "8192\n")
	write(t, root, kfdProc+"/300/vram_64506", "16384\n") // has ended; KFD has not noticed
	putProcess(t, root, 203, map[int]string{0: "/dev/null", 1: "socket:[1]", 2: "/home/dri/renderD128", 3: "anon_inode:[eventfd]", 4: "/dev/dri/by-path"}, nil)
	if err := os.MkdirAll(filepath.Join(root, "proc/1/fd"), 0o755); err != nil { // a kernel thread has none
		t.Fatal(err)
	}

	s := host(root).Snapshot(context.Background())
	unit := Client{Cgroup: "/system.slice/p.service", Unit: "p.service"}
	want := []Client{
		{PID: 99, Memory: []ClientMemory{{"0000:c5:00.0", 0, 2 << 20}}},
		{PID: 100, Memory: []ClientMemory{{"0000:c5:00.0", 1 << 20, 0}}},
		{PID: 200, Memory: []ClientMemory{{"0000:c5:00.0", 4 << 10, 0}}},
		{PID: 202, KFD: map[uint32]uint64{64506: 8192}},
		{PID: 300, KFD: map[uint32]uint64{64506: 16384}},
	}
	for i := range want[:4] {
		want[i].Comm, want[i].Cgroup, want[i].Unit = fmt.Sprintf("p%d", want[i].PID), unit.Cgroup, unit.Unit
	}
	if !reflect.DeepEqual(s.Clients, want) || !s.ClientsComplete || len(s.Problems) > 0 {
		t.Errorf("got %s\nproblems %v", show(&s.Clients), s.Problems)
	}
	if _, h := record(t, root); true {
		equal(t, h.Snapshot(context.Background()), s)
	}
}

func TestAMalformedFdinfoLeavesTheSumOpen(t *testing.T) {
	root := rocmtest.Unpack(t, "gtt120")
	write(t, root, "proc/4520/fdinfo/7", gpuClient(55, "drm-resident-gtt:\tmuch\n"))
	s := host(root).Snapshot(context.Background())
	if got := problemsOf(s); len(got) != 1 || got[0] != "/proc/4520/fdinfo/7" || len(s.Clients) != 3 || s.ClientsComplete {
		t.Errorf("%d clients, problems %v", len(s.Clients), s.Problems)
	}
}

// TestWhatMayNotBeLookedIntoIsOneProblem looks at this machine as nobody, who may look into no process of root's.
func TestWhatMayNotBeLookedIntoIsOneProblem(t *testing.T) {
	if os.Getenv("ROCM_TEST_AS_NOBODY") == "" {
		asNobody(t)
		return
	}
	s := host("/").Snapshot(context.Background())
	var hidden []Problem
	for _, p := range s.Problems {
		if strings.Contains(p.Error(), "cannot be looked into") {
			hidden = append(hidden, p)
		}
	}
	if len(hidden) != 1 || !errors.Is(hidden[0], os.ErrPermission) || !strings.Contains(hidden[0].Error(), "CAP_DAC_OVERRIDE") || hidden[0].File != "/proc" || s.ClientsComplete {
		t.Errorf("problems: %v", s.Problems)
	}
	if s.Memory.MemTotal == nil || errors.Is(hidden[0], ErrHung) {
		t.Errorf("got %s", show(&s))
	}
}

// asNobody runs the test that calls it once more, without root's rights.
func asNobody(t *testing.T) {
	t.Helper()
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "rocm") // where nobody may look, which is not so of t.TempDir's parent everywhere
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "rocm.test")
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(program, self, 0o755)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "ROCM_TEST_AS_NOBODY=1")
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS") {
		t.Errorf("%v\n%s", err, out)
	}
}

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	proveEvery = time.Minute           // until it succeeds
	proofBound = 5 * time.Second       // for a child of its own to go
	slowLook   = 20 * time.Millisecond // a look takes a fiftieth of that
)

// proof finds out whether the guard could act: a sandbox that is too narrow would show only at the moment when it has to. It
// does to children of its own what would be done to a tier, by the same code, which is in memory from then on.
type proof struct {
	root    string
	program string // that is started as the child
	results chan error
	running bool
	proven  bool
	tries   int // that have come to their end
	last    time.Time
	look    time.Duration // what one takes, of the last proof that got so far
}

func newProof(root string) *proof {
	return &proof{root: root, program: "/proc/self/exe", results: make(chan error, 1)}
}

// again starts a proof if none has succeeded yet and it is time.
func (p *proof) again() {
	if p.running || p.proven || !p.last.IsZero() && time.Since(p.last) < proveEvery {
		return
	}
	p.running, p.last = true, time.Now()
	go func() { p.results <- p.prove() }()
}

// prove returns why the guard is not armed, all of it.
func (p *proof) prove() error {
	return errors.Join(p.host(), locked(), spared(), p.kills())
}

// host takes the time of a look.
func (p *proof) host() error {
	h, err := openHost(p.root)
	if err != nil {
		return err
	}
	defer h.close()
	best := time.Duration(1 << 62)
	none := &table{}
	for range 5 {
		start := time.Now()
		h.look(newFacts(), none)
		best = min(best, time.Since(start))
	}
	p.look = best
	if best > slowLook {
		return fmt.Errorf("a look at the host's memory takes %s, which is too long to be in time", best.Round(time.Millisecond))
	}
	return nil
}

// locked tells whether all memory of the process stays in memory.
func locked() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		return fmt.Errorf("cannot read how much memory may be locked: %w", err)
	}
	if status, err := os.ReadFile("/proc/self/status"); err == nil && strings.Contains(string(status), "VmLck:\t       0 kB") {
		return fmt.Errorf("its memory is not locked, so it might have to wait for a disk: its unit needs LimitMEMLOCK=infinity and CAP_IPC_LOCK (%d bytes may be locked)", limit.Cur)
	}
	return nil
}

// spared tells whether the kernel will take others first.
func spared() error {
	const least = -500
	data, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		return fmt.Errorf("cannot read its own OOM score: %w", err)
	}
	if score, err := strconv.Atoi(strings.TrimSpace(string(data))); err != nil || score > least {
		return fmt.Errorf("the kernel may take the guard itself when memory runs out: its unit needs OOMScoreAdjust=-900, and it has %s", strings.TrimSpace(string(data)))
	}
	return nil
}

// kills ends three children in a control group of its own: one on SIGTERM, one by SIGKILL, one with the whole group.
func (p *proof) kills() (err error) {
	group, err := p.scratch()
	if err != nil {
		return err
	}
	dir := filepath.Join(p.root, cgroups, group)
	defer func() { err = errors.Join(err, os.Remove(dir)) }()
	var act actor
	act.reaper = newReaper()
	go act.reaper.run()
	defer close(act.reaper.pids)

	meek, err := p.child(dir, "meek")
	if err != nil {
		return err
	}
	if err := p.ends(group, "SIGTERM", func(w *watched) syscall.Errno { return act.stop(w) }, nil, meek); err != nil {
		return err
	}
	first, err := p.child(dir, "deaf")
	if err != nil {
		return err
	}
	second, err := p.child(dir, "deaf")
	if err != nil {
		first.kill()
		return err
	}
	kill := func(w *watched) syscall.Errno { return act.kill(w, time.Duration(boottime())) }
	return p.ends(group, "cgroup.kill", kill, act.finish, first, second)
}

// scratch makes a control group below the guard's own.
func (p *proof) scratch() (string, error) {
	membership, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", fmt.Errorf("cannot find its own control group: %w", err)
	}
	own, found := "", false
	for line := range strings.Lines(string(membership)) {
		if path, is := strings.CutPrefix(strings.TrimSpace(line), "0::"); is {
			own, found = path, true
		}
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(filepath.Join(p.root, cgroups), &fs); err != nil || fs.Type != unix.CGROUP2_SUPER_MAGIC {
		found = false
	}
	if !found {
		return "", errors.New("the host has no unified hierarchy of control groups (cgroup2), without which no tier can be ended as a whole")
	}
	group := filepath.Join(own, "proof")
	if err := os.Mkdir(filepath.Join(p.root, cgroups, group), 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return "", fmt.Errorf("cannot make a control group of its own to try on; its unit needs Delegate=yes: %w", err)
	}
	return group, nil
}

// ends does to the group what would be done to a tier, and waits until nobody is in it.
func (p *proof) ends(group, what string, act func(*watched) syscall.Errno, goOn func(*watched, time.Duration) syscall.Errno, children ...*child) error {
	defer func() {
		for _, c := range children {
			c.kill()
		}
	}()
	w, err := openUnit(p.root, "proof", group, children[0].pid())
	if err != nil {
		return err
	}
	defer w.close()
	if errno := act(w); errno != 0 {
		return fmt.Errorf("cannot end a child of its own by %s: %w; its unit needs CAP_KILL and these system calls in its filter", what, errno)
	}
	for deadline := time.Now().Add(proofBound); ; time.Sleep(10 * time.Millisecond) {
		if goOn != nil && w.killing {
			if errno := goOn(w, time.Duration(boottime())); errno != 0 {
				return fmt.Errorf("cannot end a child of its own by %s: %w", what, errno)
			}
		}
		events, err := os.ReadFile(filepath.Join(p.root, cgroups, group, "cgroup.events"))
		if err != nil {
			return err
		}
		if up, ok := parsePopulated(events); ok && !up {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("a child of its own was still there %s after %s", proofBound, what)
		}
	}
}

// child is this program, started to be ended.
type child struct {
	cmd  *exec.Cmd
	done chan struct{}
}

// childVar has the program be a child that ends on SIGTERM ("meek") or not ("deaf").
const childVar = "TIER_GUARD_PROOF"

// child starts one, puts it into the group, and returns when it is what it was started to be. It is not started within the
// group: that takes clone3(2), which systemd's RestrictNamespaces= answers with ENOSYS.
func (p *proof) child(dir, kind string) (*child, error) {
	c := &child{cmd: exec.Command(p.program), done: make(chan struct{})}
	c.cmd.Env = []string{childVar + "=" + kind, "GOMAXPROCS=1"}
	out, in, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("cannot start a child of its own: %w", err)
	}
	defer out.Close()
	c.cmd.Stdout = in
	err = c.cmd.Start()
	in.Close()
	if err != nil {
		return nil, fmt.Errorf("cannot start a child of its own: %w", err)
	}
	go func() {
		defer close(c.done)
		runtime.LockOSThread() // has the thread end with it: Go would keep it, with its stacks
		_ = c.cmd.Wait()
	}()
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(c.pid())), 0); err != nil {
		c.kill()
		return nil, fmt.Errorf("cannot put a child of its own into a control group: %w", err)
	}
	var ready [1]byte
	if _, err := out.Read(ready[:]); err != nil {
		c.kill()
		return nil, fmt.Errorf("a child of its own ended before it could be tried on: %w", err)
	}
	return c, nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// kill makes sure that it is gone, whatever came of the proof.
func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	<-c.done
}

// beChild is the program as a child: it says that it is there, and waits for its end.
func beChild(kind string) {
	if kind == "deaf" {
		signal.Ignore(syscall.SIGTERM)
	}
	_, _ = os.Stdout.Write([]byte{'\n'})
	time.Sleep(time.Minute)
}

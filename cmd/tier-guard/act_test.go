package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func newActor() *actor { return &actor{reaper: newReaper()} }

func TestAskSignalsTheMainProcessAlone(t *testing.T) {
	root := t.TempDir()
	main, engine := start(t, "meek"), start(t, "meek")
	fakeUnit(t, root, coderGroup, main.pid(), engine.pid())
	if errno := newActor().ask(opened(t, root, coderGroup, main.pid())); errno != 0 {
		t.Fatal(errno)
	}
	if s := main.ended(t); s != syscall.SIGTERM {
		t.Errorf("main ended by %s", s)
	}
	if !engine.alive() {
		t.Error("the engine was signalled, too")
	}
}

func TestStopSignalsAllProcesses(t *testing.T) {
	root := t.TempDir()
	main, engine := start(t, "meek"), start(t, "meek")
	fakeUnit(t, root, coderGroup, main.pid(), engine.pid())
	if errno := newActor().stop(opened(t, root, coderGroup, main.pid())); errno != 0 {
		t.Fatal(errno)
	}
	if m, e := main.ended(t), engine.ended(t); m != syscall.SIGTERM || e != syscall.SIGTERM {
		t.Errorf("main ended by %s, the engine by %s", m, e)
	}
}

// TestKillLeavesTheMainProcessTimeToSaySo: systemd starts a unit anew whose main process was killed.
func TestKillLeavesTheMainProcessTimeToSaySo(t *testing.T) {
	root := t.TempDir()
	main, engine := start(t, "meek"), start(t, "deaf")
	fakeUnit(t, root, coderGroup, main.pid(), engine.pid())
	w, a := opened(t, root, coderGroup, main.pid()), newActor()
	if errno := a.kill(w, 0); errno != 0 {
		t.Fatal(errno)
	}
	if m, e := main.ended(t), engine.ended(t); m != syscall.SIGTERM || e != syscall.SIGKILL {
		t.Errorf("main ended by %s, the engine by %s", m, e)
	}
	if killed(t, root, coderGroup) || !w.killing {
		t.Error("the group was killed with main in it")
	}
}

func TestMainIsKilledWhenItsTimeIsOver(t *testing.T) {
	for _, test := range []struct {
		name   string
		shim   bool
		others bool // are still listed
		at     time.Duration
		want   bool
	}{
		{"a main process has 200 ms", false, true, mainAfter - 1, false},
		{"then it goes, whoever is left", false, true, mainAfter, true},
		{"a shim waits for its engine's end", true, true, mainAfter, false},
		{"but not for ever", true, true, mainLast, true},
		{"a shim has 200 ms from then on", true, false, mainAfter, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := t.TempDir()
			main, engine := start(t, "deaf"), start(t, "deaf")
			fakeUnit(t, root, coderGroup, main.pid(), engine.pid())
			w, a := opened(t, root, coderGroup, main.pid()), newActor()
			w.shim = test.shim
			a.kill(w, 0)
			engine.ended(t)
			if !test.others {
				fakeUnit(t, root, coderGroup, main.pid())
				w.close()
				again := opened(t, root, coderGroup, main.pid())
				w.events, w.procs, w.kill, w.stat, w.pidfd = again.events, again.procs, again.kill, again.stat, again.pidfd
			}
			if errno := a.finish(w, test.at); errno != 0 {
				t.Fatal(errno)
			}
			if got := killed(t, root, coderGroup); got != test.want || w.killing == test.want {
				t.Errorf("the group was killed: %v, and it goes on: %v", got, w.killing)
			}
		})
	}
}

func TestKillOfOneProcessTakesItsGroupAtOnce(t *testing.T) {
	root := t.TempDir()
	main := start(t, "deaf")
	fakeUnit(t, root, coderGroup, main.pid())
	w := opened(t, root, coderGroup, main.pid())
	if errno := newActor().kill(w, 0); errno != 0 || !killed(t, root, coderGroup) || w.killing {
		t.Errorf("%v, killed: %v, goes on: %v", errno, killed(t, root, coderGroup), w.killing)
	}
}

func TestAProcessThatComesMeanwhileIsKilled(t *testing.T) {
	root := t.TempDir()
	main, engine, late := start(t, "deaf"), start(t, "deaf"), start(t, "deaf")
	fakeUnit(t, root, coderGroup, main.pid(), engine.pid())
	w, a := opened(t, root, coderGroup, main.pid()), newActor()
	a.kill(w, 0)
	put(t, root, filepath.Join(cgroups, coderGroup, "cgroup.procs"), itoa(main.pid())+"\n"+itoa(late.pid())+"\n")
	a.finish(w, 10*time.Millisecond)
	if s := late.ended(t); s != syscall.SIGKILL {
		t.Errorf("it ended by %s", s)
	}
	if !main.alive() {
		t.Error("main is gone before its time")
	}
}

func TestWhatIsGoneWasReached(t *testing.T) {
	root := t.TempDir()
	main, engine := start(t, "meek"), start(t, "meek")
	fakeUnit(t, root, coderGroup, main.pid(), engine.pid())
	w, a := opened(t, root, coderGroup, main.pid()), newActor()
	a.stop(w)
	main.ended(t)
	engine.ended(t)
	for name, errno := range map[string]unix.Errno{"ask": a.ask(w), "stop": a.stop(w), "kill": a.kill(w, 0)} {
		if errno != 0 {
			t.Errorf("%s: %v", name, errno)
		}
	}
}

func TestWhatMayNotBeSignalledIsAnError(t *testing.T) {
	for errno, want := range map[unix.Errno]unix.Errno{0: 0, unix.ESRCH: 0, unix.ENODEV: 0, unix.EPERM: unix.EPERM, unix.EIO: unix.EIO} {
		if got := gone(errno); got != want {
			t.Errorf("%v is %v", errno, got)
		}
	}
}

// TestNoFileIsOpenedToAct: there may be no descriptor left in the system.
func TestNoFileIsOpenedToAct(t *testing.T) {
	root := t.TempDir()
	main, engine := start(t, "meek"), start(t, "deaf")
	fakeUnit(t, root, coderGroup, main.pid(), engine.pid())
	w, a := opened(t, root, coderGroup, main.pid()), newActor()
	go a.reaper.run()
	defer close(a.reaper.pids)
	noDescriptors(t)
	if errno := a.ask(w); errno != 0 {
		t.Errorf("ask: %v", errno)
	}
	if s := main.ended(t); s != syscall.SIGTERM {
		t.Errorf("main ended by %s", s)
	}
	if errno := a.kill(w, 0); errno != 0 {
		t.Errorf("kill: %v", errno)
	}
	if s := engine.ended(t); s != syscall.SIGKILL {
		t.Errorf("the engine ended by %s", s)
	}
}

// noDescriptors lets nobody in this process open anything until the test ends.
func noDescriptors(t *testing.T) {
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 0, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
			t.Error(err)
		}
	})
	if f, err := os.Open("/"); err == nil {
		f.Close()
		t.Fatal("a file can be opened all the same")
	}
}

// TestAMainProcessThatWasRecycledIsNotSignalled: what tierd knows may be a moment old, and the number another's by now.
func TestAMainProcessThatWasRecycledIsNotSignalled(t *testing.T) {
	root := t.TempDir()
	stranger, main, engine := start(t, "meek"), start(t, "meek"), start(t, "meek")
	fakeUnit(t, root, coderGroup, engine.pid(), main.pid())
	put(t, root, "proc/"+itoa(engine.pid())+"/stat", itoa(engine.pid())+" (a ) b) S "+itoa(main.pid())+" 1 1\n")
	put(t, root, "proc/"+itoa(main.pid())+"/stat", itoa(main.pid())+" (tier-shim) S 1 1 1\n")
	put(t, root, "proc/"+itoa(main.pid())+"/comm", "tier-shim\n")
	w := opened(t, root, coderGroup, stranger.pid())
	if w.main != main.pid() || !w.shim || w.pidfd < 0 {
		t.Fatalf("main is %d (shim %v, descriptor %d), and %d has started all others", w.main, w.shim, w.pidfd, main.pid())
	}
	if errno := newActor().ask(w); errno != 0 {
		t.Fatal(errno)
	}
	main.ended(t)
	if !stranger.alive() || !engine.alive() {
		t.Error("somebody else was signalled")
	}
}

// TestHalfANumberIsNoProcess: a list that is longer than the buffer is read in whole lines.
func TestHalfANumberIsNoProcess(t *testing.T) {
	root := t.TempDir()
	var want []int
	var text strings.Builder
	for pid := 1 << 20; pid < 1<<20+1000; pid++ {
		want = append(want, pid)
		text.WriteString(itoa(pid) + "\n")
	}
	put(t, root, "procs", text.String())
	fd, err := open(filepath.Join(root, "procs"), unix.O_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	var got []int
	buf := make([]byte, 100)
	for offset := 0; ; {
		rest, errno := pidsFrom(fd, buf, &offset)
		if errno != 0 || len(rest) == 0 {
			break
		}
		for {
			var pid int
			if pid, rest = nextPID(rest); pid == 0 {
				break
			}
			got = append(got, pid)
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d processes of %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("%d in place of %d", got[i], want[i])
		}
	}
}

func itoa(n int) string { return strconv.Itoa(n) }

package gateway

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/agent/api"
)

func testListeners(t *testing.T, m *fakeManager) *listeners {
	t.Helper()
	l := newListeners(slog.New(slog.NewTextHandler(t.Output(), nil)), fdStore{&m.Notifier}, 16, func(string) {}, func(limitedListener) {})
	t.Cleanup(l.close)
	return l
}

func TestListenersFollowTheTable(t *testing.T) {
	m := startManager(t)
	l := testListeners(t, m)
	a, b, c := freePort(t), freePort(t), freePort(t)
	if again := l.sync("127.0.0.1", map[int]string{a: "x", b: "y"}); again != 0 {
		t.Fatalf("to be tried again in %v: %+v", again, l.report())
	}
	kept := l.open[b]
	if again := l.sync("127.0.0.1", map[int]string{b: "y", c: ""}); again != 0 {
		t.Fatalf("to be tried again in %v: %+v", again, l.report())
	}
	if l.open[b] != kept {
		t.Error("a port that stayed was opened again")
	}
	if _, err := net.Dial("tcp", address(a)); err == nil {
		t.Error("a port that the table no longer names accepts")
	}
	m.Barrier(patience)
	want := []string{storeName(b), storeName(c)}
	slices.Sort(want)
	if got := m.names(); !slices.Equal(got, want) {
		t.Errorf("stored %v, want %v", got, want)
	}
	if got := l.report(); len(got) != 2 || !slices.Contains(got, api.Listener{Tier: "y", Port: b}) || !slices.Contains(got, api.Listener{Port: c}) {
		t.Errorf("reported %+v", got)
	}
}

func TestAnotherAddressOpensThePortsAnew(t *testing.T) {
	l := testListeners(t, startManager(t))
	port := freePort(t)
	l.sync("127.0.0.1", map[int]string{port: ""})
	l.sync("127.0.0.2", map[int]string{port: ""})
	if got := l.open[port].Addr().String(); !strings.HasPrefix(got, "127.0.0.2:") {
		t.Errorf("listens on %s", got)
	}
}

func TestAPortHeldByAStrangerIsReportedAndTriedLessAndLess(t *testing.T) {
	stranger, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := stranger.Addr().(*net.TCPAddr).Port
	l := testListeners(t, startManager(t))
	want := map[int]string{port: "coder"}
	var pauses []time.Duration
	for range 8 {
		pauses = append(pauses, l.sync("127.0.0.1", want))
	}
	if !slices.IsSorted(pauses) || pauses[0] != firstRetry || pauses[7] != lastRetry {
		t.Errorf("pauses %v", pauses)
	}
	if got := l.report(); len(got) != 1 || got[0].Tier != "coder" || !strings.Contains(got[0].Error, "address already in use") {
		t.Errorf("reported %+v", got)
	}
	stranger.Close()
	if again := l.sync("127.0.0.1", want); again != 0 || l.report()[0].Error != "" {
		t.Errorf("the port is free: %v, %+v", again, l.report())
	}
	if l.pause != 0 {
		t.Error("the next trouble would not begin with a short pause")
	}
}

func TestStoredListenersWaitForTheFirstTable(t *testing.T) {
	m := startManager(t)
	first := testListeners(t, m)
	stays, goes, moves := freePort(t), freePort(t), freePort(t)
	first.sync("127.0.0.1", map[int]string{stays: "a", goes: "b", moves: "c"})
	in := m.inherited(t)
	stray, err := newTableMemory()
	if err != nil {
		t.Fatal(err)
	}
	in.fds["tier-stray"] = []int{stray.fd}
	first.close()

	served := 0
	second := testListeners(t, m)
	second.serve = func(limitedListener) { served++ }
	second.adopt(in)
	for _, port := range []int{stays, goes, moves} {
		c, err := net.Dial("tcp", address(port)) // by the kernel's queue
		if err != nil {
			t.Fatalf("port %d refuses before the first table: %v", port, err)
		}
		c.Close()
	}
	if served != 0 {
		t.Errorf("%d listeners accept before the first table", served)
	}
	second.sync("127.0.0.1", map[int]string{stays: "a"})
	if served != 1 || second.open[stays] == nil {
		t.Errorf("%d listeners accept, open %v", served, second.open)
	}
	m.Barrier(patience) // until then the manager, too, holds the sockets open
	for _, port := range []int{goes, moves} {
		if c, err := net.Dial("tcp", address(port)); err == nil {
			c.Close()
			t.Errorf("port %d, which no table names, accepts", port)
		}
	}
	if got := m.names(); !slices.Equal(got, []string{storeName(stays)}) {
		t.Errorf("stored %v", got)
	}
}

func TestOnlyTCPListenersAreAdopted(t *testing.T) {
	memory := testMemory(t)
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[1])
	dup, _ := unix.FcntlInt(uintptr(memory.fd), unix.F_DUPFD_CLOEXEC, 0)
	for name, fd := range map[string]int{"tier-8001": pair[0], "other": dup} {
		if l, err := listenerFrom(fd, name); err == nil {
			t.Errorf("%s became a listener on %v", name, l.Addr())
		}
	}
}

func TestALentDescriptorKeepsTheListenerNonblocking(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tcp := l.(*net.TCPListener)
	err = withFD(tcp, func(fd int) error {
		dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return err
		}
		again, err := listenerFrom(dup, "tier-1")
		if err == nil {
			again.Close()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { _, err := tcp.Accept(); ended <- err }()
	tcp.Close()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("Accept does not hear of Close: the socket has become blocking")
	}
}

func TestEveryConnectionGivesItsSlotBackOnce(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	limited := limitedListener{l.(*net.TCPListener), newSlots(2), func(string) {}}
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	c, err := limited.Accept()
	if used, _ := limited.slots.count(); err != nil || used != 1 {
		t.Fatal(err, used)
	}
	c.Close()
	c.Close()
	if used, _ := limited.slots.count(); used != 0 {
		t.Errorf("%d slots are taken", used)
	}
	if res, err := http.ReadResponse(bufio.NewReader(strings.NewReader(string(fullAnswer))), nil); err != nil {
		t.Error(err)
	} else if body, err := io.ReadAll(res.Body); err != nil || errorMessage(t, string(body)) == "" {
		t.Errorf("the answer for the one too many: %q, %v", body, err)
	}
}

func TestNothingLeaksADescriptor(t *testing.T) {
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip("this system shows no descriptors: ", err)
		}
		return len(entries)
	}
	m := startManager(t)
	l := testListeners(t, m)
	port := freePort(t)
	l.sync("127.0.0.1", map[int]string{port: ""})
	l.sync("127.0.0.1", nil)
	m.Barrier(patience)
	before := count()
	for range 20 {
		l.sync("127.0.0.1", map[int]string{port: ""})
		l.sync("127.0.0.1", nil)
	}
	m.Barrier(patience)
	eventually(t, "what was opened has been closed", func() bool { return count() <= before })
}

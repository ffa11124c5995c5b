package gateway

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fakeManager is the service manager's end of $NOTIFY_SOCKET, with a fd store.
type fakeManager struct {
	Notifier
	mu       sync.Mutex
	messages []string
	store    map[string][]int
	deaf     bool // does not answer barriers
}

func startManager(t *testing.T) *fakeManager {
	t.Helper()
	dir, err := os.MkdirTemp("", "gw")
	if err != nil {
		t.Fatal(err)
	}
	m := &fakeManager{Notifier: Notifier{Address: filepath.Join(dir, "notify")}, store: map[string][]int{}}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrUnix{Name: m.Address})
	}
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { m.read(fd); close(done) }()
	t.Cleanup(func() {
		unix.Shutdown(fd, unix.SHUT_RDWR)
		<-done
		unix.Close(fd)
		os.RemoveAll(dir)
		for _, fds := range m.store {
			for _, fd := range fds {
				unix.Close(fd)
			}
		}
	})
	return m
}

func (m *fakeManager) read(fd int) {
	data, rights := make([]byte, 4096), make([]byte, 1024)
	for {
		n, oob, _, _, err := unix.Recvmsg(fd, data, rights, unix.MSG_CMSG_CLOEXEC)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			return
		}
		var fds []int
		if controls, err := unix.ParseSocketControlMessage(rights[:oob]); err == nil && len(controls) > 0 {
			fds, _ = unix.ParseUnixRights(&controls[0])
		}
		m.take(string(data[:n]), fds)
	}
}

func (m *fakeManager) take(message string, fds []int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if message == "BARRIER=1" {
		if m.deaf {
			m.store["barrier"] = append(m.store["barrier"], fds...)
			return
		}
		for _, fd := range fds {
			unix.Close(fd)
		}
		return
	}
	m.messages = append(m.messages, message)
	fields := map[string]string{}
	for line := range strings.SplitSeq(message, "\n") {
		key, value, _ := strings.Cut(line, "=")
		fields[key] = value
	}
	name := fields["FDNAME"]
	switch {
	case fields["FDSTORE"] != "":
		m.store[name] = append(m.store[name], fds...)
	case fields["FDSTOREREMOVE"] != "":
		for _, fd := range m.store[name] {
			unix.Close(fd)
		}
		delete(m.store, name)
	}
}

// names lists what is in the store.
func (m *fakeManager) names() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := []string{}
	for name := range m.store {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (m *fakeManager) heard(part string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.ContainsFunc(m.messages, func(s string) bool { return strings.Contains(s, part) })
}

// said is all that was sent so far; what is on its way may still be missing.
func (m *fakeManager) said() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.messages)
}

// inherited is what the next process would get: copies of what is in the store.
func (m *fakeManager) inherited(t *testing.T) *Inherited {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	in := &Inherited{fds: map[string][]int{}}
	for name, fds := range m.store {
		for _, fd := range fds {
			dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			in.fds[name] = append(in.fds[name], dup)
		}
	}
	return in
}

func TestTheFDStoreKeepsAndDrops(t *testing.T) {
	m := startManager(t)
	store := fdStore{&m.Notifier}
	memory, err := newTableMemory()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(memory.fd)
	if err := store.keep("tier-8001", memory.fd); err != nil {
		t.Fatal(err)
	}
	// keep waits for the manager, so that it is there at once.
	if got := m.names(); !slices.Equal(got, []string{"tier-8001"}) || !m.heard("FDSTORE=1\nFDNAME=tier-8001\nFDPOLL=0") {
		t.Errorf("stored %v after %q", got, m.said())
	}
	if err := store.drop("tier-8001"); err != nil {
		t.Fatal(err)
	}
	if err := m.Barrier(patience); err != nil || len(m.names()) != 0 {
		t.Errorf("stored %v, %v", m.names(), err)
	}
}

func TestABarrierHasALimit(t *testing.T) {
	m := startManager(t)
	m.mu.Lock()
	m.deaf = true
	m.mu.Unlock()
	if err := m.Barrier(20 * time.Millisecond); err == nil || !strings.Contains(err.Error(), "has not read") {
		t.Errorf("got %v", err)
	}
}

func TestWithoutAManagerNothingIsSent(t *testing.T) {
	none := &Notifier{}
	gone := &Notifier{Address: filepath.Join(t.TempDir(), "none")}
	if err := errors.Join(none.Send("READY=1"), none.Barrier(time.Second)); err != nil {
		t.Error(err)
	}
	if err := gone.Send("READY=1"); err == nil {
		t.Error("sent to a socket that is not there")
	}
	gone.mute(true)
	if err := errors.Join(gone.Send("READY=1"), gone.Barrier(time.Second)); err != nil {
		t.Errorf("muted: %v", err)
	}
}

func TestTheWatchdogIsFedTwiceAsOftenAsAsked(t *testing.T) {
	for _, c := range []struct {
		usec, pid string
		want      time.Duration
	}{
		{"60000000", "", 30 * time.Second}, {"60000000", "7", 30 * time.Second}, {"60000000", "8", 0}, {"", "", 0}, {"x", "7", 0}, {"-5", "7", 0},
	} {
		env := map[string]string{"WATCHDOG_USEC": c.usec, "WATCHDOG_PID": c.pid}
		if got := watchdogInterval(func(key string) string { return env[key] }, 7); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func TestInherit(t *testing.T) {
	for rule, c := range map[string]struct {
		env      map[string]string
		names    string
		handover bool
		fails    bool
	}{
		"nothing":                 {map[string]string{}, "", false, false},
		"for another process":     {map[string]string{"LISTEN_PID": "1", "LISTEN_FDS": "2"}, "", false, false},
		"a number that is none":   {map[string]string{"LISTEN_PID": "7", "LISTEN_FDS": "many"}, "", false, true},
		"descriptors not open":    {map[string]string{"LISTEN_PID": "7", "LISTEN_FDS": "9000"}, "", false, true},
		"a handover of nothing":   {map[string]string{handoverEnv: "x:" + strings.Repeat("y:", 9000)}, "", false, true},
		"no descriptors but told": {map[string]string{"LISTEN_PID": "7", "LISTEN_FDS": "0", "LISTEN_FDNAMES": ""}, "", false, false},
	} {
		in, err := Inherit(func(key string) string { return c.env[key] }, 7)
		if (err != nil) != c.fails {
			t.Errorf("%s: %v", rule, err)
			continue
		}
		if err == nil && (in.Handover != c.handover || fmt.Sprint(len(in.rest())) != strconv.Itoa(len(c.names))) {
			t.Errorf("%s: %+v", rule, in)
		}
	}
}

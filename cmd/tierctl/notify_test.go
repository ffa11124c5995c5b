package main

import (
	"bufio"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// sessionBus runs a bus of its own until the test ends, or end is called.
func sessionBus(t *testing.T) (address string, end func()) {
	t.Helper()
	cmd := exec.Command("dbus-daemon", "--session", "--nofork", "--print-address=1", "--address=unix:dir="+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatalf("cannot run a session bus (packaging/setup.sh installs dbus-daemon): %v", err)
	}
	end = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	t.Cleanup(end)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line), end
}

// shown is one call of Notify.
type shown struct {
	app           string
	replaces, id  uint32
	summary, body string
	urgency       byte
}

// notificationServer is what a desktop has.
type notificationServer struct {
	calls chan shown
	last  uint32
	can   []string
}

func (s *notificationServer) GetCapabilities() ([]string, *dbus.Error) { return s.can, nil }

func (s *notificationServer) Notify(app string, replaces uint32, icon, summary, body string, actions []string, hints map[string]dbus.Variant, expire int32) (uint32, *dbus.Error) {
	id := replaces
	if id == 0 {
		s.last++
		id = s.last
	}
	urgency, _ := hints["urgency"].Value().(byte)
	s.calls <- shown{app, replaces, id, summary, body, urgency}
	return id, nil
}

func serveNotifications(t *testing.T, address string, can ...string) <-chan shown {
	t.Helper()
	conn, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	s := &notificationServer{calls: make(chan shown, 10), can: can}
	if err := conn.Export(s, notifyPath, notifyName); err != nil {
		t.Fatal(err)
	}
	if reply, err := conn.RequestName(notifyName, dbus.NameFlagDoNotQueue); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		t.Fatal(reply, err)
	}
	return s.calls
}

// patience bounds waiting for something that is sure to come.
const patience = 30 * time.Second

func next(t *testing.T, calls <-chan shown) shown {
	t.Helper()
	select {
	case c := <-calls:
		return c
	case <-time.After(patience):
		t.Fatal("nothing is shown")
	}
	return shown{}
}

// TestNotify shows what a stream of events brings, on a real bus.
func TestNotify(t *testing.T) {
	address, endSession := sessionBus(t)
	calls := serveNotifications(t, address, "body", "body-markup")
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", address)
	socket := serveFake(t, map[string][]string{
		"GET /v1/events": {"200 stream=@fixtures/notify.jsonl"},
		"GET /v1/guard":  {"200 @fixtures/guard.json"},
	})
	ended := make(chan int, 1)
	go func() {
		_, _, status := tierctl("notify", "--socket", socket)
		ended <- status
	}()
	got := next(t, calls)
	if got.app != "tierd" || got.replaces != 0 || got.urgency != 1 || got.summary != "utility gave way: memory is short" ||
		!strings.HasPrefix(got.body, "utility gives way: 7.8GiB available, below the soft line of 8GiB\nIt comes back") || !strings.Contains(got.body, "tierctl start utility") {
		t.Errorf("a tier that gave way: %+v", got)
	}
	failed := next(t, calls)
	if failed.replaces != got.id || failed.summary != "The tier coder failed" || !strings.Contains(failed.body, "tierctl logs coder") {
		t.Errorf("the next takes the place of the one before: %+v", failed)
	}
	endSession()
	select {
	case status := <-ended:
		if status != exitDone {
			t.Errorf("at the end of the session: status %d", status)
		}
	case <-time.After(patience):
		t.Error("it goes on when the session has ended")
	}
	if len(calls) > 0 {
		t.Errorf("more is shown: %+v", <-calls)
	}
}

func TestNotifyTry(t *testing.T) {
	address, _ := sessionBus(t)
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", address)
	if _, errs, status := tierctl("notify", "--try"); status != exitFailed || !strings.Contains(errs, "nothing here shows notifications") {
		t.Errorf("without a server: status %d, %s", status, errs)
	}
	calls := serveNotifications(t, address)
	if _, errs, status := tierctl("notify", "--try"); status != exitDone || errs != "" {
		t.Errorf("status %d, %s", status, errs)
	}
	if got := next(t, calls); got.summary != "tierd can show notifications" {
		t.Errorf("%+v", got)
	}
}

// TestMarkup: a server that reads markup gets it escaped, one that does not gets the text as it is.
func TestMarkup(t *testing.T) {
	for can, want := range map[string]string{"body-markup": "a &lt;b&gt; &amp; c", "body": "a <b> & c"} {
		address, _ := sessionBus(t)
		calls := serveNotifications(t, address, can)
		t.Setenv("DBUS_SESSION_BUS_ADDRESS", address)
		d, err := openDesktop()
		if err != nil {
			t.Fatal(err)
		}
		if err := d.show(notice{summary: "s", body: "a <b> & c", urgent: true}); err != nil {
			t.Fatal(err)
		}
		d.close()
		if got := next(t, calls); got.body != want || got.urgency != 2 {
			t.Errorf("%s: %+v", can, got)
		}
	}
}

// TestNotifyWithoutASession: on a server without a desktop there is nothing to do, which is no failure.
func TestNotifyWithoutASession(t *testing.T) {
	for rule, env := range map[string][2]string{
		"no bus is named":           {"", ""},
		"its socket is not there":   {"", t.TempDir()},
		"nobody answers":            {"unix:path=" + filepath.Join(t.TempDir(), "bus"), ""},
		"the address cannot be one": {"nonsense", ""},
	} {
		t.Setenv("DBUS_SESSION_BUS_ADDRESS", env[0])
		t.Setenv("XDG_RUNTIME_DIR", env[1])
		if out, errs, status := tierctl("notify"); status != exitDone || out != "" || !strings.HasPrefix(errs, "There is no session bus") {
			t.Errorf("%s: status %d, %q", rule, status, errs)
		}
	}
}

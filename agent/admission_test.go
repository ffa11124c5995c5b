package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tierd/tierd/agent/api"
)

func netListener(f *os.File) (net.Listener, error) {
	defer f.Close()
	return net.FileListener(f)
}

func TestParseCgroup(t *testing.T) {
	tests := []struct {
		name, text, want string
	}{
		{"a tier's main process", "0::/tier.slice/tier-gpu.slice/tier-coder.service\n", "tier-coder.service"},
		{"a cgroup below the unit's", "0::/tier.slice/tier-cpu.slice/tier-orch-llama.service/engine\n", "tier-orch-llama.service"},
		{"directly in tier.slice", "0::/tier.slice/tier-a.service", "tier-a.service"},
		{"beside the old hierarchies", "4:memory:/x\n1:name=systemd:/tier.slice/tier-b.service\n0::/tier.slice/tier-a.service\n", "tier-a.service"},
		{"a user's unit of a tier's name is no tier", "0::/user.slice/user-1000.slice/user@1000.service/app.slice/tier-coder.service\n", ""},
		{"nor is one with our slice's name inside", "0::/user.slice/user@1000.service/tier.slice/tier-coder.service\n", ""},
		{"another service", "0::/system.slice/ssh.service\n", ""},
		{"the slice alone", "0::/tier.slice/tier-gpu.slice\n", ""},
		{"outside this namespace", "0::/../tier.slice/tier-coder.service\n", ""},
		{"nothing", "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, ok := parseCgroup(test.text)
			if got != test.want || ok != (test.want != "") {
				t.Errorf("got %q, %t; want %q", got, ok, test.want)
			}
		})
	}
}

func FuzzParseCgroup(f *testing.F) {
	f.Add("0::/tier.slice/tier-gpu.slice/tier-coder.service\n")
	f.Add("0::/tier.slice//tier-.service/x\n0::")
	f.Fuzz(func(t *testing.T, text string) {
		unit, ok := parseCgroup(text)
		if ok && (!strings.HasPrefix(unit, "tier-") || !strings.HasSuffix(unit, ".service") || strings.ContainsAny(unit, "/\n") || !strings.Contains(text, "0::"+tierSlice)) {
			t.Errorf("%q: %q", text, unit)
		}
	})
}

// serveShims serves shims; this process is the unit tier-coder.service.
func serveShims(t *testing.T, control Control, cgroup string) (path string, end func() error) {
	t.Helper()
	root := t.TempDir()
	dir := filepath.Join(root, "proc", fmt.Sprint(os.Getpid()))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "cgroup"), cgroup)
	return serve(t, NewAdmission(control, quiet(), root))
}

const coderCgroup = "0::/tier.slice/tier-gpu.slice/tier-coder.service\n"

// shim sends a line and returns the connection.
func shim(t *testing.T, path, line string) net.Conn {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(c, line); err != nil {
		t.Fatal(err)
	}
	return c
}

func admitAnswer(t *testing.T, c net.Conn) api.AdmitAnswer {
	t.Helper()
	line, err := bufio.NewReader(c).ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	var answer api.AdmitAnswer
	if err := json.Unmarshal(line, &answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestAdmissionAsksForTheUnitOfTheCaller(t *testing.T) {
	tests := []struct {
		name, cgroup, line string
		asked              string
		class, message     string
	}{
		{"a shim may ask to start", coderCgroup, `{"op":"start"}`, "admit tier-coder.service start", "", ""},
		{"a process outside is refused", "0::/user.slice/x\n", `{"op":"start"}`, "", api.ClassRefused, "only a tier's own unit may ask: process"},
		{"a line cannot name another unit", coderCgroup, `{"op":"start","unit":"tier-orch.service"}`, "", api.ClassConfiguration, `unknown field "unit"`},
		{"an unknown op", coderCgroup, `{"op":"pause"}`, "", api.ClassConfiguration, `unknown op "pause"`},
		{"not JSON", coderCgroup, `start`, "", api.ClassConfiguration, "the request is not JSON"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			control := newFakeControl()
			path, _ := serveShims(t, control, test.cgroup)
			answer := admitAnswer(t, shim(t, path, test.line+"\n"))
			if answer.OK != (test.class == "") || answer.Class != test.class || !strings.Contains(answer.Message, test.message) {
				t.Errorf("got %+v", answer)
			}
			if got := strings.Join(control.notes(), "; "); got != test.asked {
				t.Errorf("the agent was asked %q, want %q", got, test.asked)
			}
		})
	}
}

func TestAdmissionOfAnUnknownProcess(t *testing.T) {
	for _, p := range []peer{{}, {known: true, pid: 0}, {known: true, pid: 1 << 30}} {
		if unit, err := unitOf(t.TempDir(), p); err == nil {
			t.Errorf("%+v is taken for %s", p, unit)
		}
	}
}

func TestStopIsAnsweredOnceDrained(t *testing.T) {
	control := newFakeControl()
	path, _ := serveShims(t, control, coderCgroup)
	c := shim(t, path, `{"op":"stop"}`+"\n")
	eventually(t, "the agent is asked", func() bool { return len(control.notes()) == 1 })
	close(control.drained)
	if answer := admitAnswer(t, c); !answer.OK {
		t.Errorf("got %+v", answer)
	}
}

// contextControl tells when the context of an admission ends.
type contextControl struct {
	*fakeControl
	ended chan struct{}
}

func (c contextControl) Admit(ctx context.Context, unit, op string, waits func(string)) api.AdmitAnswer {
	answer := c.fakeControl.Admit(ctx, unit, op, waits)
	close(c.ended)
	return answer
}

func TestAShimThatGoesIsNotWaitedFor(t *testing.T) {
	control := contextControl{newFakeControl(), make(chan struct{})}
	path, _ := serveShims(t, control, coderCgroup)
	c := shim(t, path, `{"op":"stop"}`+"\n")
	eventually(t, "the agent is asked", func() bool { return len(control.notes()) == 1 })
	c.Close()
	<-control.ended
}

func TestAdmissionEndsWithoutAnswersItDoesNotHave(t *testing.T) {
	control := newFakeControl()
	path, end := serveShims(t, control, coderCgroup)
	waiting := shim(t, path, `{"op":"stop"}`+"\n")
	silent := shim(t, path, "")
	eventually(t, "the agent is asked", func() bool { return len(control.notes()) == 1 })
	if err := end(); err != nil {
		t.Error(err)
	}
	for _, c := range []net.Conn{waiting, silent} {
		if text, _ := io.ReadAll(c); len(text) > 0 {
			t.Errorf("answered %q", text)
		}
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the socket is systemd's and should stay: %v", err)
	}
}

func TestALineWithoutEndIsCut(t *testing.T) {
	path, _ := serveShims(t, newFakeControl(), coderCgroup)
	c := shim(t, path, strings.Repeat(" ", maxAdmitLine+1))
	if text, err := io.ReadAll(c); len(text) > 0 {
		t.Errorf("answered %q, %v", text, err)
	}
}

// accepts is a listener whose next results are handed to it.
type accepts struct {
	net.Listener
	next   chan error // nil: one end of a pipe, whose other end is nobody's
	closed chan struct{}
}

func (a *accepts) Accept() (net.Conn, error) {
	select {
	case err := <-a.next:
		if err != nil {
			return nil, err
		}
		near, far := net.Pipe()
		far.Close()
		return near, nil
	case <-a.closed:
		return nil, net.ErrClosed
	}
}

func (a *accepts) Close() error { close(a.closed); return nil }

func TestAcceptingShimsGoesOnAfterAFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &accepts{next: make(chan error), closed: make(chan struct{})}
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- NewAdmission(newFakeControl(), quiet(), t.TempDir()).Serve(ctx, l) }()
		begun := time.Now()
		for _, err := range []error{syscall.EMFILE, syscall.ENFILE, nil, syscall.ENOBUFS, nil} {
			l.next <- err
		}
		if took := time.Since(begun); took != 3*time.Second {
			t.Errorf("three faults took %s, want a second each", took)
		}
		l.next <- syscall.EMFILE
		cancel() // while it waits out a fault
		if err := <-served; err != nil {
			t.Errorf("its end: %v", err)
		}
	})
}

func TestASocketThatIsGoneEndsTheAdmission(t *testing.T) {
	l := listen(t)
	l.Close()
	if err := NewAdmission(newFakeControl(), quiet(), t.TempDir()).Serve(t.Context(), l); !errors.Is(err, net.ErrClosed) {
		t.Errorf("its end: %v", err)
	}
}

func TestNobodyIsLetInByAConnectionThatTellsNoPeer(t *testing.T) {
	near, far := net.Pipe()
	answered := make(chan struct{})
	go func() {
		NewAdmission(newFakeControl(), quiet(), t.TempDir()).answer(t.Context(), near)
		close(answered)
	}()
	if _, err := io.WriteString(far, `{"op":"start"}`+"\n"); err != nil {
		t.Fatal(err)
	}
	if a := admitAnswer(t, far); a.OK || a.Class != api.ClassRefused || !strings.Contains(a.Message, "the process is not known here") {
		t.Errorf("it was answered %+v", a)
	}
	<-answered
}

// patientControl has a start wait, with two reasons.
type patientControl struct{ *fakeControl }

func (c patientControl) Admit(_ context.Context, _, _ string, waits func(string)) api.AdmitAnswer {
	waits("waits for orch to load")
	waits("coder gives way")
	return api.AdmitAnswer{OK: true}
}

func TestAShimHearsWhyItWaitsBeforeItsAnswer(t *testing.T) {
	path, _ := serveShims(t, patientControl{newFakeControl()}, coderCgroup)
	lines := bufio.NewScanner(shim(t, path, `{"op":"start"}`+"\n"))
	var heard []api.AdmitAnswer
	for lines.Scan() {
		var a api.AdmitAnswer
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			t.Fatal(err)
		}
		heard = append(heard, a)
	}
	want := []api.AdmitAnswer{{Wait: "waits for orch to load"}, {Wait: "coder gives way"}, {OK: true}}
	if !slices.Equal(heard, want) {
		t.Errorf("heard %+v", heard)
	}
}

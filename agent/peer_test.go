package agent

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"time"
)

// dialling makes a test binary a client, for peers other than the test itself.
const dialling = "TIERD_TEST_DIAL"

// TestDialOnly is what such a binary runs; without the variable there is nothing to do.
func TestDialOnly(t *testing.T) {
	path := os.Getenv(dialling)
	if path == "" {
		return
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	c.Read(make([]byte, 1)) // until the test has looked
}

func TestPeerOfThisProcess(t *testing.T) {
	l := listen(t)
	client, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	c, err := newPeerListener(l, 1, quiet()).Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p := peerFrom(withPeer(context.Background(), c))
	if !p.known || int(p.uid) != os.Getuid() || int(p.gid) != os.Getgid() || int(p.pid) != os.Getpid() {
		t.Errorf("got %+v, want uid %d gid %d pid %d", p, os.Getuid(), os.Getgid(), os.Getpid())
	}
	groups, err := os.Getgroups()
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range groups {
		if !slices.Contains(p.groups, uint32(g)) {
			t.Errorf("group %d of this process is missing in %v", g, p.groups)
		}
	}
}

func TestPeerGroupsOfAnotherProcess(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can start a process with other groups")
	}
	l := listen(t)
	// The directory of a test is closed to other users.
	if err := os.Chmod(l.Addr().String(), 0o666); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(l.Addr().String()[:len(l.Addr().String())-2])
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	many := make([]uint32, 0, 100)
	for g := range 100 {
		many = append(many, 5000+uint32(g))
	}
	tests := []struct {
		name   string
		groups []uint32
	}{
		{"one group", []uint32{980}},
		{"more groups than the first guess holds", many},
		{"no group at all", nil},
	}
	peers := newPeerListener(l, 1, quiet())
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			self, err := os.Open("/proc/self/exe")
			if err != nil {
				t.Fatal(err)
			}
			defer self.Close()
			cmd := exec.Command("/proc/self/fd/3", "-test.run=^TestDialOnly$")
			cmd.ExtraFiles = []*os.File{self, file}
			cmd.Env = []string{dialling + "=/proc/self/fd/4/s"}
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1234, Gid: 1235, Groups: test.groups}}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			l.SetDeadline(time.Now().Add(time.Minute))
			c, err := peers.Accept()
			if err != nil {
				t.Fatal(err)
			}
			p := c.(*peerConn).peer
			c.Close()
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
			slices.Sort(p.groups)
			if !p.known || p.uid != 1234 || p.gid != 1235 || int(p.pid) != cmd.Process.Pid || !slices.Equal(p.groups, test.groups) {
				t.Errorf("got %+v, want groups %v", p, test.groups)
			}
		})
	}
}

func TestPeerLimits(t *testing.T) {
	alice, bob := peer{uid: 1000, known: true}, peer{uid: 1001, known: true}
	tests := []struct {
		name  string
		open  []peer
		next  peer
		taken bool
	}{
		{"a user may hold as many as the limit", []peer{alice}, alice, true},
		{"one more is refused", []peer{alice, alice}, alice, false},
		{"another user is not held up by it", []peer{alice, alice}, bob, true},
		{"root has no limit", []peer{{known: true}, {known: true}}, peer{known: true}, true},
		{"an unknown peer is not root", []peer{{}, {}}, peer{}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := newPeerListener(nil, 2, quiet())
			for _, p := range test.open {
				l.enter(p)
			}
			if got := l.enter(test.next); got != test.taken {
				t.Errorf("taken %t, want %t", got, test.taken)
			}
			for _, p := range test.open {
				l.leave(p)
			}
			if test.taken {
				l.leave(test.next)
			}
			if len(l.count) != 0 {
				t.Errorf("after all have left, %v is still counted", l.count)
			}
		})
	}
}

func TestAUserWhoFloodsIsToldOnce(t *testing.T) {
	l := newPeerListener(nil, 1, quiet())
	alice := peer{uid: 1000, known: true}
	for round := range 2 {
		l.enter(alice)
		if !l.firstExcess(alice) || l.firstExcess(alice) || l.firstExcess(alice) {
			t.Errorf("round %d: an excess should be told once", round)
		}
		l.leave(alice) // the last one: the next excess is news
	}
}

func TestAcceptServesTheNextOneAfterARefusal(t *testing.T) {
	l := listen(t)
	peers := newPeerListener(l, 0, quiet())
	dial := func() net.Conn {
		c, err := net.Dial("unix", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	c := dial()
	if os.Getuid() == 0 {
		got, err := peers.Accept()
		if err != nil {
			t.Fatal(err)
		}
		got.Close()
		got.Close() // http.Server closes twice; the place is given back once
		if len(peers.count) != 0 {
			t.Errorf("still counted: %v", peers.count)
		}
		return
	}
	go peers.Accept() // refuses c, and waits for the next one
	c.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a connection over the limit ended with %v, want it closed", err)
	}
	l.Close()
}

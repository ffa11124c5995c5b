package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestListenAt(t *testing.T) {
	tests := []struct {
		name string
		make func(t *testing.T, path string) // what is at the path
		want string                          // "" : listens
	}{
		{"nothing there", func(*testing.T, string) {}, ""},
		{"a socket that a dead process left", func(t *testing.T, path string) {
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
			if err != nil {
				t.Fatal(err)
			}
			l.SetUnlinkOnClose(false)
			l.Close()
		}, ""},
		{"a living process", func(t *testing.T, path string) {
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
		}, "another process does"},
		{"a file of somebody's", func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "there is a file that is no socket"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s")
			test.make(t, path)
			l, err := listenAt(path, 0o666)
			if test.want != "" {
				if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o666 {
				t.Errorf("%v, %v; want a socket for everybody", info, err)
			}
			l.Close()
			if _, err := os.Stat(path); !os.IsNotExist(err) {
				t.Errorf("a socket of our own is left behind: %v", err)
			}
		})
	}
}

func TestTheGuardsSocketIsRootsAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "guard")
	l, err := openGuard(settings{guard: path})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v; want a socket for nobody else", info, err)
	}
	if _, err := openGuard(settings{guard: path}); err == nil || !strings.Contains(err.Error(), "another process does") {
		t.Errorf("a second tierd: %v", err)
	}
	if l, err := openGuard(settings{control: "c", admit: "a"}); l != nil || err != nil {
		t.Errorf("by hand, told of none: %v, %v", l, err)
	}
}

// file is the listening socket of a unit: systemd keeps its own descriptor.
func file(t *testing.T, name string) *os.File {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "s"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	t.Cleanup(func() { l.Close() })
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return dup(t, f, name)
}

func TestSocketsFromSystemdAreTakenByName(t *testing.T) {
	admit, control := file(t, "admit"), file(t, "control")
	given, err := handedOver([]*os.File{admit, control})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"admit", "control"} {
		l, err := pick(name, "", given)
		if err != nil {
			t.Fatal(err)
		}
		path := l.Addr().String()
		l.Close()
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%s is systemd's and should stay: %v", name, err)
		}
	}
	if given["admit"].Addr().String() == given["control"].Addr().String() {
		t.Error("both names give one socket")
	}
	if _, err := pick("other", "", given); err == nil || !strings.Contains(err.Error(), `no socket named "other"`) {
		t.Errorf("a name that was not handed over: %v", err)
	}
}

func TestAFileThatIsNoSocketIsNamed(t *testing.T) {
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := handedOver([]*os.File{dup(t, f, "control")}); err == nil || !strings.Contains(err.Error(), `the socket "control"`) {
		t.Errorf("got %v", err)
	}
	f.Close()
}

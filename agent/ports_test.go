package agent

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tierd/tierd/agent/api"
)

const tcpTable = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F41 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 48211 1 0000000000000000 100 0 0 10 0
   1: 0100007F:1F41 0100007F:9C40 01 00000000:00000000 00:00000000 00000000  1000        0 48399 1 0000000000000000 20 4 30 10 -1
   2: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1201 1 0000000000000000 100 0 0 10 0
`

func TestParseListeners(t *testing.T) {
	got, err := parseListeners(strings.NewReader(tcpTable))
	if err != nil || !maps.Equal(got, map[uint64]int{48211: 8001, 1201: 22}) {
		t.Errorf("got %v, %v", got, err)
	}
	for rule, line := range map[string]string{
		"too few fields":     "0: 0100007F:1F41 00000000:0000 0A",
		"no state":           "0: 0100007F:1F41 00000000:0000 XY 0:0 0:0 0 0 0 48211",
		"no port":            "0: 0100007F 00000000:0000 0A 0:0 0:0 0 0 0 48211",
		"a port beyond all":  "0: 0100007F:1F41F 00000000:0000 0A 0:0 0:0 0 0 0 48211",
		"an inode of no use": "0: 0100007F:1F41 00000000:0000 0A 0:0 0:0 0 0 0 inode",
	} {
		if got, err := parseListeners(strings.NewReader("heading\n" + line + "\n")); err == nil {
			t.Errorf("%s: %v and no error", rule, got)
		}
	}
	if got, err := parseListeners(strings.NewReader("")); err != nil || len(got) > 0 {
		t.Errorf("an empty table: %v, %v", got, err)
	}
}

func FuzzParseListeners(f *testing.F) {
	f.Add(tcpTable)
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		got, _ := parseListeners(strings.NewReader(text))
		for _, port := range got {
			if port < 0 || port > 65535 {
				t.Errorf("port %d", port)
			}
		}
	})
}

func FuzzParseSocketLink(f *testing.F) {
	f.Add("socket:[12]")
	f.Add("socket:[")
	f.Add("/dev/null")
	f.Fuzz(func(t *testing.T, link string) {
		if _, ok := parseSocketLink(link); ok && !strings.HasPrefix(link, "socket:[") {
			t.Errorf("%q taken for a socket", link)
		}
	})
}

// tree makes a proc with these files; a name that ends in @ is a link.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, strings.TrimSuffix(name, "@"))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		err := error(nil)
		if strings.HasSuffix(name, "@") {
			err = os.Symlink(text, path)
		} else {
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestPortOwners(t *testing.T) {
	root := tree(t, map[string]string{
		"proc/1/net/tcp":    tcpTable,
		"proc/1/net/tcp6":   strings.Replace(tcpTable, "48211", "77", 1),
		"proc/812/comm":     "nginx\n",
		"proc/812/fd/0@":    "/dev/null",
		"proc/812/fd/6@":    "socket:[48211]",
		"proc/900/fd/3@":    "socket:[48399]", // a connection to that port, not its owner
		"proc/meminfo":      "MemTotal: 1 kB\n",
		"proc/1000/comm":    "sleep\n",
		"proc/1000/status":  "",
		"proc/sys/fd/5@":    "socket:[48211]",
		"proc/1001/fd/gone": "",
	})
	got := portOwners(root, []int{8001, 22, 9})
	if want := map[int]string{8001: "nginx (pid 812)", 22: ""}; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := portOwners(t.TempDir(), []int{8001}); len(got) > 0 {
		t.Errorf("without a proc: %v", got)
	}
}

func TestPortErrorNamesTheOwnerOnceItIsKnown(t *testing.T) {
	a := New(Options{Log: quiet()})
	a.gateway.report.Listeners = []api.Listener{{Tier: "coder", Port: 8001, Error: "address already in use"}, {Tier: "util", Port: 8012}}
	for _, c := range []struct{ owner, want string }{
		{"", "port 8001 cannot be opened: address already in use"},
		{"nginx (pid 812)", "port 8001 is held by nginx (pid 812)"},
	} {
		a.notePorts(map[int]string{8001: c.owner})
		if got := a.portError(8001); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	if got := a.portError(8012); got != "" {
		t.Errorf("an open port: %q", got)
	}
	if n := len(a.Events(0)); n != 2 {
		t.Errorf("%d events, want one for each thing learnt", n)
	}
	a.notePorts(map[int]string{8001: "nginx (pid 812)"})
	if n := len(a.Events(0)); n != 2 {
		t.Error("the same is told twice")
	}
}

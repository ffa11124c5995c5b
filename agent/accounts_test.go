package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	testGroups = "root:x:0:\nsudo:x:27:me\ntierd:x:980:\nusers:x:100:\n"
	testUsers  = "root:x:0:0::/root:/bin/sh\ntier-gateway:x:975:975::/:/usr/sbin/nologin\nme:x:1000:1000::/home/me:/bin/sh\n"
)

// testRoot is a tree with the accounts that rights hang on.
func testRoot(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(root, "etc/group"), testGroups)
	writeFile(t, filepath.Join(root, "etc/passwd"), testUsers)
	return root
}

func writeFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// callers are the classes of callers, with what each may do.
var callers = []struct {
	name    string
	peer    peer
	changes bool
	gateway bool
}{
	{"root may do everything", peer{uid: 0, gid: 0, known: true}, true, true},
	{"a member of tierd may change tiers", peer{uid: 1000, gid: 1000, groups: []uint32{980}, known: true}, true, false},
	{"a member of sudo may change tiers", peer{uid: 1001, gid: 1001, groups: []uint32{4, 27}, known: true}, true, false},
	{"tierd as the primary group counts", peer{uid: 1002, gid: 980, known: true}, true, false},
	{"a user without these groups may only read", peer{uid: 1003, gid: 100, groups: []uint32{100}, known: true}, false, false},
	{"a group that does not exist here gives nothing", peer{uid: 1004, gid: 10, groups: []uint32{10}, known: true}, false, false},
	{"the gateway's user gets the table and changes nothing", peer{uid: 975, gid: 975, known: true}, false, true},
	{"the gateway's number as a group gives nothing", peer{uid: 1005, gid: 975, groups: []uint32{975}, known: true}, false, false},
	{"nobody knows who asks: least rights, though its uid reads 0", peer{}, false, false},
}

func TestRightsOfEachClassOfCaller(t *testing.T) {
	a := newAccounts(testRoot(t), quiet())
	for _, c := range callers {
		t.Run(c.name, func(t *testing.T) {
			for need, want := range map[access]bool{anyLocal: true, operator: c.changes, gateway: c.gateway, access(0): false} {
				if got := a.allows(c.peer, need); got != want {
					t.Errorf("access %d: allowed %t, want %t", need, got, want)
				}
			}
		})
	}
}

func TestGroupsThatArriveLaterCount(t *testing.T) {
	root := testRoot(t)
	a := newAccounts(root, quiet())
	p := peer{uid: 1000, gid: 10, known: true}
	if a.allows(p, operator) {
		t.Fatal("a member of a group that does not exist may change tiers")
	}
	// As account tools do: a new file, renamed over the old one.
	path := filepath.Join(root, "etc/group")
	writeFile(t, path+"-", testGroups+"wheel:x:10:\n")
	if err := os.Rename(path+"-", path); err != nil {
		t.Fatal(err)
	}
	if !a.allows(p, operator) {
		t.Error("wheel was added, and its member may still not change tiers")
	}
	// Written in place, with the same size.
	writeFile(t, path, testGroups+"wheel:x:11:\n")
	if err := os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if a.allows(p, operator) {
		t.Error("wheel has another number now, and the old one still counts")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if a.allows(peer{uid: 1000, gid: 980, known: true}, operator) {
		t.Error("the groups cannot be read, and one of them still counts")
	}
}

func TestParseIDs(t *testing.T) {
	tests := []struct {
		name, text string
		want       map[string]uint32
	}{
		{"name and number are the first and the third field", "a:x:12:m,n\n", map[string]uint32{"a": 12}},
		{"the last line may lack its end", "a:x:1:\nb:x:2:", map[string]uint32{"a": 1, "b": 2}},
		{"the first of two counts", "a:x:1:\na:x:2:\n", map[string]uint32{"a": 1}},
		{"what is no number is passed over", "a:x:-1:\nb:x::\nc:x:99999999999:\nd:x:3:\n", map[string]uint32{"d": 3}},
		{"NIS lines and comments are passed over", "+::::\n+\n# a\n\nd:x:3:\n", map[string]uint32{"d": 3}},
		{"a very long line is one line", "big:x:5:" + strings.Repeat("member,", 100000) + "\nd:x:3:\n", map[string]uint32{"big": 5, "d": 3}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := parseIDs(strings.NewReader(test.text))
			if len(got) != len(test.want) {
				t.Fatalf("got %v, want %v", got, test.want)
			}
			for name, id := range test.want {
				if got[name] != id {
					t.Errorf("%s is %d, want %d", name, got[name], id)
				}
			}
		})
	}
}

func FuzzParseIDs(f *testing.F) {
	f.Add(testGroups)
	f.Add(testUsers)
	f.Add("a:::\n:x:0:\n")
	f.Fuzz(func(t *testing.T, text string) {
		for name := range parseIDs(strings.NewReader(text)) {
			if name == "" || strings.ContainsAny(name, ":\n") || !strings.Contains(text, name+":") {
				t.Errorf("%q is not a name of %q", name, text)
			}
		}
	})
}

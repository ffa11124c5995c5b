package opencode

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// sampleRecord is one as after a forced apply.
func sampleRecord() Record {
	return Record{
		Path: "/home/ann/.config/opencode/opencode.json", Kind: KindConfig, Scope: ScopeUser,
		Kept:  []Snapshot{{}, snapshotOf([]byte("{}"), 0o600)},
		Wrote: []Snapshot{snapshotOf([]byte("{}\n"), 0o644)},
		Made:  []string{"/home/ann/.config", "/home/ann/.config/opencode"},
	}
}

func TestWhatIsNoRecord(t *testing.T) {
	for rule, f := range map[string]func(*Record){
		"its path is absolute":                     func(r *Record) { r.Path = "opencode.json" },
		"its path is clean":                        func(r *Record) { r.Path = "/home/ann/../bob/opencode.json" },
		"it has what was there before":             func(r *Record) { r.Kept = nil },
		"it has what was written":                  func(r *Record) { r.Wrote = nil },
		"bytes belong to their hash":               func(r *Record) { r.Kept[1].Data = []byte("[]") },
		"a file that was not there has no bytes":   func(r *Record) { r.Kept[0].Data = []byte("[]") },
		"a mode has permission bits alone":         func(r *Record) { r.Kept[1].Mode = 0o4755 | 1<<23 },
		"directories to remove are above the file": func(r *Record) { r.Made = []string{"/home/bob"} },
		"the file is no directory of its own":      func(r *Record) { r.Made = []string{"/home/ann/.config/opencode/opencode.json"} },
		"directories are absolute":                 func(r *Record) { r.Made = []string{".config"} },
	} {
		r := sampleRecord()
		f(&r)
		src, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseRecord(src); err == nil {
			t.Errorf("%s: %s was taken for a record", rule, src)
		}
	}
	for _, text := range []string{"", "{}", "null", "[]", `{"path": "/x"}`, "{} {}"} {
		if _, err := parseRecord([]byte(text)); err == nil {
			t.Errorf("%q was taken for a record", text)
		}
	}
}

// TestARecordOfAnotherPath is not used: somebody has copied it.
func TestARecordOfAnotherPath(t *testing.T) {
	dir := t.TempDir()
	src, err := json.Marshal(sampleRecord())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, recordName("/x")), src, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readRecord(dir, "/x"); err == nil || !strings.Contains(err.Error(), "it is about /home/ann") {
		t.Errorf("got %v", err)
	}
}

// FuzzParseRecord: what is accepted is whole, is written as it was read, and leads undo nowhere but above its path.
func FuzzParseRecord(f *testing.F) {
	src, err := json.Marshal(sampleRecord())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(src)
	f.Add([]byte(`{"path":"/a/b","kept":[{"exists":false}],"wrote":[{"exists":true,"mode":420,"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}],"made":["/a"]}`))
	f.Add([]byte(`{"path":"/a/b","kept":[{"exists":true}],"wrote":[]}`))
	f.Add([]byte("null"))
	f.Fuzz(func(t *testing.T, src []byte) {
		r, err := parseRecord(src)
		if err != nil {
			return
		}
		for _, dir := range r.Made {
			if !strings.HasPrefix(r.Path, strings.TrimSuffix(dir, "/")+"/") {
				t.Errorf("%q is not above %q", dir, r.Path)
			}
		}
		again, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		same, err := parseRecord(again)
		if err != nil {
			t.Fatalf("%s: %v", again, err)
		}
		third, err := json.Marshal(same)
		if err != nil || !reflect.DeepEqual(third, again) {
			t.Errorf("%s came back as %s", again, third)
		}
	})
}

// FuzzParseMade: the directories that go with the last record are on the way to the state directory, and the root is not among them.
func FuzzParseMade(f *testing.F) {
	const state = "/home/ann/.local/state/tierd/opencode"
	f.Add([]byte(`["/home/ann/.local/state/tierd", "/home/ann/.local/state/tierd/opencode"]`))
	f.Add([]byte(`["/", "/home"]`))
	f.Add([]byte(`[]`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, src []byte) {
		made, err := parseMade(state, src)
		if err != nil {
			return
		}
		for _, dir := range made {
			if dir == "/" || !strings.HasPrefix(state+"/", dir+"/") {
				t.Errorf("%q", dir)
			}
		}
	})
}

// FuzzInForce reads a configuration that somebody has edited: a fault, or something to show.
func FuzzInForce(f *testing.F) {
	for _, file := range planOf(0, false).Files {
		f.Add(file.Data)
	}
	f.Add([]byte(`{"agent": {"x": {"permission": "deny",},}, /* c */ "provider": {"p": {"models": {"m": null}}}}`))
	f.Add([]byte("{\n  \"a\": 1\n  \"b\": 2\n}"))
	f.Add([]byte("[]"))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, src []byte) {
		kept := string(src)
		var shown InForce
		err := shown.read(src)
		if string(src) != kept {
			t.Error("it has changed what it read")
		}
		if at, fault := faultIn(src); fault != nil && (err == nil || !strings.Contains(err.Error(), at)) {
			t.Errorf("fault at %q, %v", at, err)
		}
		for _, a := range shown.Agents {
			shown.ModelOf(a)
		}
	})
}

// TestARecordThatIsDamaged: nothing is taken back by guessing, and the way out is said.
func TestARecordThatIsDamaged(t *testing.T) {
	env := laid(t, "omo")
	run(t, env, applying(0, true, true))
	before := file(t, env, ours)
	name := filepath.Join(env.stateDir(), recordName(filepath.Join(env.Home, ours)))
	if err := os.WriteFile(name, []byte(`{"path": "/etc/passwd"`), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, s := range map[string]step{"apply": applying(1, true, true), "undo": undoing(true)} {
		err := s(realDisk{}, env)
		var no *Refused
		if !errors.As(err, &no) || !strings.Contains(no.Text, name) || !strings.Contains(no.Hint, "remove "+name) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if file(t, env, ours) != before {
		t.Error("and the file has changed")
	}
}

// TestTheStateIsPrivate: what is kept may hold keys.
func TestTheStateIsPrivate(t *testing.T) {
	env := laid(t, "omo")
	run(t, env, applying(0, true, true))
	for path, text := range listing(t, env.Home) {
		if strings.HasPrefix(path, ".local") && !strings.HasPrefix(text, "drwx------") && !strings.HasPrefix(text, "-rw-------") {
			t.Errorf("%s is %.11s", path, text)
		}
	}
}

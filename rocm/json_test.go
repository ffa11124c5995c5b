package rocm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/rocm/rocmtest"
)

func TestASnapshotAsJSONIsTheSameAgain(t *testing.T) {
	for _, tree := range rocmtest.Trees {
		s := Open(rocmtest.Unpack(t, tree)).Snapshot(context.Background())
		s.Problems = []Problem{{File: "/proc/x", Err: unix.EACCES}, {File: "/sys/y", Err: hungError("since noon")}}
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var again Snapshot
		if err := json.Unmarshal(text, &again); err != nil {
			t.Fatal(err)
		}
		second, err := json.Marshal(again)
		if err != nil || !bytes.Equal(text, second) {
			t.Errorf("%s: %v\n%s\n%s", tree, err, text, second)
		}
		if again.Problems[0].Err.Error() != "permission denied" || errors.Is(again.Problems[0], ErrHung) || !errors.Is(again.Problems[1], ErrHung) {
			t.Errorf("%s: problems %v", tree, again.Problems)
		}
		if g, _ := again.TierGPU(""); g != nil {
			before, _ := s.TierGPU("")
			if g.PCI != before.PCI || !reflect.DeepEqual(g.PoolSize, before.PoolSize) || g.Gfx() != before.Gfx() {
				t.Errorf("%s: %+v", tree, g)
			}
		}
	}
}

func TestListsWithoutEntriesAreLists(t *testing.T) {
	text, err := json.Marshal(Snapshot{Kernel: Kernel{Parameters: map[string]string{}}})
	for _, key := range []string{"swaps", "gpus", "clients", "problems"} {
		if err != nil || !strings.Contains(string(text), `"`+key+`":[]`) {
			t.Errorf("%s is not an empty list: %v, %s", key, err, text)
		}
	}
	if strings.Contains(string(text), "null") {
		t.Errorf("what is not known should not be there: %s", text)
	}
}

// TestEveryFieldHasANameInJSON goes through the types: snake_case, and an amount says of what.
func TestEveryFieldHasANameInJSON(t *testing.T) {
	snake := regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
	seen := map[reflect.Type]bool{}
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice || typ.Kind() == reflect.Map {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || typ.PkgPath() != reflect.TypeFor[Snapshot]().PkgPath() || seen[typ] || typ == reflect.TypeFor[Problem]() {
			return
		}
		seen[typ] = true
		for i := range typ.NumField() {
			f := typ.Field(i)
			if f.IsExported() && !f.Anonymous {
				name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
				if !snake.MatchString(name) {
					t.Errorf("%s.%s is %q", typ.Name(), f.Name, name)
				}
				amount := f.Type == reflect.TypeFor[*uint64]() || f.Type == reflect.TypeFor[uint64]()
				if amount && !regexp.MustCompile(`_(bytes|mhz|hz|microwatts|milliwatts|mb_per_s)$`).MatchString(name) {
					t.Errorf("%s.%s is %q, without a unit", typ.Name(), f.Name, name)
				}
			}
			walk(f.Type)
		}
	}
	walk(reflect.TypeFor[Snapshot]())
	if len(seen) < 12 {
		t.Errorf("only %d types were looked at", len(seen))
	}
}

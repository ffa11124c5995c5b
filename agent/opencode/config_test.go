package opencode

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Also keys that no plan of the other tests happens to have.
func TestEveryKeyIsAmongTheClientsTypes(t *testing.T) {
	for kind, v := range map[string]any{
		"config": config{}, "provider": provider{}, "options": connection{}, "model": member{}, "limit": limit{}, "agent": agent{},
		"permission": permission{}, "omo": omoConfig{}, "experimental": experimental{}, "policy": policy{},
	} {
		for f := range reflect.TypeOf(v).Fields() {
			key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if !slices.Contains(strings.Fields(sdk[kind]), key) {
				t.Errorf("%q of %s is no key of a %s", key, f.Name, kind)
			}
		}
	}
	for f := range reflect.TypeFor[managed]().Fields() {
		if same, ok := reflect.TypeFor[config]().FieldByName(f.Name); !ok || same.Tag != f.Tag {
			t.Errorf("%s of the managed file is not as in the other", f.Name)
		}
	}
}

// Of two rules that fit a tool the later one holds, so a rule for all of them has to come first.
func TestARuleForAllToolsComesFirst(t *testing.T) {
	for _, r := range roles {
		if r.permission == nil {
			continue
		}
		data, err := json.Marshal(r.permission)
		if err != nil {
			t.Fatal(err)
		}
		if r.permission.All != "" && !strings.HasPrefix(string(data), `{"*":`) {
			t.Errorf("%s has %s", r.name, data)
		}
		if rules := r.permission.Read; len(rules) > 0 && rules[0].name != "*" {
			t.Errorf("%s reads by %v", r.name, rules)
		}
	}
}

func TestMembersKeepTheirOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfDistinct(rapid.String(), rapid.ID).Draw(t, "names")
		var m members[int]
		for i, name := range names {
			m.add(name, i)
		}
		data, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		d := json.NewDecoder(strings.NewReader(string(data)))
		for i := -1; i < len(names); i++ {
			token, err := d.Token()
			if err != nil {
				t.Fatal(err)
			}
			if i < 0 {
				continue // the brace
			}
			if token != names[i] {
				t.Fatalf("%q stands where %q belongs", token, names[i])
			}
			var value int
			if err := d.Decode(&value); err != nil || value != i {
				t.Fatalf("%q is %d: %v", names[i], value, err)
			}
		}
	})
}

// What a person may have made of a file: of two of one name the later one holds, and what is no object is an error that says so.
func TestMembersAsTheyAreRead(t *testing.T) {
	for _, row := range []struct{ rule, text, want string }{
		{"in their order", `{"b": 1, "a": 2}`, `{"b":1,"a":2}`},
		{"of two the later one", `{"b": 1, "a": 2, "b": 3}`, `{"a":2,"b":3}`},
		{"none", `{}`, `{}`},
		{"nothing", `null`, `{}`},
		{"a list", `["a"]`, "json: cannot unmarshal array into Go value of type map[string]int"},
		{"a number", `3`, "json: cannot unmarshal number into Go value of type map[string]int"},
		{"a member of another kind", `{"a": "x"}`, "json: cannot unmarshal string into Go value of type int"},
	} {
		var m members[int]
		err := json.Unmarshal([]byte(row.text), &m)
		got := ""
		if err != nil {
			got = err.Error()
		} else if data, err := json.Marshal(m); err == nil {
			got = string(data)
		}
		if got != row.want {
			t.Errorf("%s: %s, want %s", row.rule, got, row.want)
		}
	}
}

func TestTheOrderOfTiersIsThatOfTheFile(t *testing.T) {
	tiers := four()
	slices.Reverse(tiers)
	f, _ := MakePlan(tiers, here()).File(KindConfig)
	last := -1
	for _, name := range []string{`"local_utility": {`, `"local_reviewer": {`, `"local_coder": {`, `"local_orch": {`} {
		at := strings.Index(string(f.Data), "\n    "+name)
		if at <= last {
			t.Errorf("%s stands at %d, after %d", name, at, last)
		}
		last = at
	}
}

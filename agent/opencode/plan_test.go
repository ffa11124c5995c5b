package opencode

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tailscale/hujson"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// four are the tiers of the verified configuration.
func four() []Tier {
	tier := func(name, role string, port, context int, parallel int) Tier {
		return Tier{
			Name: name, Role: role, Port: port, Start: "boot", Engine: "llama", Model: role + ".gguf", Variant: "llama", Context: context,
			Wish: context, Parallel: parallel, Tools: true, Load: 20 * time.Minute, Hold: 4 * time.Minute, Silence: 5 * time.Minute,
		}
	}
	return []Tier{
		tier("orch", "orchestrator", 8001, 64<<10, 2), tier("coder", "coder", 8002, 48<<10, 2),
		tier("reviewer", "reviewer", 8011, 32<<10, 1), tier("utility", "utility", 8012, 16<<10, 1),
	}
}

func here() Options { return Options{Address: "127.0.0.1", Port: 8000, Major: 1} }

// change is four with one tier changed.
func change(name string, f func(*Tier)) []Tier {
	tiers := four()
	i := slices.IndexFunc(tiers, func(t Tier) bool { return t.Name == name })
	f(&tiers[i])
	return tiers
}

// tree decodes a file of a plan as OpenCode reads it.
func tree(t testing.TB, p Plan, k Kind) map[string]any {
	t.Helper()
	f, ok := p.File(k)
	if !ok {
		t.Fatalf("there is no file %q", k)
	}
	return parse(t, f.Data)
}

func parse(t testing.TB, data []byte) map[string]any {
	t.Helper()
	return parseIn(t, data)
}

func parseIn(t rapid.TB, data []byte) map[string]any {
	t.Helper()
	plain, err := hujson.Standardize(bytes.Clone(data))
	if err != nil {
		t.Fatalf("%v in\n%s", err, data)
	}
	var v map[string]any
	if err := json.Unmarshal(plain, &v); err != nil {
		t.Fatalf("%v in\n%s", err, data)
	}
	return v
}

// at steps into a tree: nil when there is nothing.
func at(v any, path ...string) any {
	for _, key := range path {
		m, _ := v.(map[string]any)
		v = m[key]
	}
	return v
}

// leaves are all values of a tree with the path to each.
func leaves(v any, path string, found map[string]any) map[string]any {
	m, ok := v.(map[string]any)
	if !ok {
		found[path] = v
		return found
	}
	for key, value := range m {
		leaves(value, path+"/"+key, found)
	}
	return found
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; after a look at the difference, go test -update writes it anew. Now it is\n%s", name, got)
	}
}

func TestThePlanIsTheVerifiedConfigurationAndWhatIsAdded(t *testing.T) {
	verified, err := os.ReadFile("testdata/verified-opencode.jsonc")
	if err != nil {
		t.Fatal(err)
	}
	p := MakePlan(four(), here())
	want, got := leaves(parse(t, verified), "", map[string]any{}), leaves(tree(t, p, KindConfig), "", map[string]any{})
	ours := map[string]string{
		"headerTimeout": "worked out from each tier", "chunkTimeout": "worked out from each tier",
		"description": "words", "read": "with OpenCode's own care for .env files",
	}
	for path, value := range want {
		last := path[strings.LastIndex(path, "/")+1:]
		if _, other := ours[last]; !other && !reflect.DeepEqual(got[path], value) {
			t.Errorf("%s is %v, and %v was verified", path, got[path], value)
		}
	}
	added := []string{
		"/experimental/policies",
		"/permission/webfetch", "/permission/websearch", "/agent/coder/temperature", "/agent/reviewer/temperature", "/agent/utility/temperature",
		"/agent/coder/permission/", "/agent/reviewer/permission/", "/agent/utility/permission/read/",
	}
	for path := range got {
		if _, ok := want[path]; !ok && !slices.ContainsFunc(added, func(a string) bool { return strings.HasPrefix(path, a) }) {
			t.Errorf("%s was not verified, and nobody says why it is there", path)
		}
	}
	if len(p.Findings) > 0 {
		t.Errorf("findings about the verified tiers: %v", p.Findings)
	}
}

func TestFilesAreAsTheGoldenOnes(t *testing.T) {
	p := MakePlan(four(), here())
	for kind, name := range map[Kind]string{KindConfig: "opencode.golden", KindManaged: "managed.golden"} {
		f, _ := p.File(kind)
		golden(t, name, f.Data)
	}
	o := here()
	o.OMO = true
	p = MakePlan(four(), o)
	f, _ := p.File(KindOMO)
	golden(t, "omo.golden", f.Data)
	f, _ = p.File(KindConfig)
	golden(t, "opencode-with-omo.golden", f.Data)
}

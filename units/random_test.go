package units

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"pgregory.net/rapid"
)

// randomFile writes a valid tiers.toml.
func randomFile(t *rapid.T) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[host]\nreserve = \"%dGiB\"\n[gateway]\nport = 8000\ndrain = \"%ds\"\n", rapid.IntRange(0, 30).Draw(t, "reserve"), rapid.IntRange(0, 300).Draw(t, "drain"))
	b.WriteString("[engine.vllm]\ncommand = [\"/opt/vllm/bin/vllm\", \"serve\"]\n[engine.llama]\ncommand = [\"/usr/bin/llama-server\"]\n" +
		"[engine.radv]\nkind = \"llama\"\ngpu = true\ncommand = [\"/opt/l/llama-server\"]\n")
	tiers := rapid.SliceOfNDistinct(rapid.StringMatching(`t[a-z0-9]{0,20}`), 1, 8, rapid.ID).Draw(t, "tiers")
	for i, name := range tiers {
		fmt.Fprintf(&b, "[tier.%s]\nport = %d\npriority = %d\nstart = %q\n", name, 8001+i, rapid.IntRange(0, 100).Draw(t, "priority"),
			rapid.SampledFrom(starts).Draw(t, "start"))
		for _, v := range rapid.SliceOfNDistinct(rapid.StringMatching(`v[a-z0-9]{0,8}`), 1, 4, rapid.ID).Draw(t, "variants") {
			fmt.Fprintf(&b, "[tier.%s.variant.%s]\n", name, v)
			randomVariant(t, &b)
		}
	}
	fmt.Fprintf(&b, "[mode.all]\ntiers = [%s]\n", strings.Join(each(tiers, func(s string) string { return fmt.Sprintf("%q", s) }), ", "))
	return b.String()
}

func randomVariant(t *rapid.T, b *strings.Builder) {
	if rapid.Bool().Draw(t, "remote") {
		b.WriteString("engine = \"remote\"\nurl = \"https://example.com/v1\"\nmodel = \"m\"\nkey = \"k\"\n")
		return
	}
	engine := rapid.SampledFrom([]string{"vllm", "llama", "radv"}).Draw(t, "engine")
	model := rapid.StringMatching(`[a-z]{1,8}/[A-Za-z0-9.]{1,12}`).Draw(t, "model")
	if engine != "vllm" {
		model += ".gguf"
	} else {
		model += "-x"
	}
	fmt.Fprintf(b, "engine = %q\nmodel = %q\ncontext = \"%dK\"\nmemory = \"%dMiB\"\nparallel = %d\n", engine, model,
		rapid.IntRange(1, 256).Draw(t, "context"), rapid.IntRange(1, 200_000).Draw(t, "memory"), rapid.IntRange(1, 8).Draw(t, "parallel"))
	if rapid.Bool().Draw(t, "extra") {
		fmt.Fprintf(b, "extra_args = [%q]\nenv = { A = %q }\n", "--seed="+rapid.StringMatching(`[0-9]{1,4}`).Draw(t, "seed"),
			rapid.StringMatching(`[ -!#-\[\]-~]{0,6}`).Draw(t, "value"))
	}
}

// checkPlan holds for every plan that a valid file makes.
func checkPlan(t *rapid.T, text string, h Host) *Plan {
	c, faults := ParseConfig("tiers.toml", []byte(text))
	if c == nil {
		t.Fatalf("a valid file has faults:\n%s\n%s", lines(faults), text)
	}
	p, _ := MakePlan(c, h)
	if p == nil {
		t.Fatalf("no plan for\n%s", text)
	}
	return p
}

func TestEveryRandomPlanKeepsItsUnitsApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := checkPlan(t, randomFile(t), strixHalo())
		units, sockets, defaults, ports := map[string]bool{}, map[string]bool{}, map[string]bool{}, map[int]string{}
		for _, u := range p.Units {
			if units[u.Name] || sockets[u.Socket] {
				t.Fatalf("%s or its socket %s is there twice", u.Name, u.Socket)
			}
			units[u.Name], sockets[u.Socket] = true, true
			if other, ok := ports[u.Port]; ok && other != u.Tier {
				t.Fatalf("port %d belongs to %s and %s", u.Port, other, u.Tier)
			}
			ports[u.Port] = u.Tier
			if u.Default && defaults[u.Tier] {
				t.Fatalf("%s has two default variants", u.Tier)
			}
			defaults[u.Tier] = defaults[u.Tier] || u.Default
			if len(u.Socket) > maxSocketPath {
				t.Fatalf("%s is longer than a socket's path", u.Socket)
			}
			if strings.Contains(u.Text(), "\n\n\n") || !strings.HasSuffix(u.Text(), "\n") {
				t.Fatalf("text of %s:\n%s", u.Name, u.Text())
			}
		}
	})
}

func TestTheSameFileMakesTheSamePlan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := randomFile(t)
		a, b := checkPlan(t, text, strixHalo()), checkPlan(t, text, strixHalo())
		if !reflect.DeepEqual(a.Units, b.Units) {
			t.Fatal("two plans of one file differ")
		}
	})
}

func TestCommentsAndSpaceChangeNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := randomFile(t)
		spaced := "# hello\n\n" + strings.ReplaceAll(text, "\n", "   # x\n")
		if !reflect.DeepEqual(checkPlan(t, text, Host{}).Units, checkPlan(t, spaced, Host{}).Units) {
			t.Fatal("a comment changed the plan")
		}
	})
}

func TestDifferentProcessesHaveDifferentHashes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := checkPlan(t, randomFile(t), Host{})
		seen := map[string]Unit{}
		for _, u := range p.Units {
			if other, ok := seen[u.Hash]; ok { // the socket's path alone tells two units apart
				t.Fatalf("%s and %s have the hash %s", u.Name, other.Name, u.Hash)
			}
			seen[u.Hash] = u
		}
	})
}

// hashes are those of all units of a file on a host.
func hashes(t *testing.T, text string, h Host) []string {
	t.Helper()
	p, _ := MakePlan(parse(t, text), h)
	return each(p.Units, func(u Unit) string { return u.Hash })
}

func TestTheHashChangesWithTheProcessAlone(t *testing.T) {
	for _, row := range []struct {
		rule    string
		edits   []string
		changed []string // of coder, coder/cloud, utility
	}{
		{"nothing", nil, nil},
		{"the port is the gateway's", []string{"port = 8002", "port = 9002"}, nil},
		{"the role is for people", []string{"port = 8002", "port = 8002\nrole = \"writer\""}, nil},
		{"when it starts", []string{`start = "boot"`, `start = "demand"`}, nil},
		{"when it stops for idleness", []string{`start = "boot"`, "start = \"boot\"\nidle_stop = \"5m\""}, nil},
		{"a mode", []string{`["coder", "utility"]`, `["coder"]`}, nil},
		{"the reserve", []string{`reserve = "4GiB"`, `reserve = "5GiB"`}, nil},
		{"another variant beside it", []string{"[tier.coder.variant.cloud]", "[tier.coder.variant.more]\nengine = \"llama\"\nmodel = \"m.gguf\"\ncontext = \"1K\"\nmemory = \"1GiB\"\n[tier.coder.variant.cloud]"}, nil},
		{"the model", []string{`model = "small.gguf"`, `model = "other.gguf"`}, []string{"utility"}},
		{"the context", []string{`context = "8K"`, `context = "9K"`}, []string{"utility"}},
		{"a default that is written out", []string{`context = "8K"`, "context = 8192\nparallel = 1"}, nil},
		{"further arguments", []string{`context = "8K"`, "context = \"8K\"\nextra_args = [\"-v\"]"}, []string{"utility"}},
		{"a variable of the variant", []string{`context = "8K"`, "context = \"8K\"\nenv = { A = \"b\" }"}, []string{"utility"}},
		{"a variable of the engine", []string{`command = ["/usr/bin/llama-server"]`, "command = [\"/usr/bin/llama-server\"]\nenv = { A = \"b\" }"}, []string{"utility"}},
		{"the charge", []string{`memory = "2GiB"`, `memory = "3GiB"`}, []string{"utility"}},
		{"the priority is the OOM killer's order", []string{"priority = 80", "priority = 81"}, []string{"coder", "cloud"}},
		{"the drain of all", []string{"[mode.both]", "[gateway]\ndrain = \"5s\"\n[mode.both]"}, []string{"coder", "cloud", "utility"}},
		{"the address of another server", []string{"https://api", "https://bpi"}, []string{"cloud"}},
		{"the credential", []string{`key = "cloud-key"`, `key = "other-key"`}, []string{"cloud"}},
	} {
		t.Run(row.rule, func(t *testing.T) {
			before := hashesByUnit(t, base)
			after := hashesByUnit(t, edit(t, row.edits...))
			for label, name := range map[string]string{"coder": "tier-coder.service", "cloud": "tier-coder-cloud.service", "utility": "tier-utility.service"} {
				if changed := before[name] != after[name]; changed != slices.Contains(row.changed, label) {
					t.Errorf("%s: changed is %v", name, changed)
				}
			}
		})
	}
}

func hashesByUnit(t *testing.T, text string) map[string]string {
	t.Helper()
	p, _ := MakePlan(parse(t, text), Host{})
	m := map[string]string{}
	for _, u := range p.Units {
		m[u.Name] = u.Hash
	}
	return m
}

// A blocked unit carries what it lacks on its command line, so it has to be another one as soon as that is there.
func TestAUnitIsAnotherOneWhileItLacksSomething(t *testing.T) {
	text := edit(t, `model = "org/big"`, `model = "/models/org/plain"`, `model = "small.gguf"`, `model = "/models/some/small.gguf"`)
	whole := func() fstest.MapFS {
		fs := shelf()
		fs["usr/bin/llama-server"], fs["opt/vllm/bin/vllm"], fs["etc/credstore.encrypted/cloud-key"] = program(), program(), file(1)
		return fs
	}
	before := hashes(t, text, Host{FS: whole()})
	for missing, index := range map[string]int{"opt/vllm/bin/vllm": 0, "etc/credstore.encrypted/cloud-key": 1, "usr/bin/llama-server": 2} {
		fs := whole()
		delete(fs, missing)
		after := hashes(t, text, Host{FS: fs})
		for i := range before {
			if (before[i] != after[i]) != (i == index) {
				t.Errorf("without %s unit %d goes from %s to %s", missing, i, before[i], after[i])
			}
		}
	}
	fs := whole()
	fs["models/some/small.gguf"] = file(12345)
	if after := hashes(t, text, Host{FS: fs}); !slices.Equal(before, after) {
		t.Errorf("the size of a model decides nothing: %v, %v", before, after)
	}
}

func TestANewSnapshotOfTheModelIsAChange(t *testing.T) {
	text := edit(t, `models = ["/models"]`, `models = ["/home/me/.cache/huggingface"]`, "org/big", "org/cached")
	before := hashes(t, text, Host{FS: shelf()})
	moved := shelf()
	moved["home/me/.cache/huggingface/hub/models--org--cached/refs/main"] = &fstest.MapFile{Data: []byte("old")}
	after := hashes(t, text, Host{FS: moved})
	if before[0] == after[0] || before[2] != after[2] {
		t.Errorf("before %v, after %v", before, after)
	}
}

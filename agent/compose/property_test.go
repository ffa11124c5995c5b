package compose

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tierd/tierd/units"
)

// TestAnyPartOfTheFilesIsImportedOrRefused: whatever lines of the real files are left out, the result is a good file, or there is
// a fault that says why not. And every variable that is left has its place: in a line, or in a note.
func TestAnyPartOfTheFilesIsImportedOrRefused(t *testing.T) {
	all := golden(t)
	rapid.Check(t, func(t *rapid.T) {
		file := rapid.SampledFrom(sortedKeys(all)).Draw(t, "file")
		env, files := sources(all[file])
		var kept []string
		for line := range strings.Lines(string(env.Text)) {
			if rapid.IntRange(0, 3).Draw(t, "keep") > 0 {
				kept = append(kept, line)
			}
		}
		env = envOf(strings.Join(kept, ""))
		checkImport(t, env, files)
	})
}

// checkImport imports, and holds the result to what Import promises.
func checkImport(t interface {
	Errorf(string, ...any)
	Fatalf(string, ...any)
}, env Source, files []Source) {
	r, faults := Import(env, files, atHome)
	if (r == nil) != (len(faults) > 0) {
		t.Fatalf("result %v with faults %v", r, faults)
	}
	for _, f := range faults {
		if f.Text == "" || f.File == "" || strings.ContainsAny(f.Error(), "\n\r") {
			t.Errorf("a fault says nothing, or more than a line: %q", f.Error())
		}
	}
	if r == nil {
		return
	}
	if config, wrong := units.ParseConfig("tiers.toml", r.TOML); config == nil {
		t.Fatalf("units refuses it: %v\n%s", wrong, r.TOML)
	}
	for _, s := range readEnv(env, atHome).all {
		if !mentions(r, s.key) {
			t.Errorf("%s is lost:\n%s", s.key, r.TOML)
		}
	}
	for _, n := range r.Notes {
		if !slices.Contains(kinds, n.Kind) || n.Text == "" || n.Name == "" || n.File == "" || n.Line == 0 {
			t.Errorf("a note says nothing: %+v", n)
		}
		if !bytes.Contains(r.TOML, []byte(strings.Map(printable, n.String()))) {
			t.Errorf("the file does not have the note %q", n)
		}
	}
	again, _ := Import(env, files, atHome)
	if !bytes.Equal(again.TOML, r.TOML) {
		t.Errorf("another import makes another file")
	}
}

func mentions(r *Result, key string) bool {
	key = strings.Map(printable, key)
	return bytes.Contains(r.TOML, []byte("# from "+key+",")) || bytes.Contains(r.TOML, []byte(" "+key+" ")) ||
		bytes.Contains(r.TOML, []byte(" "+key+",")) || bytes.Contains(r.TOML, []byte("with "+key+"\n"))
}

// drawn is an agent as a user may have it.
type drawn struct {
	prefix                                  string
	port, context, parallel, ctx, threads   int
	model, gguf                             string
	hasParallel, hasThreads, hasVLLM, hasGG bool
}

func drawAgents(t *rapid.T) []drawn {
	prefixes := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"ORCH", "CODER", "UTILITY", "THOR", "ODIN", "LOKI", "MIMIR", "MY_OWN"}), 1, 5, rapid.ID).Draw(t, "prefixes")
	ports := rapid.SliceOfNDistinct(rapid.IntRange(1, 65535), len(prefixes), len(prefixes), rapid.ID).Draw(t, "ports")
	name := rapid.StringMatching(`[A-Za-z0-9][A-Za-z0-9._-]{0,20}`)
	var list []drawn
	for i, p := range prefixes {
		d := drawn{
			prefix: p, port: ports[i],
			context: rapid.IntRange(1, 1<<20).Draw(t, "context"), parallel: rapid.IntRange(1, 1024).Draw(t, "parallel"),
			ctx: rapid.IntRange(1, 1<<20).Draw(t, "ctx"), threads: rapid.IntRange(1, 4096).Draw(t, "threads"),
			model: name.Draw(t, "org") + "/" + name.Draw(t, "model"), gguf: name.Draw(t, "gguf") + ".gguf",
			hasParallel: rapid.Bool().Draw(t, "hasParallel"), hasThreads: rapid.Bool().Draw(t, "hasThreads"),
			hasVLLM: rapid.Bool().Draw(t, "hasVLLM"),
		}
		d.hasGG = !d.hasVLLM || rapid.Bool().Draw(t, "hasGGUF")
		if strings.HasSuffix(strings.ToLower(d.model), ".gguf") {
			d.model += "-x"
		}
		list = append(list, d)
	}
	return list
}

func (d drawn) env() string {
	var b strings.Builder
	set := func(suffix string, v any) { fmt.Fprintf(&b, "%s_%s=%v\n", d.prefix, suffix, v) }
	set("PORT", d.port)
	if d.hasVLLM {
		set("MODEL", d.model)
		set("MAX_LEN", d.context)
		if d.hasParallel {
			set("MAX_NUM_SEQS", d.parallel)
		}
	}
	if d.hasGG {
		set("GGUF", d.gguf)
		set("CTX", d.ctx)
		if d.hasThreads {
			set("THREADS", d.threads)
		}
	}
	return b.String()
}

// TestEveryValueArrives: what the env file says of a tier is what units reads in the result.
func TestEveryValueArrives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := drawAgents(t)
		var text string
		for _, d := range list {
			text += d.env()
		}
		r, faults := Import(envOf(text), nil, atHome)
		if r == nil {
			t.Fatalf("%v\n%s", faults, text)
		}
		c, _ := units.ParseConfig("tiers.toml", r.TOML)
		if len(c.Tiers) != len(list) {
			t.Fatalf("%d tiers of %d agents", len(c.Tiers), len(list))
		}
		for _, d := range list {
			a := agentOf(d.prefix)
			tier, ok := c.Tier(a.tier)
			if !ok || tier.Port != d.port {
				t.Fatalf("tier %s: port %d, want %d", a.tier, tier.Port, d.port)
			}
			d.check(t, tier)
		}
	})
}

func (d drawn) check(t *rapid.T, tier units.Tier) {
	find := func(kind string) (units.Variant, bool) {
		for _, v := range tier.Variants {
			if v.Name == kind {
				return v, true
			}
		}
		return units.Variant{}, false
	}
	v, ok := find("vllm")
	parallel := 4
	if d.hasParallel {
		parallel = d.parallel
	}
	if ok != d.hasVLLM || ok && (v.Model != d.model || int(v.Context) != d.context || v.Parallel != parallel) {
		t.Fatalf("%+v is of %+v", v, d)
	}
	l, ok := find("llama")
	threads := 0
	if d.hasThreads {
		threads = d.threads
	}
	if ok != d.hasGG || ok && (l.Model != d.gguf || int(l.Context) != d.ctx || l.Threads != threads || l.Parallel != 1) {
		t.Fatalf("%+v is of %+v", l, d)
	}
}

// TestSecretsStay: no value of a variable that is a secret, or that nobody knows, is in the result, in a note or in a fault, also where
// other variables, commands and broken lines are made with it.
func TestSecretsStay(t *testing.T) {
	const secret = "Zx9Secret"
	names := []string{"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "OPENAI_API_KEY", "MY_PASSWORD", "SOME_SECRET", "DB_PASSWD", "UNKNOWN", "OLLAMA_X", "https_proxy"}
	shapes := []string{"%s=%s\n", "export %s='%s'\n", "%s=\"%s\n", "%s %s\n", "%s:%s\n", "%s/%s=1\n", "%s=${%s\n", "A B%s=%s\n", "%s=$ %s\n"}
	uses := []string{"", "ORCH_MODEL=${%s}\n", "ORCH_MODEL=x/${%s}\n", "HF_HOME=/srv/${%s}\n", "ORCH_QUANTIZATION=$%s\n"}
	commands := []string{"vllm serve m --port 1 --hf-token ${%s}", "vllm serve m --port 1 --api-key ${%s} --x ${%[1]s}", "bash -lc \"A=${%s} vllm serve m --port 1 --max-model-len 16384\""}
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom(names).Draw(t, "name")
		known := isSecret(name)
		text := fmt.Sprintf(rapid.SampledFrom(shapes).Draw(t, "shape"), name, secret)
		if use := rapid.SampledFrom(uses).Draw(t, "use"); use != "" && known {
			text += fmt.Sprintf(use, name)
		}
		env := envOf(text + "CODER_PORT=2\nCODER_MODEL=m\nCODER_MAX_LEN=65536\n")
		var files []Source
		if rapid.Bool().Draw(t, "compose") && known {
			command := fmt.Sprintf(rapid.SampledFrom(commands).Draw(t, "command"), name)
			files = append(files, Source{Name: "c.yml", Text: fmt.Appendf(nil,
				"services:\n  vllm_x:\n    environment: [\"%s=%s\", \"B=${%s}\"]\n    volumes: [\"/srv/${%s}:/models\"]\n    command: %q\n", name, secret, name, name, command)})
		}
		r, faults := Import(env, files, atHome)
		said := fmt.Sprint(r, faults)
		if r != nil {
			said += string(r.TOML)
		}
		if strings.Contains(said, secret) {
			t.Fatalf("%q tells the secret: %s", env.Text, said)
		}
	})
}

// FuzzImport: no text brings it down, and what it makes of any is a good file.
func FuzzImport(f *testing.F) {
	for _, a := range golden(f) {
		env, files := sources(a)
		var second []byte
		if len(files) > 0 {
			second = files[0].Text
		}
		f.Add(env.Text, second)
	}
	f.Add([]byte("A_MODEL=\"m\nB\"\nA_PORT=1\n"), []byte(nil))
	f.Add([]byte("A_PORT=1\n"), []byte("services: {a: {command: 'vllm serve m --port 1 --x'}}"))
	f.Add([]byte("A_PORT=1\n"), []byte("a: &a {<<: *a}\nservices: *a"))
	f.Fuzz(func(t *testing.T, env, file []byte) {
		var files []Source
		if len(file) > 0 {
			files = append(files, Source{Name: "compose.yml", Text: file})
		}
		checkImport(t, envOf(string(env)), files)
	})
}

package compose

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tierd/tierd/units"
)

// meaning is what tierd makes of a result: without its comments, and without the lines on which things stand.
type meaning struct {
	Host    units.HostConfig
	Gateway units.Gateway
	Engines []units.Engine
	Tiers   []units.Tier
	Modes   []units.Mode
}

func meaningOf(t rapid.TB, env string, files ...string) meaning {
	t.Helper()
	var sources []Source
	for i, f := range files {
		sources = append(sources, Source{Name: fmt.Sprintf("c%d.yml", i), Text: []byte(f)})
	}
	r, faults := Import(envOf(env), sources, atHome)
	if r == nil {
		t.Fatalf("%v\n%s\n%s", faults, env, files)
	}
	c, _ := units.ParseConfig("tiers.toml", r.TOML)
	return meaning{c.Host, c.Gateway, c.Engines, c.Tiers, c.Modes}
}

func sameMeaning(t rapid.TB, rule string, a, b meaning) {
	t.Helper()
	if !reflect.DeepEqual(a, b) {
		t.Errorf("%s:\n%+v\n%+v", rule, a, b)
	}
}

// oneUnknown are agents of which one at most is not known: those keep the order in which they came.
func oneUnknown(t *rapid.T) []drawn {
	var list []drawn
	for _, d := range drawAgents(t) {
		if d.prefix != "MIMIR" {
			list = append(list, d)
		}
	}
	if len(list) == 0 {
		t.Skip("nothing is left")
	}
	return list
}

// TestOrderAndCommentsAreNoMatter: people sort such files, and write into them.
func TestOrderAndCommentsAreNoMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var lines []string
		for _, d := range oneUnknown(t) {
			lines = append(lines, strings.SplitAfter(strings.TrimSpace(d.env())+"\n", "\n")...)
		}
		want := meaningOf(t, strings.Join(lines, ""))
		var text strings.Builder
		for _, l := range rapid.Permutation(lines).Draw(t, "order") {
			if strings.TrimSpace(l) == "" {
				continue
			}
			text.WriteString(rapid.SampledFrom([]string{"", "\n", "# ORCH_PORT=1\n", "  # a word\n"}).Draw(t, "before"))
			text.WriteString(rapid.SampledFrom([]string{"", "export "}).Draw(t, "export"))
			text.WriteString(strings.TrimSuffix(l, "\n") + rapid.SampledFrom([]string{"\n", " # as it was\n", "\r\n"}).Draw(t, "end"))
		}
		sameMeaning(t, text.String(), meaningOf(t, text.String()), want)
	})
}

// service is the YAML of the containers that an agent's variables were for, as the stack had them.
func (d drawn) service() string {
	var b strings.Builder
	add := func(kind, command string) {
		fmt.Fprintf(&b, "  %s_%s:\n    command: %s\n", kind, strings.ToLower(d.prefix), strings.ReplaceAll(command, "@", d.prefix))
	}
	if d.hasVLLM {
		command := "vllm serve ${@_MODEL} --port ${@_PORT} --max-model-len ${@_MAX_LEN}"
		if d.hasParallel {
			command += " --max-num-seqs ${@_MAX_NUM_SEQS}"
		}
		add("vllm", command)
	}
	if d.hasGG {
		command := "llama-server -m /models/${@_GGUF} --port ${@_PORT} -c ${@_CTX}"
		if d.hasThreads {
			command += " -t ${@_THREADS}"
		}
		if d.hasVLLM { // it stood in for the one on the GPU
			command += " -ngl 99"
		}
		add("llama", command)
	}
	return b.String()
}

// TestNamesAndCommandsSayTheSame: what the names of variables are taken to mean is what the commands do with them.
func TestNamesAndCommandsSayTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		env, file := "", "services:\n"
		for _, d := range oneUnknown(t) {
			env, file = env+d.env(), file+d.service()
		}
		sameMeaning(t, env+file, meaningOf(t, env), meaningOf(t, env, file))
	})
}

// TestAServiceHasManyForms, and all of them are one.
func TestAServiceHasManyForms(t *testing.T) {
	const env = "ORCH_MODEL=org/qwen3\nORCH_PORT=8001\n"
	const want = `services:
  vllm_orch:
    environment: {A: "1", B: two words}
    command: vllm serve ${ORCH_MODEL} --port ${ORCH_PORT} --max-model-len 32768 --enforce-eager
`
	for rule, file := range map[string]string{
		"lists": `services:
  vllm_orch:
    environment: [A=1, B=two words]
    command: [vllm, serve, "${ORCH_MODEL}", --port, "${ORCH_PORT}", --max-model-len, "32768", --enforce-eager]
`,
		"a text over lines": `services:
  vllm_orch:
    environment: {A: "1", B: two words}
    command: >
      vllm serve ${ORCH_MODEL}
      --port ${ORCH_PORT}
      --max-model-len 32768
      --enforce-eager
`,
		"lines as a shell goes on": `services:
  vllm_orch:
    environment: {A: "1", B: two words}
    command: |
      vllm serve $ORCH_MODEL \
        --port $ORCH_PORT \
        --max-model-len 32768 \
        --enforce-eager
`,
		"a shell as the entrypoint": `services:
  vllm_orch:
    environment: {A: "1", B: two words}
    entrypoint: [bash, -lc]
    command: ["vllm serve $ORCH_MODEL --port $ORCH_PORT --max-model-len 32768 --enforce-eager"]
`,
		"an anchor": `x-all: &all
  environment: {A: "1", B: two words}
services:
  vllm_orch:
    <<: *all
    command: vllm serve ${ORCH_MODEL} --port ${ORCH_PORT} --max-model-len 32768 --enforce-eager
`,
		"several anchors, of which the nearer counts": `x-a: &a
  environment: {A: "1", B: two words}
  command: vllm serve other --port 1
x-b: &b
  environment: {C: "3"}
services:
  vllm_orch:
    <<: [*a, *b]
    command: vllm serve ${ORCH_MODEL} --port ${ORCH_PORT} --max-model-len 32768 --enforce-eager
`,
		"an anchor of a value, and one in a list": `x-a: &a A=1
x-c: &c vllm serve ${ORCH_MODEL} --port ${ORCH_PORT} --max-model-len 32768 --enforce-eager
services:
  vllm_orch:
    environment: [*a, B=two words]
    command: *c
`,
	} {
		t.Run(rule, func(t *testing.T) { sameMeaning(t, rule, meaningOf(t, env, file), meaningOf(t, env, want)) })
	}
	half, other, _ := strings.Cut(want, "    command")
	both := meaningOf(t, env+"CODER_MODEL=m\n", want, strings.ReplaceAll(half, "orch", "coder")+"    command"+strings.NewReplacer("ORCH_MODEL", "CODER_MODEL", "${ORCH_PORT}", "8002").Replace(other))
	if len(both.Tiers) != 2 || both.Tiers[1].Port != 8002 || both.Tiers[1].Variants[0].Model != "m" {
		t.Errorf("two files: %+v", both.Tiers)
	}
}

// TestArgumentsStayWhole: those with blanks, quotes and signs are one argument each, as the engine got them.
func TestArgumentsStayWhole(t *testing.T) {
	want := []string{"--chat-template", `{{ "a b" }}`, "--override-kv", "x=int:1", "--grammar", `root ::= "x" # no comment`}
	for rule, command := range map[string]string{
		"in a list":        `[llama-server, -m, a.gguf, --port, "1", -c, "16384", --chat-template, '{{ "a b" }}', --override-kv, "${KV}", --grammar, 'root ::= "x" # no comment']`,
		"quoted in a text": `"llama-server -m a.gguf --port 1 -c 16384 --chat-template '{{ \"a b\" }}' $MORE --grammar 'root ::= \"x\" # no comment'"`,
		"for a shell":      `[bash, -lc, "llama-server -m a.gguf --port 1 -c 16384 --chat-template '{{ \"a b\" }}' ${MORE} --grammar 'root ::= \"x\" # no comment'"]`,
	} {
		m := meaningOf(t, "KV=x=int:1\nMORE=--override-kv x=int:1\n", "services:\n  llama_odin:\n    command: "+command+"\n")
		if v := m.Tiers[0].Variants[0]; !slices.Equal(v.ExtraArgs, want) {
			t.Errorf("%s: %q, want %q", rule, v.ExtraArgs, want)
		}
	}
}

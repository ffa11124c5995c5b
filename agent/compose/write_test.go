package compose

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tierd/tierd/units"
)

// TestNoTextBecomesTOML: a value with quotes, signs and line ends is the same value in the result, and nothing else.
func TestNoTextBecomesTOML(t *testing.T) {
	odd := rapid.StringOfN(rapid.SampledFrom([]rune("ab/\"\\#=[]{}'\n\r\t ,.ü\u2028\U0001F600\u007f")), 1, 12, -1)
	rapid.Check(t, func(t *rapid.T) {
		model, dir := odd.Draw(t, "model"), "/srv/"+odd.Draw(t, "dir")
		// Double quotes and escapes let every character into a value.
		quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`).Replace
		env := fmt.Sprintf("ORCH_PORT=1\nORCH_MODEL=\"m%s\"\nORCH_MAX_LEN=1024\nHF_HOME=\"%s\"\n", quote(model), quote(dir))
		var want string
		for _, s := range readEnv(envOf(env), atHome).all {
			if s.key == "ORCH_MODEL" {
				want = strings.TrimSpace(s.value)
			}
		}
		r, faults := Import(envOf(env), nil, atHome)
		if r == nil {
			if len(faults) == 0 || strings.Contains(faults[0].Error(), "\n") {
				t.Fatalf("refused by %v", faults)
			}
			return
		}
		c, _ := units.ParseConfig("tiers.toml", r.TOML)
		if got := c.Tiers[0].Variants[0].Model; got != want || len(c.Tiers) != 1 || len(c.Host.Models) != 2 {
			t.Fatalf("model %q, want %q\n%s", got, want, r.TOML)
		}
	})
}

// TestAFolderIsNamedOnce: that of the old stack may be tierd's own.
func TestAFolderIsNamedOnce(t *testing.T) {
	env := "LLAMA_MODELS_DIR=/var/lib/tierd/models\nUTILITY_PORT=8012\nUTILITY_GGUF=m.gguf\nUTILITY_CTX=16384\n"
	r, faults := Import(envOf(env), nil, atHome)
	if r == nil {
		t.Fatal(faults)
	}
	if n := strings.Count(string(r.TOML), `"/var/lib/tierd/models"`); n != 1 {
		t.Errorf("it is named %d times:\n%s", n, r.TOML)
	}
}

func TestComments(t *testing.T) {
	w := &writer{}
	w.comment("a\nb = 1\r%s", "\x00")
	w.put("x = 1", origin{at: Place{"a\nb", 3}, key: "K"})
	w.put("y = 1", origin{})
	w.put("z = 1", added("a reason"))
	w.put("u = 1", origin{Place{".env", 0}, "K", []string{"A", "B"}, []string{"HOME"}})
	want := `# a?b = 1??
x = 1  # from K, "a\nb":3
y = 1
z = 1  # added: a reason
u = 1  # from K, .env, with A, B, with $HOME of the environment
`
	if got := string(w.bytes()); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

func TestAmounts(t *testing.T) {
	for _, c := range []struct{ name, is, want string }{
		{"whole thousands have a K", "65536", `context = "64K"`},
		{"others are plain", "1000", "context = 1000"},
		{"nothing is no K", "0", "context = 0"},
		{"what is no number is left for units to refuse", "64K tokens", `context = "64K tokens"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &writer{}
			w.tokens("context", value{text: c.is})
			if got := strings.TrimSpace(string(w.bytes())); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

func TestShortTime(t *testing.T) {
	for d, want := range map[time.Duration]string{
		20 * time.Minute: "20m", time.Hour: "1h", 90 * time.Minute: "1h30m", 30 * time.Second: "30s", 10 * time.Second: "10s",
		100 * time.Hour: "100h", time.Hour + 10*time.Second: "1h0m10s", 10 * time.Minute: "10m", 3 * 24 * time.Hour: "72h",
	} {
		got := shortTime(d)
		if back, err := time.ParseDuration(got); got != want || err != nil || back != d {
			t.Errorf("%s is %q, want %q", d, got, want)
		}
	}
}

func TestParsers(t *testing.T) {
	for model, want := range map[string]string{
		"Qwen/Qwen2.5-14B-Instruct":                  "hermes",
		"QuantTrio/Qwen3-Coder-30B-A3B-Instruct-AWQ": "qwen3_coder",
		"Qwen/Qwen3-30B-A3B":                         "hermes",
		"Qwen/QwQ-32B":                               "hermes",
		"casperhansen/llama-3.3-70b-instruct-awq":    "llama3_json",
		"openai/gpt-oss-120b":                        "openai",
		"someone/unheard-of":                         "",
	} {
		if got := parserOf(model); got != want {
			t.Errorf("%s: %q, want %q", model, got, want)
		}
	}
}

// TestReasons: a secret is one whatever else fits its name, and the stack's own variables all have a reason.
func TestReasons(t *testing.T) {
	for _, name := range []string{"HF_TOKEN", "OPENAI_API_KEY", "OLLAMA_API_KEY", "BIFROST_PASSWORD", "COMPOSE_SECRET", "GITHUB_TOKEN", "DB_PASSWD"} {
		if kind, why := reason(name); kind != Dropped || !strings.Contains(why, "secret") || !isSecret(name) {
			t.Errorf("%s %s", name, why)
		}
	}
	for _, name := range []string{
		"VLLM_CACHE", "LLAMA_ORCH_PORT", "BIFROST_PORT", "BIFROST_ODIN_COOLDOWN", "BIFROST_SESSION_BUDGET_ODIN", "REPO_ROOT", "OLLAMA_MODELS",
		"OLLAMA_TOOLBOX_IMAGE", "THOR_OLLAMA_MODEL", "HSA_OVERRIDE_GFX_VERSION", "HTTP_PROXY", "no_proxy", "HF_HUB_ENABLE_HF_TRANSFER", "DOCKER_HOST", "VLLM_IMAGE",
	} {
		if kind, _ := reason(name); kind != Dropped || isSecret(name) {
			t.Errorf("%s has no reason", name)
		}
	}
	for _, name := range []string{"KEYBOARD", "TOKENIZERS_PARALLELISM", "SOMETHING", "ROCM_PATH"} {
		if kind, _ := reason(name); kind != Warning || isSecret(name) {
			t.Errorf("%s is taken for something known", name)
		}
	}
}

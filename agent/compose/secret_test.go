package compose

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tierd/tierd/units"
)

// secretIn imports a service with a command and a variable, and returns all that can be read afterwards.
func secretIn(t testing.TB, command, variable, env string) (r *Result, said string) {
	t.Helper()
	r, faults := importService("vllm_thor", fmt.Sprintf("command: %s\nenvironment: [%q]\n", command, variable), env)
	if r == nil {
		t.Fatal(faults)
	}
	return r, fmt.Sprint(r.Notes, string(r.TOML))
}

const plainCommand = `["vllm", "serve", "m", "--port", "1", "--max-model-len", "32768"]`

func commandWith(words ...string) string {
	more := ""
	for _, w := range words {
		more += fmt.Sprintf(", %q", w)
	}
	return strings.Replace(plainCommand, "]", more+"]", 1)
}

// A secret is one by its value as well, whatever the flag or the variable is called. Its flag goes with it, and a note says what and
// where to put it.
func TestALiteralSecretIsDropped(t *testing.T) {
	for _, value := range []string{
		"sk-abc", "sk-proj-4fKq", "hf_AbCdEf", "ghp_x1", "github_pat_11A", "glpat-x", "xoxb-12-ab", "nvapi-x", "AKIAIOSFODNN7EXAMPLE", "tierd_abc", "eyJhbGciOi.eyJzdWI.x",
		"Authorization: Bearer zx9", "authorization=zx9", `{"Authorization": "Bearer zx9"}`, "Basic dXNlcjpwYXNz", "X-Key: sk-abc", "https://ann:zx9@example.com/v1", "user=hf_zx9",
		"9f86d081884c7d659a2feaa0c55ad015", "a8Kd03LmQ9zXv7Tn4Rb2Ws6Y", "pre-Zk3vQ8mT1xW6yR9bN2dL-post", "wJalrXUtnFEMIK7MDENGbPxRfiCY",
	} {
		for _, words := range [][]string{{"--thing", value}, {"--thing=" + value}, {"--thing", "$VALUE"}, {"--thing=${VALUE}"}, {value}} {
			r, said := secretIn(t, commandWith(append(words, "--enforce-eager")...), "A=1", "VALUE='"+value+"'\n")
			c, _ := units.ParseConfig("tiers.toml", r.TOML)
			thor, _ := c.Tier("thor")
			if strings.Contains(said, value) || !slices.Equal(thor.Variants[0].ExtraArgs, []string{"--enforce-eager"}) {
				t.Errorf("%q: %q\n%s", words, thor.Variants[0].ExtraArgs, said)
			}
			if !strings.Contains(said, notCopied) {
				t.Errorf("%q: nothing is said: %s", words, said)
			}
		}
		_, said := secretIn(t, plainCommand, "THING="+value, "")
		if strings.Contains(said, value) || !strings.Contains(said, "vllm_thor.environment.THING "+notCopied) {
			t.Errorf("a variable with %q: %s", value, said)
		}
	}
}

func TestWhatIsNoSecretStays(t *testing.T) {
	for _, words := range [][]string{
		{"--hf-overrides", `{"architectures":["Qwen3ForSequenceClassification"]}`}, {"--x", "Qwen2VLForConditionalGeneration"},
		{"--revision", "9f86d081884c7d659a2feaa0c55ad0159f86d081"}, {"--x", "/m/hub/models--Qwen--Q3/snapshots/9f86d081884c7d659a2feaa0c55ad015d1e2f3a4/x.gguf"},
		{"--x", "Qwen/Qwen2.5-Coder-32B-Instruct-AWQ"}, {"--x", "20260301120000000000000"}, {"--override-tensor", `blk\.(2[0-9]|3[0-9])\.ffn_.*_exps\.=CPU`},
		{"--x", "http://127.0.0.1:8000/v1"}, {"--x", "GPU-3f1c2d4e-5f6a-7b8c-9d0e-1f2a3b4c5d6e"}, {"--x", "expandable_segments:True,garbage_collection_threshold:0.8"},
		{"--x", "auth-basic-mode"}, {"--compilation-config", `{"cudagraph_mode":"FULL_DECODE_ONLY","level":3}`}, {"--speculative-config.num_speculative_tokens", "3"},
	} {
		r, said := secretIn(t, commandWith(words...), "A=1", "")
		c, _ := units.ParseConfig("tiers.toml", r.TOML)
		if thor, _ := c.Tier("thor"); !slices.Equal(thor.Variants[0].ExtraArgs, words) {
			t.Errorf("%q: %q\n%s", words, thor.Variants[0].ExtraArgs, said)
		}
	}
}

// The flag of a secret in a variable does not stay alone, where it would take the next word for its value.
func TestAFlagGoesWithItsSecret(t *testing.T) {
	for _, words := range [][]string{
		{"--thing", "${MY_API_KEY}"}, {"--thing=${MY_API_KEY}"}, {"--api-key", "${MY_API_KEY}"}, {"--api-key=zx9secret"}, {"--api_key", "zx9secret"}, {"--hf-token", "zx9secret"}, {"${MY_API_KEY}"},
	} {
		r, said := secretIn(t, commandWith(append(words, "--enforce-eager", "x")...), "B=${MY_API_KEY}", "MY_API_KEY=zx9secret\n")
		c, _ := units.ParseConfig("tiers.toml", r.TOML)
		thor, _ := c.Tier("thor")
		if !slices.Equal(thor.Variants[0].ExtraArgs, []string{"--enforce-eager", "x"}) || len(thor.Variants[0].Env) > 0 || strings.Contains(said, "zx9secret") || !strings.Contains(said, "secret") {
			t.Errorf("%q: %q, %q\n%s", words, thor.Variants[0].ExtraArgs, thor.Variants[0].Env, said)
		}
	}
}

// TestNoFormIsCopied, wherever it stands.
func TestNoFormIsCopied(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		form := rapid.SampledFrom([]string{"sk-", "hf_", "ghp_", "glpat-", "tierd_", "Bearer "}).Draw(rt, "form")
		secret := form + rapid.StringMatching(`[A-Za-z0-9]{6,40}`).Draw(rt, "secret")
		shape := rapid.SampledFrom([]string{"%s", "X: %s", "a=%s", `{"k": "%s"}`, "u,%s", "x %s y"}).Draw(rt, "shape")
		value := fmt.Sprintf(shape, secret)
		flag := rapid.StringMatching(`--?[a-z][a-z-]{0,12}`).Draw(rt, "flag")
		r, faults := importService("vllm_thor", fmt.Sprintf("command: %s\nenvironment: [%q]\n", commandWith(flag, value), "THING="+value), "")
		said := fmt.Sprint(faults)
		if r != nil {
			said += fmt.Sprint(r.Notes, string(r.TOML))
		}
		if strings.Contains(said, secret) {
			rt.Fatalf("%s %s: %s", flag, value, said)
		}
	})
}

// What tierd sets itself is said, and keeps nobody from the rest of the file.
func TestFlagsThatTierdSetsItself(t *testing.T) {
	for _, row := range []struct {
		words     []string
		toml, say string
	}{
		{[]string{"--max-num-batched-tokens", "8192"}, `batch_tokens = "8K"`, ""},
		{[]string{"--max_num_batched_tokens=4000"}, `batch_tokens = 4000`, ""},
		{[]string{"--no-enable-prefix-caching"}, `prefix_caching = false`, ""},
		{[]string{"--kv-cache-memory-bytes", "1000"}, "", "warning c.yml:3 vllm_thor --kv-cache-memory-bytes is not in the result: tierd sets it by `kv_memory` of the variant, where you may want what it said"},
		{[]string{"--uds", "/x"}, "", "dropped c.yml:3 vllm_thor --uds is not needed: tierd sets it itself"},
	} {
		r, said := secretIn(t, commandWith(row.words...), "A=1", "")
		noted := row.say == "" || slices.ContainsFunc(r.Notes, func(n Note) bool { return fmt.Sprintf("%s %s %s %s", n.Kind, n.Place, n.Name, n.Text) == row.say })
		if !strings.Contains(said, row.toml) || !noted || strings.Contains(string(r.TOML), "extra_args") {
			t.Errorf("%q: %s", row.words, said)
		}
	}
	r, faults := importService("llama_odin", "command: llama-server -m a.gguf --port 1 -c 32768 --no-warmup --cache-ram 0 -fit off\n", "")
	if r == nil || strings.Contains(string(r.TOML), "extra_args") {
		t.Errorf("%v, %v", r, faults)
	}
}

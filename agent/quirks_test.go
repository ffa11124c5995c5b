package agent

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tierd/tierd/rocm/rocmtest"
	"github.com/tierd/tierd/units"
)

// onHost unpacks a recorded host and adds files to it.
func onHost(t *testing.T, tree string, files map[string]string) (root string) {
	t.Helper()
	root = rocmtest.Unpack(t, tree)
	files["etc/group"] = "root:x:0:\nrender:x:105:\n"
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// quirkConfig serves a model from /m/x by vLLM.
const quirkConfig = `[host]
models = ["/m"]
[engine.vllm]
command = ["/opt/vllm/bin/vllm", "serve"]
[engine.vllm.env]
HSA_OVERRIDE_GFX_VERSION = "11.0.0"
[tier.coder]
port = 8002
[tier.coder.variant.vllm]
engine = "vllm"
model = "x"
context = "4K"
`

// quirkFiles are a vLLM of that version and a mixture of experts in that quant_method.
func quirkFiles(version, method string) map[string]string {
	return map[string]string{
		"opt/vllm/bin/vllm": "",
		"opt/vllm/lib/python3.12/site-packages/vllm-" + version + ".dist-info/METADATA": "",
		"m/x/config.json": `{"model_type": "qwen3_moe", "num_experts": 128, "torch_dtype": "bfloat16", "num_hidden_layers": 1, "hidden_size": 64,
			"num_attention_heads": 1, "num_key_value_heads": 1, "quantization_config": {"quant_method": "` + method + `", "bits": 4}}`,
		"m/x/model.safetensors": "\x36\x00\x00\x00\x00\x00\x00\x00" + `{"a":{"dtype":"F16","shape":[1],"data_offsets":[0,2]}}` + "ab",
	}
}

// plannedFor reads the host and plans the configuration for it, as tierd does.
func plannedFor(t *testing.T, root string) (units.Unit, []string) {
	t.Helper()
	h, err := HostReader(root, systemdVersion("262"), NewKernel(root))(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	c, faults := units.ParseConfig("tiers.toml", []byte(quirkConfig))
	if c == nil {
		t.Fatal(faults)
	}
	p, more := units.MakePlan(c, h)
	var told []string
	for _, f := range more {
		told = append(told, f.Error())
	}
	return p.Units[0], told
}

func TestAModelThatHangsThisGPUIsBlocked(t *testing.T) {
	u, told := plannedFor(t, onHost(t, "gtt120", quirkFiles("0.23.1", "gptq")))
	want := "GPTQ of 4 bits deadlocks on vLLM's generic path for mixtures of experts (vllm-project/vllm#46186, 2026-06); " +
		"allow_unsupported = true in [tier.coder.variant.vllm] starts it all the same"
	if u.Blocked != want || u.BlockClass != "configuration" {
		t.Errorf("blocked: %s", u.Blocked)
	}
	if !slices.Contains(told, "tiers.toml:11: warning: tier-coder.service cannot start: "+want) {
		t.Errorf("told\n%s", strings.Join(told, "\n"))
	}
	env := "tiers.toml:6: warning: HSA_OVERRIDE_GFX_VERSION=11.0.0 crashes libamdhip64 of ROCm 7; leave it out (kyuz0/amd-strix-halo-toolboxes#115, 2026-11)"
	if !slices.Contains(told, env) {
		t.Errorf("told\n%s", strings.Join(told, "\n"))
	}
}

func TestTheEnginesVersionDecides(t *testing.T) {
	u, told := plannedFor(t, onHost(t, "gtt120", quirkFiles("0.27.1", "gptq")))
	if u.Blocked != "" || !strings.Contains(strings.Join(told, "\n"), "tier-coder.service may not work: GPTQ of 4 bits deadlocks on vLLM's generic path for mixtures of experts; it has been served") {
		t.Errorf("blocked: %q, told\n%s", u.Blocked, strings.Join(told, "\n"))
	}
}

func TestAVerdictOfTheAdministratorsCounts(t *testing.T) {
	files := quirkFiles("0.23.1", "gptq")
	files["etc/tierd/quirks.d/10.toml"] = `[[format]]
id = "ours"
quant = "gptq"
verdict = "allow"
reason = "it works with our build"
since = "2026-11"
source = "own test"
`
	files["etc/tierd/quirks.d/20.toml"] = "[[format]]\nid = \"half\n"
	u, told := plannedFor(t, onHost(t, "gtt120", files))
	if u.Blocked != "" || strings.Contains(strings.Join(told, "\n"), "GPTQ") {
		t.Errorf("blocked: %q, told\n%s", u.Blocked, strings.Join(told, "\n"))
	}
	if last := told[len(told)-1]; last != "/etc/tierd/quirks.d/20.toml:2: warning: this is not TOML: strings cannot contain newlines; the file does not count" {
		t.Errorf("told %s", last)
	}
}

func TestAKernelThatIsTooOldBlocksVLLM(t *testing.T) {
	u, _ := plannedFor(t, onHost(t, "dgpu-gfx1100-plus-gfx1151", quirkFiles("0.27.1", "mxfp4")))
	if !strings.HasPrefix(u.Blocked, "kernels up to 6.12 are too old for ROCm on this GPU") {
		t.Errorf("blocked: %q", u.Blocked)
	}
}

func TestWithoutAGPUNothingIsAsked(t *testing.T) {
	u, told := plannedFor(t, onHost(t, "nonamd", quirkFiles("0.23.1", "gptq")))
	if u.Blocked != "" || len(told) > 0 {
		t.Errorf("blocked: %q, told %q", u.Blocked, told)
	}
}

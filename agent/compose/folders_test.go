package compose

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestFoldersOfModels: they are where the containers had them mounted from, as this machine names them.
func TestFoldersOfModels(t *testing.T) {
	const own = "/var/lib/tierd/models"
	for _, c := range []struct {
		rule, env string
		want      []string
	}{
		{"tierd's own is always among them", "", []string{own}},
		{"the cache of Hugging Face", "HF_HOME=/srv/hf\n", []string{"/srv/hf", own}},
		{"in the home directory", "HF_HOME=~/hf\n", []string{"/home/user/hf", own}},
		{"by a variable of the environment", "HF_HOME=${HOME}/hf\n", []string{"/home/user/hf", own}},
		{"a relative one begins in the stack's folder", "HF_HOME=./hf/../cache/\n", []string{"/home/user/stack/cache", own}},
		{"that of the old stack's models", "REPO_ROOT=/srv/stack\n", []string{"/srv/stack/models", own}},
		{"one that is named twice is there once", "HF_HOME=/srv/hf\nLLAMA_MODELS_DIR=/srv/hf/\n", []string{"/srv/hf", own}},
		{"an empty one is none", "HF_HOME=\nLLAMA_MODELS_DIR=' '\n", []string{own}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			got := meaningOf(t, c.env+"ORCH_MODEL=m\n").Host.Models
			if !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(c.want))) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// TestAHomeThatNobodyKnowsIsLeftToUnits, which says at that line that a path has to be absolute.
func TestAHomeThatNobodyKnowsIsLeftToUnits(t *testing.T) {
	nowhere := func(string) (string, bool) { return "", false }
	r, faults := Import(envOf("HF_HOME=~/hf\nORCH_MODEL=m\n"), nil, nowhere)
	if r != nil || len(faults) != 1 || !strings.HasPrefix(faults[0].Error(), ".env:1: HF_HOME: ") {
		t.Errorf("%v", faults)
	}
}

func TestVolumesAreFolders(t *testing.T) {
	const command = "    command: llama-server -m /models/a.gguf --port 1 -c 16384\n"
	for _, c := range []struct {
		rule, volume string
		want         string
	}{
		{"a folder of this machine", "/srv/gguf:/models", "/srv/gguf"},
		{"read only", "/srv/gguf:/models:ro", "/srv/gguf"},
		{"beside the compose file", "./gguf:/models", "/home/user/stack/gguf"},
		{"in the home directory", "~/gguf:/models", "/home/user/gguf"},
		{"by a variable with a stand-in", "${GGUF_DIR:-/srv/x}:/models", "/srv/x"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			m := meaningOf(t, "A=1\n", "services:\n  llama_odin:\n"+command+"    volumes: [\""+c.volume+"\"]\n")
			if !slices.Contains(m.Host.Models, c.want) || m.Tiers[0].Variants[0].Model != "a.gguf" {
				t.Errorf("%q, want %q; the model is %q", m.Host.Models, c.want, m.Tiers[0].Variants[0].Model)
			}
		})
	}
}

// TestAFileIsNoComposeFile: what cannot be one is refused before anything is made of it, with the line where there is one.
func TestAFileIsNoComposeFile(t *testing.T) {
	deep := "a: &a\n  <<: *a\n  services: {x: {command: vllm serve m --port 1}}\nservices: *a\n" // an anchor that holds itself
	for _, c := range []struct{ rule, file, want string }{
		{"larger than any", "#" + strings.Repeat(" ", maxFile), "c0.yml: is larger than"},
		{"a list", "- a\n- b\n", "c0.yml: has no services"},
		{"a tab as indentation", "services:\n\ta: 1\n", "c0.yml:2: is no YAML: found character that cannot start any token"},
		{"an alias of nothing", "services: *x\n", "c0.yml: is no YAML: unknown anchor 'x' referenced"},
		{"an anchor that holds itself", deep, "c0.yml: "},
	} {
		t.Run(c.rule, func(t *testing.T) {
			r, faults := Import(envOf("A=1\n"), []Source{{Name: "c0.yml", Text: []byte(c.file)}}, atHome)
			if r != nil || len(faults) == 0 || !strings.HasPrefix(faults[0].Error(), c.want) {
				t.Errorf("%v, want %q", faults, c.want)
			}
		})
	}
}

// TestVariantsOfOneTierHaveTheirOwnNames, and one port: the first that is named.
func TestVariantsOfOneTierHaveTheirOwnNames(t *testing.T) {
	service := func(name, command string) string { return fmt.Sprintf("  %s:\n    command: %q\n", name, command) }
	const gguf = " --port ${ORCH_PORT} -c 16384 -m "
	m := meaningOf(t, "ORCH_PORT=8001\n", "services:\n"+
		service("vllm_orch", "vllm serve qwen3 --max-model-len 16384 --port ${ORCH_PORT}")+
		service("llama_orch", "llama-server -ngl 99"+gguf+"a.gguf")+
		service("llama_orch_b", "llama-server"+gguf+"b.gguf")+
		service("llama_orch_c", "llama-server"+gguf+"c.gguf")+
		service("llama_orch_d", "llama-server --port ${LLAMA_ORCH_PORT:-8099} -c 16384 -m d.gguf"))
	if len(m.Tiers) != 1 || m.Tiers[0].Port != 8001 {
		t.Fatalf("%+v", m.Tiers)
	}
	var got []string
	for _, v := range m.Tiers[0].Variants {
		got = append(got, v.Name+" "+v.Model)
	}
	want := []string{"vllm qwen3", "llama a.gguf", "llama-2 b.gguf", "llama-3 c.gguf", "llama-4 d.gguf"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

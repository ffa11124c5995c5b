package compose

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tierd/tierd/units"
)

// importService imports one service with the given YAML beneath its name.
func importService(name, yaml, env string) (*Result, []Fault) {
	file := "services:\n  " + name + ":\n"
	for line := range strings.Lines(yaml) {
		file += "    " + line
	}
	return Import(envOf(env), []Source{{Name: "c.yml", Text: []byte(file)}}, atHome)
}

func TestCommands(t *testing.T) {
	const env = "P=8001\nM=org/model\nCTX=32768\nTHOR_PORT=8002\nARGS=--max-num-seqs 3 --enforce-eager\n"
	for _, c := range []struct {
		name, service, command string
		tier, engine, want     string // want: model context parallel threads, and what else is set
	}{
		{"a text is split as a shell does", "vllm_thor", `vllm serve "$M" --port $THOR_PORT --max-model-len '${CTX}'`, "thor", "vllm", "org/model 32K 4 0"},
		{"a list is not", "vllm_thor", `["vllm", "serve", "$M", "--port", "8001", "--max-model-len", "32768"]`, "thor", "vllm", "org/model 32K 4 0"},
		{"a value behind a sign", "vllm_thor", "vllm serve $M --port=8001 --max-model-len=$CTX --max-num-seqs=7", "thor", "vllm", "org/model 32K 7 0"},
		{"a variable with several words", "vllm_thor", "vllm serve $M --port 8001 --max-model-len $CTX $ARGS", "thor", "vllm", "org/model 32K 3 0 --enforce-eager"},
		{"vLLM's older program", "vllm_thor", "python3 -m vllm.entrypoints.openai.api_server --model $M --port 8001 --max-model-len $CTX", "thor", "vllm", "org/model 32K 4 0"},
		{"a program by its path", "vllm_thor", "/opt/venv/bin/vllm serve $M --port 8001 --max-model-len $CTX", "thor", "vllm", "org/model 32K 4 0"},
		{"the port's variable names the agent", "anything", "vllm serve $M --port ${THOR_PORT} --max-model-len $CTX", "thor", "vllm", "org/model 32K 4 0"},
		{"a stand-in belongs to its agent", "x", "vllm serve $M --port ${LLAMA_ORCH_PORT:-8011} --max-model-len $CTX", "orch", "vllm", "org/model 32K 4 0"},
		{"else the service's name does", "llama_orchestrator", "llama-server -m /models/a.gguf --port 1 -c 4096", "orch", "llama", "a.gguf 4K 1 0"},
		{"an unknown one keeps its name", "llama-my_own", "llama-server -m /models/a.gguf --port 1 -c 4096", "my-own", "llama", "a.gguf 4K 1 0"},
		{"a shell is looked into", "llama_odin", "bash -lc \"\n  llama-server -m /models/a.gguf --port 1 -c 8192 -t 9 -np 2\n\"", "odin", "llama", "a.gguf 4K 2 9"},
		{"layers on the GPU want an engine that may open it", "llama_odin", "llama-server -m /models/a.gguf --port 1 -c 4096 -ngl 99 -fa", "odin", "llama-radv", "a.gguf 4K 1 0 fa=on"},
		{"no layers do not", "llama_odin", "llama-server -m /models/a.gguf --port 1 -c 4096 -ngl 0 --flash-attn off --mlock", "odin", "llama", "a.gguf 4K 1 0 fa=off load=mlock"},
		{"some layers are written", "llama_odin", "llama-server -m a.gguf --port 1 -c 4096 -ngl 20", "odin", "llama-radv", "a.gguf 4K 1 0 layers=20"},
		{"a number below zero is a flag's value", "llama_odin", "llama-server -m a.gguf --port 1 -c 4096 -ngl -1 --keep -1", "odin", "llama-radv", "a.gguf 4K 1 0 --keep -1"},
		{"slots share the context of llama.cpp", "llama_odin", "llama-server -m a.gguf --port 1 -c 65536 -np 4", "odin", "llama", "a.gguf 16K 4 0"},
		{"one command of several", "llama_odin", "bash -c 'cd /models; ls | sort && exec llama-server -m a.gguf --port 1 -c 4096 2>&1'", "odin", "llama", "a.gguf 4K 1 0"},
		{"a list for a shell", "llama_odin", `["bash", "-lc", "llama-server -m /models/a.gguf --port 1 -c 4096"]`, "odin", "llama", "a.gguf 4K 1 0"},
		{"the port's variable behind a sign", "x", "vllm serve $M --port=${THOR_PORT} --max-model-len $CTX", "thor", "vllm", "org/model 32K 4 0"},
		{"a parser that is written counts", "vllm_thor", "vllm serve qwen3 --port 1 --max-model-len 4096 --enable-auto-tool-choice --tool-call-parser xml", "thor", "vllm", "qwen3 4K 4 0 tools=xml"},
		{"what tierd sets itself is left out", "vllm_thor", "vllm serve $M --host 127.0.0.1 --port 1 --max-model-len 4096 --served-model-name x --dtype auto --enable-prefix-caching", "thor", "vllm", "org/model 4K 4 0"},
		{"another type of numbers is passed on", "vllm_thor", "vllm serve $M --port 1 --max-model-len 4096 --dtype float16", "thor", "vllm", "org/model 4K 4 0 --dtype float16"},
	} {
		t.Run(c.name, func(t *testing.T) {
			command := fmt.Sprintf("command: %s\n", c.command)
			if !strings.HasPrefix(c.command, "[") {
				command = fmt.Sprintf("command: %q\n", c.command)
			}
			r, faults := importService(c.service, command, env)
			if r == nil {
				t.Fatal(faults)
			}
			config, _ := units.ParseConfig("tiers.toml", r.TOML)
			tier, ok := config.Tier(c.tier)
			if !ok {
				t.Fatalf("no tier %s:\n%s", c.tier, r.TOML)
			}
			v := tier.Variants[0]
			got := fmt.Sprintf("%s %dK %d %d", v.Model, v.Context/1024, v.Parallel, v.Threads)
			if v.FlashAttention != "" && strings.Contains(string(r.TOML), "flash_attention") {
				got += " fa=" + v.FlashAttention
			}
			if strings.Contains(string(r.TOML), "load_mode") {
				got += " load=" + v.LoadMode
			}
			if v.GPULayers != nil {
				got += fmt.Sprint(" layers=", *v.GPULayers)
			}
			if v.Tools != "" {
				got += " tools=" + v.Tools
			}
			for _, a := range v.ExtraArgs {
				got += " " + a
			}
			if got != c.want || v.Engine != c.engine {
				t.Errorf("%q on %s, want %q on %s\n%s", got, v.Engine, c.want, c.engine, r.TOML)
			}
		})
	}
}

// The images of the engines' makers start the server by themselves.
func TestACommandOfArgumentsAlone(t *testing.T) {
	for _, c := range []struct{ name, yaml, engine string }{
		{"llama.cpp's", "image: ghcr.io/ggml-org/llama.cpp:server\ncommand: -m /models/a.gguf --port 1 -c 32768", "llama"},
		{"on the GPU by ROCm", "image: ghcr.io/ggml-org/llama.cpp:server-rocm-b6000\ncommand: [-m, /models/a.gguf, --port, 1, -c, 32768, -ngl, 99]", "llama-rocm"},
		{"vLLM's", "image: vllm/vllm-openai-rocm:v0.20\ncommand: --model org/m --port 1 --max-model-len 32768", "vllm"},
		{"another program of the image", "image: ghcr.io/ggml-org/llama.cpp:full\ncommand: --server -m /models/a.gguf", ""},
		{"another entry", "image: ghcr.io/ggml-org/llama.cpp:server\nentrypoint: [sleep]\ncommand: [inf]", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, faults := importService("vllm_odin", c.yaml+"\n", "")
			if r == nil {
				if c.engine != "" {
					t.Fatal(faults)
				}
				return
			}
			config, _ := units.ParseConfig("tiers.toml", r.TOML)
			odin, _ := config.Tier("odin")
			if v := odin.Variants[0]; v.Engine != c.engine || v.Context != 32<<10 || odin.Port != 1 {
				t.Errorf("%+v", v)
			}
		})
	}
}

func TestServiceNotes(t *testing.T) {
	const command = "command: vllm serve m --port 1 --max-model-len 32768"
	for _, c := range []struct {
		name, yaml, env string
		want            string
	}{
		{"a folder that no server has", command, "HF_HOME=/srv/hf\n", "dropped .env:1 HF_HOME is a folder that no server has: if there are models in it, add it to `models` in [host]"},
		{"a folder that is not said", command, "HF_HOME=\n", "dropped .env:1 HF_HOME is empty"},
		{"an image is not taken", "image: x:latest\n" + command, "", "dropped c.yml:3 vllm_thor.image"},
		{"a mapping of variables", command + "\nenvironment:\n  HSA_OVERRIDE_GFX_VERSION: 11.5.1", "", "dropped c.yml:5 vllm_thor.environment.HSA_OVERRIDE_GFX_VERSION"},
		{"a proxy", command + "\nenvironment: [HTTP_PROXY=http://x]", "", "dropped c.yml:4 vllm_thor.environment.HTTP_PROXY"},
		{"a variable without value", command + "\nenvironment: [DEBUG]", "", "warning c.yml:4 vllm_thor.environment.DEBUG"},
		{"a variable without value in a mapping", command + "\nenvironment:\n  DEBUG:", "", "warning c.yml:5 vllm_thor.environment.DEBUG has no value; write it into env if the engine needs it"},
		{"a folder as a mapping", command + "\nvolumes:\n- type: bind\n  source: ./m\n  target: /models", "", "changed c.yml:5 vllm_thor.volumes is relative; written as \"/home/user/stack/m\""},
		{"a volume as a mapping", command + "\nvolumes:\n- {type: volume, source: m, target: /x}", "", "dropped c.yml:5 vllm_thor.volumes is for containers: tiers see the models they serve and a cache of their own"},
		{"a volume of Docker's", command + "\nvolumes: [models:/models]", "", "warning c.yml:4 vllm_thor.volumes"},
		{"a volume that holds no models", command + "\nvolumes: [/srv/x:/x:ro]", "", "dropped c.yml:4 vllm_thor.volumes"},
		{"another env file", command + "\nenv_file: other.env", "", "warning c.yml:4 vllm_thor.env_file"},
		{"the sandbox in one", command + "\nprivileged: true\nipc: host", "", "dropped c.yml:2 vllm_thor"},
		{"FP8", command + " --kv-cache-dtype fp8", "", "warning c.yml:3 vllm_thor --kv-cache-dtype"},
		{"a variable that no server uses", command, "ODIN_MODEL=m\n", "dropped .env:1 ODIN_MODEL"},
		{"a variable that is nowhere", command + " --x ${Y}", "", "warning c.yml:3 Y"},
		{"a container's path of a model", "command: vllm serve /models/m --port 1 --max-model-len 32768", "", "changed c.yml:3 vllm_thor"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, faults := importService("vllm_thor", c.yaml+"\n", c.env)
			if r == nil {
				t.Fatal(faults)
			}
			var got []string
			for _, n := range r.Notes {
				got = append(got, fmt.Sprintf("%s %s %s %s", n.Kind, n.Place, n.Name, n.Text))
			}
			if !slices.ContainsFunc(got, func(n string) bool { return n == c.want || strings.HasPrefix(n, c.want+" ") }) {
				t.Errorf("no %q in %q", c.want, got)
			}
		})
	}
}

func TestComposeFaults(t *testing.T) {
	for _, c := range []struct {
		name, file, want string
	}{
		{"no YAML", "services:\n  a: [\n", "c.yml:2: is no YAML"},
		{"nothing", "", "c.yml: is empty"},
		{"no services", "a: 1\n", "c.yml: has no services"},
		{"services that are none", "services: 1\n", "c.yml: has no services"},
		{"none with a server", "services:\n  ollama: {command: ollama serve}\n", "c.yml: no service of the compose files runs"},
		{"a quote that is not closed", "services:\n  a: {command: \"vllm serve 'm\"}\n", "c.yml:2: has a command with a quote"},
		{"a sign that is no variable", "services:\n  a: {command: \"vllm serve ${\"}\n", "c.yml:2: has a $"},
		{"an unknown agent without a port", "services:\n  a: {command: vllm serve m --max-model-len 4096}\n", "c.yml:2: tier a has no port: set A_PORT"},
		{"a port that is none", "services:\n  a: {command: vllm serve m --port 70000 --max-model-len 4096}\n", "c.yml:2: a: port of tier \"a\": 70000 is not a port"},
		{"a name that is none", "services:\n  Ä: {command: vllm serve m --port 7 --max-model-len 4096}\n", "c.yml:2: tier \"ä\": a name has small letters"},
		{"two on one port", "services:\n  a: {command: vllm serve m --port 7 --max-model-len 4096}\n  b: {command: vllm serve m --port 7 --max-model-len 4096}\n",
			"c.yml:3: b: port 7 of tier \"b\" is already that of tier \"a\""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, faults := Import(envOf("A=1\n"), []Source{{Name: "c.yml", Text: []byte(c.file)}}, atHome)
			if r != nil || len(faults) == 0 || !strings.HasPrefix(faults[0].Error(), c.want) {
				t.Errorf("%v, want %q", faults, c.want)
			}
		})
	}
}

// TestAServerThatIsLeftOutIsSaid: where nothing is left, the reason is a fault and not a warning that nobody sees.
func TestAServerThatIsLeftOutIsSaid(t *testing.T) {
	r, faults := importService("llama_odin", "command: llama-server -m /models/${ODIN_GGUF} --port 1\n", "ODIN_PORT=1\n")
	got := fmt.Sprint(faults)
	for _, want := range []string{"c.yml: no service", "c.yml:2: llama_odin has no model", "c.yml:3: ODIN_GGUF is set nowhere"} {
		if r != nil || !strings.Contains(got, want) {
			t.Errorf("no %q in %s", want, got)
		}
	}
}

func TestValueFaults(t *testing.T) {
	for _, c := range []struct {
		name, env, want string
	}{
		{"a port that is a word", "ORCH_PORT=x\nORCH_MODEL=m\n", `.env:1: ORCH_PORT: port in [tier.orch] must be a whole number`},
		{"a share that is none", "ORCH_MODEL=m\nORCH_GPU_UTIL=1.5\n", ".env:2: ORCH_GPU_UTIL is not a number from 0 to 1"},
		{"a share that would be a line", "ORCH_MODEL=m\nORCH_GPU_UTIL=\"0\\nx=1\"\n", ".env:2: ORCH_GPU_UTIL is not a number from 0 to 1"},
		{"a time that is none", "ODIN_MODEL=m\nBIFROST_ODIN_TTL=20m\n", ".env:2: BIFROST_ODIN_TTL is not a number of seconds above 0"},
		{"a context of nothing", "ORCH_MODEL=m\nORCH_MAX_LEN=0\n", `.env:2: ORCH_MAX_LEN: orch/vllm has no context`},
		{"a GGUF file for vLLM", "ORCH_MODEL=m.gguf\n", ".env:1: ORCH_MODEL: model of orch/vllm: vLLM loads folders"},
		{"a planner in the clear", "ORCH_MODEL=m\nCLOUD_PLANNER_MODEL=g\nOPENAI_BASE_URL=http://example.com/v1\n", ".env:3: OPENAI_BASE_URL: url of orch/cloud"},
		{"a known and an unknown stack on one port", "ORCH_MODEL=m\nTHOR_MODEL=m\n", ".env:2: port 8001 of tier \"thor\" is already that of tier \"orch\""},
		{"nothing", "", ".env: there is no model server in it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, faults := Import(envOf(c.env), nil, atHome)
			if r != nil || len(faults) != 1 || !strings.HasPrefix(faults[0].Error(), c.want) {
				t.Errorf("%v, want %q", faults, c.want)
			}
		})
	}
}

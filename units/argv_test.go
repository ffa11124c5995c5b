package units

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// engineArgv is what stands behind the shim's "--".
func engineArgv(t *testing.T, u Unit) string {
	t.Helper()
	args := argv(t, u)
	i := slices.Index(args, "--")
	if i < 0 {
		t.Fatalf("no -- in %v", args)
	}
	return strings.Join(args[i+1:], " ")
}

// shimFlags are those before it.
func shimFlags(t *testing.T, u Unit) []string {
	t.Helper()
	args := argv(t, u)
	if i := slices.Index(args, "--"); i >= 0 {
		args = args[:i]
	}
	return args
}

func TestVLLMsCommandLine(t *testing.T) {
	const rest = " --uds /run/tier/tier-coder/engine.sock --served-model-name coder org/big --max-model-len 16384"
	for _, row := range []struct {
		rule  string
		edits []string
		host  Host
		want  string
		kv    string // what it is told of its KV cache, if it knows the flag
	}{
		{"an exact KV cache", nil, Host{},
			"/opt/vllm/bin/vllm serve org/big" + rest + " --max-num-seqs 4 --max-num-batched-tokens 2048 --enable-prefix-caching", "4294967296"},
		{"the part of memory that is asked for comes from the charge", nil, Host{MemTotal: 100 * GiB},
			"/opt/vllm/bin/vllm serve org/big" + rest + " --max-num-seqs 4 --max-num-batched-tokens 2048 --gpu-memory-utilization 0.2 --enable-prefix-caching", "4294967296"},
		{"on the GPU it is one of what HIP calls all", nil, Host{MemTotal: 100 * GiB, GPUTotal: 80 * GiB},
			"/opt/vllm/bin/vllm serve org/big" + rest + " --max-num-seqs 4 --max-num-batched-tokens 2048 --gpu-memory-utilization 0.25 --enable-prefix-caching", "4294967296"},
		{"or from the file", []string{`kv_memory = "4GiB"`, "gpu_utilization = 0.35"}, Host{MemTotal: 100 * GiB},
			"/opt/vllm/bin/vllm serve org/big" + rest + " --max-num-seqs 4 --max-num-batched-tokens 2048 --gpu-memory-utilization 0.35 --enable-prefix-caching", ""},
		{"without either it is vLLM's own", []string{`kv_memory = "4GiB"`, ""}, Host{MemTotal: 100 * GiB},
			"/opt/vllm/bin/vllm serve org/big" + rest + " --max-num-seqs 4 --max-num-batched-tokens 2048 --enable-prefix-caching", ""},
		{"tool calls", []string{`kv_memory = "4GiB"`, "tools = \"hermes\"\nparallel = 2\nprefix_caching = false\nbatch_tokens = 512"}, Host{},
			"/opt/vllm/bin/vllm serve org/big" + rest + " --max-num-seqs 2 --max-num-batched-tokens 512 --enable-auto-tool-choice --tool-call-parser hermes --no-enable-prefix-caching", ""},
		{"further flags come last", []string{`kv_memory = "4GiB"`, `extra_args = ["--enforce-eager", "--seed", "7"]`}, Host{},
			"/opt/vllm/bin/vllm serve org/big" + rest + " --max-num-seqs 4 --max-num-batched-tokens 2048 --enable-prefix-caching --enforce-eager --seed 7", ""},
		{"a program without the word serve gets --model", []string{`command = ["/opt/vllm/bin/vllm", "serve"]`, `command = ["/opt/l/bin/vllm-server"]`}, Host{},
			"/opt/l/bin/vllm-server --model org/big" + rest + " --max-num-seqs 4 --max-num-batched-tokens 2048 --enable-prefix-caching", "4294967296"},
		{"names that are told apart once", []string{`kv_memory = "4GiB"`, `served_name = "big"`}, Host{},
			"/opt/vllm/bin/vllm serve org/big --uds /run/tier/tier-coder/engine.sock --served-model-name big coder org/big --max-model-len 16384 --max-num-seqs 4 --max-num-batched-tokens 2048 --enable-prefix-caching", ""},
	} {
		t.Run(row.rule, func(t *testing.T) {
			u := unit(t, edit(t, row.edits...), row.host, "tier-coder.service")
			if got := engineArgv(t, u); got != row.want {
				t.Errorf("got\n%s\nwant\n%s", got, row.want)
			}
			if got := preferred(t, u, "--kv-cache-memory-bytes"); got != row.kv {
				t.Errorf("its KV cache is %q, want %q", got, row.kv)
			}
		})
	}
}

// preferred is the value of a flag that the engine gets if its version knows it.
func preferred(t *testing.T, u Unit, flag string) string {
	t.Helper()
	for _, word := range shimFlags(t, u) {
		if value, ok := strings.CutPrefix(word, "--prefer="+flag+" "); ok {
			return value
		}
	}
	return ""
}

func TestLlamaServersCommandLine(t *testing.T) {
	const command = `command = ["/usr/bin/llama-server"]`
	const memory = `memory = "2GiB"`
	const start = "/usr/bin/llama-server --host /run/tier/tier-utility/engine.sock -m small.gguf --alias utility"
	for _, row := range []struct {
		rule  string
		edits []string
		want  string
		load  string
	}{
		{"on the CPU", nil, start + " -c 8192 -np 1 -fa on --metrics --jinja", "--load-mode mmap"},
		{"each of the parallel requests has the whole context", []string{memory, memory + "\nparallel = 3\nthreads = 8"},
			start + " -c 24576 -np 3 -t 8 -fa on --metrics --jinja", "--load-mode mmap"},
		{"on the GPU all layers go there", []string{command, command + "\ngpu = true"},
			start + " -c 8192 -np 1 -ngl 999 -fa on --metrics --jinja", "--load-mode none|--no-mmap"},
		{"or as many as are written", []string{command, command + "\ngpu = true", memory, memory + "\ngpu_layers = 0"},
			start + " -c 8192 -np 1 -ngl 0 -fa on --metrics --jinja", "--load-mode none|--no-mmap"},
		{"other ways", []string{memory, memory + "\nflash_attention = \"off\"\nload_mode = \"mlock\"\nserved_name = \"u\"\nextra_args = [\"-b\", \"64\"]"},
			"/usr/bin/llama-server --host /run/tier/tier-utility/engine.sock -m small.gguf --alias u -c 8192 -np 1 -fa off --metrics --jinja -b 64", "--load-mode mlock|--mlock"},
	} {
		t.Run(row.rule, func(t *testing.T) {
			u := unit(t, edit(t, row.edits...), Host{}, "tier-utility.service")
			if got := engineArgv(t, u); got != row.want {
				t.Errorf("got\n%s\nwant\n%s", got, row.want)
			}
			for _, prefer := range []string{row.load, "--fit off|-fit off", "--sse-ping-interval 1", "--no-ui|--no-webui",
				"--cache-ram 0", "--ctx-checkpoints 3|--swa-checkpoints 3"} {
				if !slices.Contains(shimFlags(t, u), "--prefer="+prefer) {
					t.Errorf("no --prefer=%s in %v", prefer, shimFlags(t, u))
				}
			}
		})
	}
}

func TestTheShimIsToldWhatItNeeds(t *testing.T) {
	u := unit(t, edit(t, "port = 8012", "port = 8012\ndrain = \"7s\"", `memory = "2GiB"`, "memory = \"2GiB\"\nload_timeout = \"9m\"\nstall_timeout = \"3m\""),
		Host{}, "tier-utility.service")
	want := []string{
		"/usr/lib/tierd/tier-shim", "run", "--tier=utility", "--variant=llama", "--engine=llama", "--socket=/run/tier/tier-utility/engine.sock",
		"--served=utility", "--memory=2147483648", "--load-timeout=9m0s", "--stall-timeout=3m0s", "--drain=7s",
	}
	if got := shimFlags(t, u); !slices.Equal(got[:len(want)], want) {
		t.Errorf("got %v", got)
	}
}

func TestARemoteTierForwards(t *testing.T) {
	u := unit(t, edit(t, `key = "cloud-key"`, "key = \"cloud-key\"\nstall_timeout = \"2m\""), Host{}, "tier-coder-cloud.service")
	want := "/usr/lib/tierd/tier-shim remote --tier=coder --socket=/run/tier/tier-coder-cloud/engine.sock --url=https://api.example.com/v1" +
		" --model=large --memory=134217728 --load-timeout=20m0s --timeout=2m0s --drain=30s --key=cloud-key"
	if got := strings.Join(argv(t, u), " "); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	without := unit(t, edit(t, "key = \"cloud-key\"\n", ""), Host{}, "tier-coder-cloud.service")
	if slices.ContainsFunc(argv(t, without), func(a string) bool { return strings.HasPrefix(a, "--key") }) {
		t.Errorf("a key for a server that wants none: %v", argv(t, without))
	}
}

// environment returns a unit's variables.
func environment(t *testing.T, u Unit) map[string]string {
	t.Helper()
	env := map[string]string{}
	for _, line := range one[[]string](t, u, "Environment") {
		k, v, _ := strings.Cut(line, "=")
		if _, twice := env[k]; twice {
			t.Errorf("%s twice", k)
		}
		env[k] = v
	}
	return env
}

func TestEveryCacheIsInTheDirectoryOfTheTier(t *testing.T) {
	p, _ := MakePlan(parse(t, string(shipped(t))), strixHalo())
	for _, u := range p.Units {
		env := environment(t, u)
		for _, name := range []string{"HOME", "XDG_CACHE_HOME"} {
			if u.Engine != KindRemote && env[name] != "/var/cache/tier/"+u.Tier {
				t.Errorf("%s: %s=%s", u.Name, name, env[name])
			}
		}
		for name, value := range env {
			if strings.Contains(value, "%") {
				t.Errorf("%s: %s=%s: specifiers are not expanded in transient units", u.Name, name, value)
			}
		}
		if env["TIERD_HASH"] != u.Hash {
			t.Errorf("%s: TIERD_HASH=%s, want %s", u.Name, env["TIERD_HASH"], u.Hash)
		}
	}
}

func TestEnginesStayOffTheNetwork(t *testing.T) {
	env := environment(t, unit(t, base, Host{}, "tier-coder.service"))
	for _, name := range []string{"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "VLLM_NO_USAGE_STATS", "DO_NOT_TRACK"} {
		if env[name] != "1" {
			t.Errorf("%s=%q", name, env[name])
		}
	}
	if env["TMPDIR"] != "/tmp" || env["VLLM_RPC_BASE_PATH"] != "/tmp" {
		t.Errorf("temporary files go to %q and %q", env["TMPDIR"], env["VLLM_RPC_BASE_PATH"])
	}
}

func TestTheFilesVariablesWin(t *testing.T) {
	u := unit(t, edit(t, `command = ["/opt/vllm/bin/vllm", "serve"]`, "command = [\"/opt/vllm/bin/vllm\", \"serve\"]\nenv = { A = \"engine\", B = \"engine\", HF_HOME = \"/x\" }",
		`kv_memory = "4GiB"`, "kv_memory = \"4GiB\"\nthreads = 6\nload_timeout = \"40m\"\nenv = { B = \"variant\" }"), Host{}, "tier-coder.service")
	env := environment(t, u)
	for name, want := range map[string]string{
		"A": "engine", "B": "variant", "HF_HOME": "/x", "OMP_NUM_THREADS": "6", "VLLM_ENGINE_READY_TIMEOUT_S": "2400",
		"PATH": "/opt/vllm/bin:/usr/local/bin:/usr/bin:/bin",
	} {
		if env[name] != want {
			t.Errorf("%s=%q, want %q", name, env[name], want)
		}
	}
}

func TestAStopHasTimeForItsWholeProtocol(t *testing.T) {
	text := edit(t, "port = 8002", "port = 8002\ndrain = \"1m\"")
	for name, want := range map[string]time.Duration{
		"tier-coder.service":       time.Minute + 25*time.Second, // drain, --shutdown-timeout 5, up to 15 on a GPU, the shim
		"tier-coder-cloud.service": time.Minute + 5*time.Second,
		"tier-utility.service":     30*time.Second + 15*time.Second,
	} {
		u := unit(t, text, Host{}, name)
		for _, p := range []string{"TimeoutStopUSec", "TimeoutAbortUSec"} {
			if got := one[uint64](t, u, p); got != uint64(want.Microseconds()) {
				t.Errorf("%s of %s is %d", p, name, got)
			}
		}
	}
}

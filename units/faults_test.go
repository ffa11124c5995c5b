package units

import (
	"fmt"
	"strings"
	"testing"
)

// Each row breaks base in one way and has the fault, or faults, that must come of it: exactly these.
var faultTable = []struct {
	rule  string
	edits []string
	want  string
}{
	{"an unknown key names the nearest one", []string{`memory = "2GiB"`, `memroy = "2GiB"`},
		`tiers.toml:37: unknown key "memroy" in [tier.utility.variant.llama]; did you mean "memory"?`},
	{"an unknown key that is like nothing stands alone", []string{`priority = 80`, `xyzzyplugh = 80`},
		`tiers.toml:14: unknown key "xyzzyplugh" in [tier.coder]`},
	{"a variant's key in its tier's table", []string{`priority = 80`, `context = "8K"`},
		`tiers.toml:14: unknown key "context" in [tier.coder]; it belongs in [tier.coder.variant.NAME]`},
	{"a tier's key in a variant's table", []string{`memory = "2GiB"`, "memory = \"2GiB\"\nidle_stop = \"20m\""},
		`tiers.toml:38: unknown key "idle_stop" in [tier.utility.variant.llama]; it belongs in [tier.utility]`},
	{"an unknown table", []string{"[mode.both]", "[mood.both]", `default_mode = "both"`, ""},
		`tiers.toml:39: unknown key "mood"; did you mean "mode"?`},
	{"text where a number belongs", []string{"port = 8002", `port = "8002"`},
		`tiers.toml:13: port in [tier.coder] must be a whole number, not the text "8002"`},
	{"a number where text belongs", []string{`start = "boot"`, "start = 1"},
		`tiers.toml:31: start in [tier.utility] must be text in quotes, not 1`},
	{"a number where a list belongs", []string{`tiers = ["coder", "utility"]`, "tiers = 3"},
		`tiers.toml:40: tiers in [mode.both] must be a list of texts, as in ["a", "b"], not 3`},
	{"a list with a number in it", []string{`models = ["/models"]`, `models = ["/models", 7]`},
		`tiers.toml:3: models in [host] must be a list of texts, as in ["a", "b"], not a list`},
	{"a date is a wrong type too", []string{`start = "boot"`, "start = 2026-11-23"},
		`tiers.toml:31: start in [tier.utility] must be text in quotes, not a date`},
	{"a value where a table belongs", []string{"[mode.both]\ntiers = [\"coder\", \"utility\"]", "[mode]\nboth = 1", `default_mode = "both"`, ""},
		`tiers.toml:40: both in [mode] must be a table, as in [mode.both], not 1`},
	{"a list of tables where names belong", []string{"[mode.both]", "[[mode]]", `default_mode = "both"`, ""},
		`tiers.toml:39: mode must be tables with a name, as in [mode.NAME], not a list`},
	{"every fault of one line", []string{`memory = "2GiB"`, "memory = \"2GiB\"\nenv = { A = 1, B = 2 }"},
		`tiers.toml:38: A in [tier.utility.variant.llama.env] must be text in quotes, not 1
tiers.toml:38: B in [tier.utility.variant.llama.env] must be text in quotes, not 2`},
	{"decimal gigabytes are refused", []string{`"2GiB"`, `"2GB"`},
		`tiers.toml:37: memory in [tier.utility.variant.llama]: size "2GB" is not a number followed by GiB or MiB, as in "12GiB"`},
	{"bytes without a unit are refused", []string{`reserve = "4GiB"`, `reserve = 4`},
		`tiers.toml:2: reserve in [host] must be a size in quotes, as in "12GiB", not 4`},
	{"a context with a unit of bytes", []string{`context = "8K"`, `context = "8KiB"`},
		`tiers.toml:36: context in [tier.utility.variant.llama]: "8KiB" is not a number of tokens, as in "64K" or 65536`},
	{"a length of time without a unit", []string{`start = "boot"`, `drain = "30"`},
		`tiers.toml:31: drain in [tier.utility]: "30" is not a length of time, as in "30s", "20m" or "1h30m"`},
	{"only idle_stop can be never", []string{`start = "boot"`, `drain = "never"`},
		`tiers.toml:31: drain in [tier.utility]: "never" is not a length of time, as in "30s", "20m" or "1h30m"`},
	{"two tiers on one port", []string{"port = 8012", "port = 8002"},
		`tiers.toml:30: port 8002 of tier "utility" is already that of tier "coder" (line 13)`},
	{"a tier on the gateway's port", []string{"port = 8012", "port = 8000"},
		"tiers.toml:30: port 8000 of tier \"utility\" is already the gateway's own, which serves every tier (`port` in [gateway] changes it)"},
	{"a port out of range", []string{"port = 8012", "port = 80120"},
		`tiers.toml:30: port of tier "utility": 80120 is not a port; 1 to 65535`},
	{"a hold of nothing", []string{"port = 8012", "port = 8012\nhold = \"0s\""},
		`tiers.toml:31: hold of tier "utility": 0s is not within 1s to 1h0m0s`},
	{"a hold of a day", []string{"[mode.both]", "[gateway]\nhold = \"24h\"\n[mode.both]"},
		`tiers.toml:40: hold in [gateway]: 24h0m0s is not within 1s to 1h0m0s`},
	{"a limit below nothing", []string{"port = 8012", "port = 8012\nconcurrency = -1"},
		`tiers.toml:31: concurrency of tier "utility": -1 is not within 0 to 4096; 0 is no limit`},
	{"an answer of nothing", []string{"port = 8012", "port = 8012\noutput = 0"},
		`tiers.toml:31: output of tier "utility" is 0; leave it out, and an answer gets what its role needs`},
	{"an answer in bytes", []string{"port = 8012", "port = 8012\noutput = \"4KiB\""},
		`tiers.toml:31: output in [tier.utility]: "4KiB" is not a number of tokens, as in "64K" or 65536`},
	{"a way of keeping alive that there is not", []string{"port = 8012", "port = 8012\nkeepalive = \"pings\""},
		`tiers.toml:31: keepalive of tier "utility": "pings" is not "comments"; leave it out for streams that begin with the engine's first byte`},
	{"an unknown engine", []string{`engine = "llama"`, `engine = "lama"`},
		`tiers.toml:34: engine of utility/llama: there is no [engine.lama]; did you mean "llama"?`},
	{"no engine", []string{"engine = \"llama\"\n", "\n"},
		`tiers.toml:33: utility/llama has no engine; one of vllm, llama, remote`},
	{"an unknown tier in a mode", []string{`["coder", "utility"]`, `["coder", "utilty"]`},
		`tiers.toml:40: mode "both": there is no tier "utilty"; did you mean "utility"?`},
	{"an unknown variant in a mode", []string{`["coder", "utility"]`, `["coder/clod", "utility"]`},
		`tiers.toml:40: mode "both": tier "coder" has no variant "clod"; did you mean "cloud"?`},
	{"a tier twice in a mode", []string{`["coder", "utility"]`, `["coder", "coder/cloud"]`},
		`tiers.toml:40: mode "both" names tier "coder" twice; only one of its variants can run`},
	{"an unknown default mode", []string{`default_mode = "both"`, `default_mode = "bath"`},
		`tiers.toml:4: default_mode in [host]: there is no mode "bath"; did you mean "both"?`},
	{"units of two tiers with one name", []string{"[tier.utility]", "[tier.coder-cloud]", "[tier.utility.variant.llama]", "[tier.coder-cloud.variant.llama]", `["coder", "utility"]`, `["coder"]`},
		`tiers.toml:33: coder-cloud/llama and coder/cloud would both be tier-coder-cloud.service; rename one of them`},
	{"a name that tierd's own units have", []string{"[tier.utility]", "[tier.gateway]", "[tier.utility.variant.llama]", "[tier.gateway.variant.llama]", `["coder", "utility"]`, `["coder"]`},
		`tiers.toml:29: no tier can be called "gateway": tier-gateway.service is a part of tierd`},
	{"a name too long for a user", []string{"[tier.utility]", "[tier.abcdefghijklmnopqrstuvwxyz0]", "[tier.utility.variant.llama]", "[tier.abcdefghijklmnopqrstuvwxyz0.variant.llama]", `["coder", "utility"]`, `["coder"]`},
		`tiers.toml:29: tier "abcdefghijklmnopqrstuvwxyz0": the name has 27 characters; it is a part of a user's name, so at most 26 fit`},
	{"a name with other characters", []string{"[tier.utility]", `[tier."a/b"]`, "[tier.utility.variant.llama]", `[tier."a/b".variant.llama]`, `["coder", "utility"]`, `["coder"]`},
		`tiers.toml:29: tier "a/b": a name has small letters, digits and dashes, and begins and ends with a letter or digit`},
	{"names too long for a socket", []string{"[tier.coder.variant.cloud]", "[tier.coder.variant." + strings.Repeat("x", 80) + "]"},
		`tiers.toml:23: the names of coder/"` + strings.Repeat("x", 60) + `..." are too long: its socket's path would have 113 characters, and 107 is the limit`},
	{"an empty command", []string{`command = ["/usr/bin/llama-server"]`, `command = []`},
		`tiers.toml:10: command in [engine.llama] is empty; it names the program, as in ["/usr/bin/llama-server"]`},
	{"a relative command", []string{`command = ["/usr/bin/llama-server"]`, `command = ["llama-server"]`},
		`tiers.toml:10: command in [engine.llama]: "llama-server" is not an absolute path`},
	{"a tilde is not expanded", []string{`command = ["/usr/bin/llama-server"]`, `command = ["~/llama-server"]`},
		`tiers.toml:10: command in [engine.llama]: "~/llama-server" is not an absolute path; the system has no home, so write "/home/NAME" instead of "~"`},
	{"a command in a home directory", []string{`command = ["/usr/bin/llama-server"]`, `command = ["/home/me/llama/bin/llama-server"]`},
		"tiers.toml:10: command in [engine.llama]: \"/home/me/llama/bin/llama-server\" lies in a home directory, which tiers cannot see; name the folder of the whole program in `paths`, or install it under /opt"},
	{"a flag of tierd's in a command", []string{`command = ["/usr/bin/llama-server"]`, `command = ["/usr/bin/llama-server", "--port=1"]`},
		`tiers.toml:10: command in [engine.llama] must not contain --port: tierd sets it itself; leave it out`},
	{"a kind that there is not", []string{`command = ["/usr/bin/llama-server"]`, "command = [\"/x\"]\nkind = \"lama\""},
		`tiers.toml:11: kind in [engine.llama]: "lama" is none of vllm, llama, remote; did you mean "llama"?`},
	{"an engine whose kind nobody can guess", []string{"[engine.llama]", "[engine.mine]", `engine = "llama"`, `engine = "mine"`},
		`tiers.toml:9: [engine.mine] has no kind; write kind = "vllm", "llama" or "remote"`},
	{"a key that is the secret", []string{`key = "cloud-key"`, `api_key = "sk-abcdef"`},
		"tiers.toml:27: \"api_key\" in [tier.coder.variant.cloud] would be a secret in a file that every user can read. " + secretRemedy},
	{"a secret for a credential's name", []string{`key = "cloud-key"`, `key = "sk-proj-abcdef"`},
		"tiers.toml:27: key of coder/cloud looks like the secret itself; it is a credential's name. " + secretRemedy},
	{"a credential's name with odd characters", []string{`key = "cloud-key"`, `key = "../key"`},
		`tiers.toml:27: key of coder/cloud is not a credential's name: letters, digits, dots, dashes and underscores`},
	{"a secret in a variable", []string{`memory = "2GiB"`, "memory = \"2GiB\"\nenv = { HF_TOKEN = \"abc\" }"},
		"tiers.toml:38: env in [tier.utility.variant.llama]: HF_TOKEN looks like a secret, and every user can read a unit's environment. " + secretRemedy},
	{"a variable that systemd sets", []string{`memory = "2GiB"`, "memory = \"2GiB\"\nenv = { NOTIFY_SOCKET = \"x\" }"},
		`tiers.toml:38: env in [tier.utility.variant.llama]: NOTIFY_SOCKET is set by tierd and systemd; leave it out`},
	{"a password in an address", []string{"https://api", "https://me:pw@api"},
		"tiers.toml:25: url of coder/cloud holds a password; " + secretRemedy},
	{"an address in the clear", []string{"https://api", "http://api"},
		`tiers.toml:25: url of coder/cloud: "api.example.com" would be asked in the clear; write https://`},
	{"an address that is none", []string{"https://api", "api"},
		`tiers.toml:25: url of coder/cloud is not an address that begins with https://`},
	{"remote without an address", []string{"url = \"https://api.example.com/v1\"\n", "\n"},
		`tiers.toml:23: coder/cloud is remote and has no url, as in url = "https://api.example.com/v1"`},
	{"a flag that tierd sets, with the key to use", []string{`memory = "2GiB"`, "memory = \"2GiB\"\nextra_args = [\"-v\", \"--ctx-size\", \"9\"]"},
		"tiers.toml:38: extra_args of utility/llama must not contain --ctx-size: tierd sets it itself; write `context` in tiers.toml instead"},
	{"a secret in an argument", []string{`memory = "2GiB"`, "memory = \"2GiB\"\nextra_args = [\"--thing=hf_abc\", \"sk-abc\"]"},
		"tiers.toml:38: extra_args of utility/llama hold what looks like a secret, and every user can read a command line. " + secretRemedy},
	{"a cache that would grow with use", []string{`memory = "2GiB"`, "memory = \"2GiB\"\nextra_args = [\"-cram\", \"8192\"]"},
		"tiers.toml:38: extra_args of utility/llama must not contain -cram: tierd sets it itself; leave it out"},
	{"a charge of nothing", []string{`memory = "2GiB"`, `memory = "0GiB"`},
		"tiers.toml:37: memory of utility/llama is 0; leave it out, and it is worked out from the model's files"},
	{"vLLM takes underscores for dashes", []string{`kv_memory = "4GiB"`, "extra_args = [\"--max_model_len=5\"]"},
		"tiers.toml:21: extra_args of coder/vllm must not contain --max-model-len: tierd sets it itself; write `context` in tiers.toml instead"},
	{"adapters that vLLM would not take", []string{`kv_memory = "4GiB"`, `extra_args = ["--lora-modules", "=/a", "b=", "c=/c,d=/d", "e=/e", "e=/f", "coder=/g"]`},
		`tiers.toml:21: --lora-modules of coder/vllm: the adapter "=/a" has no name; write it as NAME=PATH
tiers.toml:21: --lora-modules of coder/vllm: the adapter "b=" has no path; write it as NAME=PATH
tiers.toml:21: --lora-modules of coder/vllm: "c=/c,d=/d" is neither NAME=PATH without a comma nor a JSON object with "name" and "path"; each adapter is a text of its own
tiers.toml:21: --lora-modules of coder/vllm: two adapters are called "e"; rename one of them
tiers.toml:21: --lora-modules of coder/vllm: an adapter cannot be called "coder", which is the model itself; rename it`},
	{"adapters without one", []string{`kv_memory = "4GiB"`, `extra_args = ["--lora-modules", "--enable-lora"]`},
		`tiers.toml:21: --lora-modules of coder/vllm names no adapter; write each behind it as NAME=PATH, or leave it out`},
	{"a key that means nothing to the engine", []string{`memory = "2GiB"`, "memory = \"2GiB\"\ntools = \"hermes\""},
		`tiers.toml:38: tools of utility/llama means nothing to a llama engine; it is for vllm`},
	{"layers for an engine without the GPU", []string{`memory = "2GiB"`, "memory = \"2GiB\"\ngpu_layers = 10"},
		`tiers.toml:38: gpu_layers of utility/llama: engine "llama" may not use the GPU; write gpu = true in [engine.llama]`},
	{"vLLM with a GGUF file", []string{`model = "org/big"`, `model = "org/big.gguf"`},
		`tiers.toml:18: model of coder/vllm: vLLM loads folders of safetensors, not a .gguf file; use an engine of kind "llama"`},
	{"more KV cache than memory", []string{`kv_memory = "4GiB"`, `kv_memory = "24GiB"`},
		`tiers.toml:21: kv_memory of coder/vllm: 24GiB is more than its whole memory of 20GiB`},
	{"two sizes of one KV cache", []string{`kv_memory = "4GiB"`, "kv_memory = \"4GiB\"\nenv = { VLLM_CPU_KVCACHE_SPACE = \"1\" }"},
		`tiers.toml:21: kv_memory of coder/vllm: VLLM_CPU_KVCACHE_SPACE in env would win over it silently; leave one of them out`},
	{"a model out of the folders", []string{`model = "small.gguf"`, `model = "../small.gguf"`},
		`tiers.toml:35: model of utility/llama: "../small.gguf" is neither a name below the folders of [host] nor an absolute path`},
	{"a model like a flag", []string{`model = "small.gguf"`, `model = "-small.gguf"`},
		`tiers.toml:35: utility/llama: a model or parser cannot begin with a dash`},
	{"a control character", []string{`model = "small.gguf"`, `model = "small\u0000.gguf"`},
		`tiers.toml:35: model in [tier.utility.variant.llama] holds a control character: "small\x00.gguf"`},
	{"a priority out of range", []string{"priority = 80", "priority = 101"},
		`tiers.toml:14: priority of tier "coder": 101 is not within 0 to 100`},
	{"a start that there is not", []string{`start = "boot"`, `start = "boots"`},
		`tiers.toml:31: start of tier "utility": "boots" is none of boot, demand, manual; did you mean "boot"?`},
	{"a negative number", []string{`memory = "2GiB"`, "memory = \"2GiB\"\nthreads = -1"},
		`tiers.toml:38: threads of utility/llama: -1 is not within 0 to 4096`},
	{"a number beyond 32 bits", []string{"priority = 80", "priority = 99999999999"},
		`tiers.toml:14: priority in [tier.coder] must be a whole number, not 99999999999`},
	{"a tier without variants", []string{"[tier.utility.variant.llama]\nengine = \"llama\"\nmodel = \"small.gguf\"\ncontext = \"8K\"\nmemory = \"2GiB\"\n", ""},
		`tiers.toml:29: tier "utility" has no variant; write [tier.utility.variant.NAME] with an engine and a model
tiers.toml:35: mode "both": tier "utility" has no variant ""`},
	{"a relative folder of models", []string{`models = ["/models"]`, `models = ["models"]`},
		`tiers.toml:3: models in [host]: "models" is not an absolute path`},
	{"an address that is no address", []string{"[mode.both]", "[gateway]\nlisten = \"all\"\n[mode.both]"},
		`tiers.toml:40: listen in [gateway]: "all" is not an address, as in "127.0.0.1"`},
	{"a path that opens every home", []string{`memory = "2GiB"`, "memory = \"2GiB\"\npaths = [\"/home\"]"},
		`tiers.toml:38: paths in [tier.utility.variant.llama]: "/home" would open what the sandbox is there to hide; name the folder itself`},
	{"a load mode that there is not", []string{`memory = "2GiB"`, "memory = \"2GiB\"\nload_mode = \"mmlock\""},
		`tiers.toml:38: load_mode of utility/llama: "mmlock" is none of none, mmap, mlock, mmap+mlock, dio; did you mean "mlock"?`},
	{"flash attention by a boolean in quotes", []string{`memory = "2GiB"`, "memory = \"2GiB\"\nflash_attention = \"true\""},
		`tiers.toml:38: flash_attention of utility/llama: "true" is none of on, off, auto`},
	{"more of the memory than there is", []string{`kv_memory = "4GiB"`, "gpu_utilization = 1.2"},
		`tiers.toml:21: gpu_utilization of coder/vllm: 1.2 is not within 0 to 0.95`},
	{"a fraction by a text", []string{`kv_memory = "4GiB"`, `gpu_utilization = "35 %"`},
		`tiers.toml:21: gpu_utilization in [tier.coder.variant.vllm] must be a number, not the text "35 %"`},
	{"a start that may not take any time", []string{`kv_memory = "4GiB"`, `load_timeout = "0s"`},
		`tiers.toml:21: load_timeout of coder/vllm must be above zero`},
	{"an answer that may not take any time", []string{`key = "cloud-key"`, `stall_timeout = "0s"`},
		`tiers.toml:27: stall_timeout of coder/cloud must be above zero`},
	{"a switch by a text", []string{`kv_memory = "4GiB"`, `prefix_caching = "yes"`},
		`tiers.toml:21: prefix_caching in [tier.coder.variant.vllm] must be true or false, not the text "yes"`},
	{"variables that are no table", []string{`kv_memory = "4GiB"`, `env = ["A=1"]`},
		`tiers.toml:21: env in [tier.coder.variant.vllm] must be a table of texts, as in { NAME = "value" }, not a list`},
	{"a variable with a name that no shell takes", []string{`kv_memory = "4GiB"`, `env = { "A B" = "1" }`},
		`tiers.toml:21: env in [tier.coder.variant.vllm]: "A B" is not a variable's name`},
	{"a variable of tierd's", []string{`kv_memory = "4GiB"`, `env = { TIERD_HASH = "1" }`},
		`tiers.toml:21: env in [tier.coder.variant.vllm]: TIERD_HASH is set by tierd and systemd; leave it out`},
	{"a relative path", []string{`kv_memory = "4GiB"`, `paths = ["lora"]`},
		`tiers.toml:21: paths in [tier.coder.variant.vllm]: "lora" is not an absolute path`},
	{"a variant's name with other characters", []string{"[tier.coder.variant.cloud]", "[tier.coder.variant.Cloud]"},
		`tiers.toml:23: variant "Cloud" of tier "coder": a name has small letters, digits and dashes, and begins and ends with a letter or digit`},
	{"a mode's name with other characters", []string{"[mode.both]", `[mode."b o"]`, `default_mode = "both"`, ""},
		`tiers.toml:39: mode "b o": a name has small letters, digits and dashes, and begins and ends with a letter or digit`},
	{"an engine's name with other characters", []string{"[engine.llama]", "[engine.Llama]\nkind = \"llama\"", `engine = "llama"`, `engine = "Llama"`},
		`tiers.toml:9: engine "Llama": a name has small letters, digits and dashes, and begins and ends with a letter or digit`},
	{"a variant whose tier is called otherwise", []string{"[tier.coder]", "[tier.gate]"},
		`tiers.toml:12: tier "gate" has no variant; write [tier.gate.variant.NAME] with an engine and a model
tiers.toml:16: tier "coder" has no port`},
	{"a remote engine with a command", []string{"[engine.llama]", "[engine.other]\nkind = \"remote\"\ncommand = [\"/bin/x\"]\n[engine.llama]"},
		`tiers.toml:11: [engine.other] is remote: it runs no command and uses no GPU`},
	{"a mode without tiers", []string{`tiers = ["coder", "utility"]`, "tiers = []"},
		`tiers.toml:40: mode "both" names no tier`},
	{"a port of the gateway's out of range", []string{"[mode.both]", "[gateway]\nport = -1\n[mode.both]"},
		`tiers.toml:40: port in [gateway]: -1 is not a port; 1 to 65535, or 0 for none`},
	{"a tier on the gateway's port where both are written", []string{"[mode.both]", "[gateway]\nport = 8012\n[mode.both]"},
		`tiers.toml:30: port 8012 of tier "utility" is already the gateway's own, which serves every tier (line 40)`},
	{"no model", []string{"model = \"small.gguf\"\n", "\n"},
		`tiers.toml:33: utility/llama has no model`},
	{"a model that is the whole disk", []string{`model = "small.gguf"`, `model = "/"`},
		`tiers.toml:35: model of utility/llama: "/" is neither a name below the folders of [host] nor an absolute path`},
	{"a model with a tilde", []string{`model = "small.gguf"`, `model = "~/small.gguf"`},
		`tiers.toml:35: model of utility/llama: "~/small.gguf" is neither a name below the folders of [host] nor an absolute path; the system has no home, so write "/home/NAME" instead of "~"`},
	{"more tokens than can be counted", []string{`context = "8K"`, "context = \"1024M\"\nparallel = 4"},
		`tiers.toml:36: context of utility/llama: 1073741824 tokens for each of 4 requests is more than an engine can count`},
	{"a url for a local engine", []string{`memory = "2GiB"`, "memory = \"2GiB\"\nurl = \"https://x\""},
		`tiers.toml:38: url of utility/llama means nothing to a llama engine; it is for remote`},
	{"arguments for a remote engine", []string{`key = "cloud-key"`, `extra_args = ["-v"]`},
		`tiers.toml:27: extra_args of coder/cloud means nothing to a remote engine; it is for vllm and llama`},
	{"nesting without an end", []string{"port = 8002", "port." + strings.Repeat("x.", 70) + "y = 8002"},
		`tiers.toml:13: keys or lists are nested more than 64 deep; this is no tiers.toml`},
	{"no TOML at all", []string{"port = 8002", "port = = 8002"},
		`tiers.toml:13: this is not TOML: expected value but found '=' instead`},
	{"a key twice", []string{"priority = 80", "port = 80"},
		`tiers.toml:14: this is not TOML: Key 'tier.coder.port' has already been defined.`},
}

func TestEachFaultHasItsOwnWords(t *testing.T) {
	for _, row := range faultTable {
		t.Run(row.rule, func(t *testing.T) {
			c, faults := ParseConfig("tiers.toml", []byte(edit(t, row.edits...)))
			if got := lines(faults); got != row.want {
				t.Errorf("got\n%s\nwant\n%s", got, row.want)
			}
			if c != nil {
				t.Error("a configuration came with faults that are no warnings")
			}
		})
	}
}

func TestAPortThatOnlyRootMayOpenIsAWarning(t *testing.T) {
	const rest = " is for root alone, unless net.ipv4.ip_unprivileged_port_start is lower, and the gateway is not root; take one from 1024 on"
	c, faults := ParseConfig("tiers.toml", []byte(edit(t, "port = 8002", "port = 1023", "port = 8012", "port = 1024")+"[gateway]\nport = 80\n"))
	if got, want := lines(faults), `tiers.toml:13: warning: port of tier "coder": 1023`+rest+"\n"+`tiers.toml:42: warning: port in [gateway]: 80`+rest; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if c == nil {
		t.Error("the configuration cannot be used")
	}
}

func TestAllFaultsComeInOneRunInFileOrder(t *testing.T) {
	text := edit(t, `reserve = "4GiB"`, `reserve = 4`, "port = 8002", "port = 8012", `engine = "llama"`, `engine = "lama"`,
		`default_mode = "both"`, `default_mode = "none"`, `["coder", "utility"]`, `["codr"]`)
	_, faults := ParseConfig("tiers.toml", []byte(text))
	var at []string
	for _, f := range faults {
		at = append(at, fmt.Sprint(f.Line))
	}
	if got := strings.Join(at, " "); got != "2 4 30 34 40" {
		t.Errorf("faults are at lines %s:\n%s", got, lines(faults))
	}
}

func TestAFaultNamesItsTier(t *testing.T) {
	_, faults := ParseConfig("tiers.toml", []byte(edit(t, "priority = 80", "priority = 800")))
	if len(faults) != 1 || faults[0].Tier != "coder" {
		t.Errorf("got %+v", faults)
	}
}

func TestNoFaultRepeatsASecret(t *testing.T) {
	for _, pairs := range [][]string{
		{`key = "cloud-key"`, `api_key = "sk-TOPSECRET"`},
		{`key = "cloud-key"`, `key = "sk-TOPSECRET"`},
		{"[mode.both]", "[gateway]\nkey = \"TOPSECRET\"\n[mode.both]"},
		{"[mode.both]", "[gateway]\napi_key = \"TOPSECRET\"\n[mode.both]"},
		{"[mode.both]", "[gateway.key]\na = \"TOPSECRET\"\n[mode.both]"},
		{"[mode.both]", "[gateway.key.a]\nkey = \"TOPSECRET\"\nsha256 = \"" + hashOfX + "\"\n[mode.both]"},
		{"[mode.both]", "[gateway.key.a]\nsha256 = \"TOPSECRET\"\n[mode.both]"},
		{"[mode.both]", "[gateway.key.a]\nsha256 = [\"TOPSECRET\"]\n[mode.both]"},
		{"https://api", "https://me:TOPSECRET@api"},
		{`memory = "2GiB"`, "memory = \"2GiB\"\nenv = { HF_TOKEN = \"TOPSECRET\" }"},
		{`memory = "2GiB"`, "memory = \"2GiB\"\nenv = { HARMLESS = \"sk-TOPSECRET\" }"},
	} {
		_, faults := ParseConfig("tiers.toml", []byte(edit(t, pairs...)))
		if len(faults) != 1 || strings.Contains(lines(faults), "TOPSECRET") {
			t.Errorf("%s: %s", pairs[1], lines(faults))
		}
	}
}

func TestFaultsOfGarbageAreBounded(t *testing.T) {
	var unknown strings.Builder
	for i := range 10000 {
		fmt.Fprintf(&unknown, "key%d = \"%s\"\n", i, strings.Repeat("x", 10))
	}
	var tiers, members strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&tiers, "[tier.t%d]\nport = 1\n", i)
		fmt.Fprintf(&members, "%q, %q, ", fmt.Sprint("member", i), fmt.Sprint("t", i))
	}
	for name, text := range map[string]string{
		"tiers":          tiers.String() + "[mode.m]\ntiers = [" + members.String() + "]",
		"deeper tables":  "[" + strings.Repeat("a.", 30_000) + "a]\n" + strings.Repeat("\n", 1000) + "x = 1",
		"deep keys":      strings.Repeat("a.", 30_000) + "a = 1",
		"unknown keys":   unknown.String(),
		"one long line":  "a = \"" + strings.Repeat("x", 200_000) + "\"",
		"one long key":   strings.Repeat("x", 200_000) + " = 1",
		"brackets":       strings.Repeat("[", 200_000),
		"deep lists":     "a = " + strings.Repeat("[", 2000) + strings.Repeat("]", 2000),
		"deep tables":    "[" + strings.Repeat("a.", 3000) + "a]",
		"zeros":          strings.Repeat("\x00", 200_000),
		"bytes":          strings.Repeat("\xff\xfe", 100_000),
		"line ends":      strings.Repeat("\n", 200_000) + "x",
		"more than read": strings.Repeat("#", 2_000_000),
	} {
		c, faults := ParseConfig("tiers.toml", []byte(text))
		if c != nil || len(faults) == 0 || len(faults) > maxFaults+1 {
			t.Errorf("%s: %d faults", name, len(faults))
		}
		for _, f := range faults {
			if len(f.Error()) > 400 || strings.Contains(f.Error(), "\n") {
				t.Errorf("%s: a fault of %d bytes: %.80s", name, len(f.Error()), f.Error())
			}
		}
	}
}

func TestTheRestOfManyFaultsIsCounted(t *testing.T) {
	text := base + "[nothing]\n"
	for i := range 30 {
		text = fmt.Sprintf("unknown%d = 1\n", i) + text
	}
	_, faults := ParseConfig("tiers.toml", []byte(text))
	if len(faults) != maxFaults+1 {
		t.Fatalf("%d faults", len(faults))
	}
	if got, want := faults[maxFaults].Error(), "tiers.toml:21: and 11 more from here on"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWarningsAloneAreNoReasonToRefuse(t *testing.T) {
	fs := &faults{file: "f"}
	for i := range 30 {
		fs.warn(i, "", "w")
	}
	for _, f := range fs.list() {
		if !f.Warning {
			t.Errorf("%v is no warning", f)
		}
	}
}

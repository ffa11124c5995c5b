package quirks

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// shipped are the quirks of the package alone.
func shipped(t testing.TB) Quirks {
	t.Helper()
	q, faults := Load(t.TempDir())
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	return q
}

// own loads the shipped quirks with files of the administrator's over them.
func own(t testing.TB, files map[string]string) (Quirks, []Fault) {
	t.Helper()
	root := t.TempDir()
	put(t, root, files)
	return Load(root)
}

func put(t testing.TB, root string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		if !strings.Contains(name, "/") {
			name = "etc/tierd/quirks.d/" + name
		}
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// about is the verdict on one topic, the zero one when there is none.
func about(q Quirks, topic string, query Query) Verdict {
	list := q.Lookup(query)
	if i := slices.IndexFunc(list, func(v Verdict) bool { return v.Topic == topic }); i >= 0 {
		return list[i]
	}
	return Verdict{}
}

// strix asks for a format in a vLLM of today on a Strix Halo.
func strix(f Format) Query {
	return Query{GFX: "gfx1151", Engine: "vllm", Version: "0.27.1", Format: &f,
		Env: map[string]string{"VLLM_USE_TRITON_AWQ": "1"}, Flags: []string{"--enforce-eager"}, Host: Host{Kernel: "7.1.3"}}
}

// Formats as units reads them from config.json.
var (
	bf16     = Format{}
	bf16MoE  = Format{MoE: true}
	awq      = Format{Quant: "awq", Bits: 4}
	awqMoE   = Format{Quant: "awq", Bits: 4, MoE: true}
	gptq     = Format{Quant: "gptq", Bits: 4}
	gptqMoE  = Format{Quant: "gptq", Bits: 4, MoE: true}
	w4a16    = Format{Quant: "compressed-tensors", Scheme: "pack-quantized", Bits: 4}
	w4a16MoE = Format{Quant: "compressed-tensors", Scheme: "pack-quantized", Bits: 4, MoE: true}
	w4a8     = Format{Quant: "compressed-tensors", Scheme: "pack-quantized", Bits: 4, Activations: 8}
	fp8      = Format{Quant: "fp8", Bits: 8, Float: true, Activations: 8}
	fp8MoE   = Format{Quant: "fp8", Bits: 8, Float: true, Activations: 8, MoE: true}
	ctFP8    = Format{Quant: "compressed-tensors", Scheme: "float-quantized", Bits: 8, Float: true, Activations: 8}
	ctFP8MoE = Format{Quant: "compressed-tensors", Scheme: "float-quantized", Bits: 8, Float: true, Activations: 8, MoE: true}
	mxfp4    = Format{Quant: "mxfp4", Bits: 4, Float: true, MoE: true}
	w8a8     = Format{Quant: "compressed-tensors", Scheme: "int-quantized", Bits: 8, Activations: 8}
	w8a16    = Format{Quant: "compressed-tensors", Scheme: "pack-quantized", Bits: 8}
	bnb      = Format{Quant: "bitsandbytes", Scheme: "nf4", Bits: 4}
	gguf     = Format{Quant: "gguf"}
)

func at(q Query, version string) Query { q.Version = version; return q }

func TestFormatsInVLLMOnGFX1151(t *testing.T) {
	q := shipped(t)
	bare := strix(awq)
	bare.Flags = nil
	for _, row := range []struct {
		rule  string
		query Query
		want  string
		words string
	}{
		{"BF16 and FP16 work", strix(bf16), Allow, "BF16"},
		{"and so do mixtures of experts in them", strix(bf16MoE), Allow, "BF16"},
		{"AWQ works", strix(awq), Allow, "AWQ"},
		{"AWQ of a mixture of experts works", strix(awqMoE), Allow, "AWQ"},
		{"AWQ is doubtful below 0.20", at(strix(awq), "0.19.1"), Warn, "hung the GPU"},
		{"a release candidate of 0.20 is below it", at(strix(awq), "0.20.0rc1"), Warn, "hung the GPU"},
		{"AWQ without what it wants is doubtful", bare, Warn, "it wants VLLM_USE_TRITON_AWQ=1 and --enforce-eager, and --enforce-eager is not set"},
		{"AWQ of 8 bits is not known", strix(Format{Quant: "awq", Bits: 8}), Warn, "nothing is known of awq weights (INT8) with vllm on gfx1151"},
		{"dense GPTQ is slow", strix(gptq), Warn, "garbage"},
		{"GPTQ of a mixture of experts deadlocks", at(strix(gptqMoE), "0.23.1.dev0+rocm7.14.0a20260624"), Refuse, "deadlocks"},
		{"and has been served by newer ones", strix(gptqMoE), Warn, "has been served"},
		{"compressed-tensors W4A16 works", strix(w4a16), Allow, "W4A16"},
		{"and so it does as a mixture of experts", strix(w4a16MoE), Allow, "W4A16"},
		{"dense FP8 depends on the build", strix(fp8), Warn, "MI300+"},
		{"dense FP8 of compressed-tensors does so, too", strix(ctFP8), Warn, "MI300+"},
		{"FP8 of a mixture of experts is broken", strix(fp8MoE), Refuse, "no kernel"},
		{"under either name", strix(ctFP8MoE), Refuse, "no kernel"},
		{"MXFP4 works", strix(mxfp4), Allow, "gpt-oss"},
		{"INT8 W8A8 has no kernel", strix(w8a8), Refuse, "W8A8"},
		{"INT8 weights alone are not known", strix(w8a16), Warn, "nothing is known of compressed-tensors weights (pack-quantized, INT8) with vllm"},
		{"nor are INT4 weights with quantised activations", strix(w4a8), Warn, "(pack-quantized, INT4, activations of 8 bits)"},
		{"FP8 has many names", strix(Format{Quant: "modelopt", Scheme: "FP8", Bits: 8, Float: true, Activations: 8, MoE: true}), Refuse, "no kernel"},
		{"bitsandbytes is for CUDA", strix(bnb), Refuse, "CUDA"},
		{"GGUF is for llama-server", strix(gguf), Refuse, "llama-server"},
		{"names of formats have no case", strix(Format{Quant: "AWQ", Bits: 4}), Allow, "AWQ"},
		{"what nobody has tried is not refused", strix(Format{Quant: "hqq", Bits: 2, MoE: true}), Warn, "nothing is known of hqq weights (INT2) of a mixture of experts"},
	} {
		t.Run(row.rule, func(t *testing.T) {
			v := about(q, "format", row.query)
			if v.Verdict != row.want || !strings.Contains(v.Reason, row.words) {
				t.Errorf("got %+v, want %s and %q", v, row.want, row.words)
			}
		})
	}
}

func TestKVCaches(t *testing.T) {
	q := shipped(t)
	for _, row := range []struct{ rule, engine, dtype, want string }{
		{"the model's own type works", "vllm", "", Allow},
		{"written out as well", "vllm", "bfloat16", Allow},
		{"FP8 is less accurate", "vllm", "fp8", Warn},
		{"and so are its kinds", "vllm", "fp8_e4m3", Warn},
		{"kinds with a scale per token and head are untested", "vllm", "fp8_per_token_head", Warn},
		{"other kinds are not known", "vllm", "int8_per_token_head", Warn},
		{"llama.cpp takes all of them", "llama", "q8_0", Allow},
	} {
		t.Run(row.rule, func(t *testing.T) {
			v := about(q, "kv_cache", Query{GFX: "gfx1151", Engine: row.engine, KVCache: row.dtype})
			if v.Verdict != row.want {
				t.Errorf("got %+v, want %s", v, row.want)
			}
		})
	}
}

func TestSettingsThatDoHarm(t *testing.T) {
	q := shipped(t)
	env := func(name, value string) Query {
		return Query{GFX: "gfx1151", Engine: "vllm", Version: "0.27.1", Env: map[string]string{name: value}}
	}
	llama := env("GGML_CUDA_ENABLE_UNIFIED_MEMORY", "0")
	llama.Engine = "llama"
	other := env("HSA_OVERRIDE_GFX_VERSION", "11.0.0")
	other.GFX = "gfx1103"
	swap := Query{GFX: "gfx1151", Engine: "vllm", Version: "0.27.1", Flags: []string{"--swap-space", "4"}}
	for _, row := range []struct {
		rule  string
		topic string
		query Query
		want  string
		words string
	}{
		{"another GPU's code crashes", "env HSA_OVERRIDE_GFX_VERSION", env("HSA_OVERRIDE_GFX_VERSION", "11.0.0"), Warn, "libamdhip64"},
		{"its own is of no use", "env HSA_OVERRIDE_GFX_VERSION", env("HSA_OVERRIDE_GFX_VERSION", "11.5.1"), Warn, "changes nothing"},
		{"any other is a bad idea", "env HSA_OVERRIDE_GFX_VERSION", env("HSA_OVERRIDE_GFX_VERSION", "10.3.0"), Warn, "leave HSA_OVERRIDE_GFX_VERSION out"},
		{"on any GPU", "env HSA_OVERRIDE_GFX_VERSION", other, Warn, "leave HSA_OVERRIDE_GFX_VERSION out"},
		{"AITER is for other GPUs", "env VLLM_ROCM_USE_AITER", env("VLLM_ROCM_USE_AITER", "True"), Warn, "MI300"},
		{"and does no harm when it is off", "env VLLM_ROCM_USE_AITER", env("VLLM_ROCM_USE_AITER", "0"), "", ""},
		{"a variable of the V0 engine is ignored", "env VLLM_USE_TRITON_FLASH_ATTN", env("VLLM_USE_TRITON_FLASH_ATTN", "0"), Warn, "V0"},
		{"so is the old way to choose a backend", "env VLLM_ATTENTION_BACKEND", env("VLLM_ATTENTION_BACKEND", "TRITON_ATTN"), Warn, "--attention-backend"},
		{"and what counts when PyTorch is built", "env PYTORCH_ROCM_ARCH", env("PYTORCH_ROCM_ARCH", "gfx1151"), Warn, "built"},
		{"unified memory counts whatever its value", "env GGML_CUDA_ENABLE_UNIFIED_MEMORY", llama, Warn, "slower"},
		{"and means nothing to vLLM", "env GGML_CUDA_ENABLE_UNIFIED_MEMORY", env("GGML_CUDA_ENABLE_UNIFIED_MEMORY", "1"), "", ""},
		{"--swap-space ends a new vLLM", "flag --swap-space", swap, Refuse, "0.18"},
		{"and is fine for an old one", "flag --swap-space", at(swap, "0.17.2"), "", ""},
		{"which one it is decides", "flag --swap-space", at(swap, ""), Warn, "it depends on the version of vllm"},
	} {
		t.Run(row.rule, func(t *testing.T) {
			v := about(q, row.topic, row.query)
			if v.Verdict != row.want || !strings.Contains(v.Reason, row.words) {
				t.Errorf("got %+v, want %s and %q", v, row.want, row.words)
			}
		})
	}
}

func TestHostsThatDoNotServe(t *testing.T) {
	q := shipped(t)
	yes, no := true, false
	for _, row := range []struct {
		rule  string
		topic string
		host  Host
		want  string
	}{
		{"6.12 is too old", "kernel", Host{Kernel: "6.12.48+deb13-amd64", CWSR: &no}, Refuse},
		{"6.17 without the fix may hang", "kernel", Host{Kernel: "6.17.0-14-generic", CWSR: &no}, Warn},
		{"a distribution may have put the fix into it", "kernel", Host{Kernel: "6.17.0-14-generic", CWSR: &yes}, ""},
		{"a candidate of 6.18 is older than 6.18.4", "kernel", Host{Kernel: "6.18-rc3", CWSR: &no}, Warn},
		{"6.18.4 is good", "kernel", Host{Kernel: "6.18.4-200.fc43.x86_64", CWSR: &no}, ""},
		{"today's are good", "kernel", Host{Kernel: "7.1.3-100.fc43.x86_64", CWSR: &yes}, ""},
		{"nothing known of the kernel is no verdict", "kernel", Host{}, ""},
		{"the firmware of 2025-11-25 hangs", "mes", Host{MES: "0x83"}, Warn},
		{"the one before and after it does not", "mes", Host{MES: "0x80"}, ""},
		{"another one may", "mes", Host{MES: "0x86"}, Warn},
		{"a parameter that is none", "parameter amdgpu.gtt_size", Host{Parameters: map[string]string{"amdgpu.gtt_size": "122880"}}, Warn},
		{"a deprecated one", "parameter amdgpu.gttsize", Host{Parameters: map[string]string{"amdgpu.gttsize": "122880"}}, Warn},
		{"no guard against too much memory", "parameter amdgpu.no_system_mem_limit", Host{Parameters: map[string]string{"amdgpu.no_system_mem_limit": "1"}}, Warn},
		{"an old way around hangs", "parameter amdgpu.cwsr_enable", Host{Kernel: "7.1.3", Parameters: map[string]string{"amdgpu.cwsr_enable": "0"}}, Warn},
		{"which had its use", "parameter amdgpu.cwsr_enable", Host{Kernel: "6.17.1", Parameters: map[string]string{"amdgpu.cwsr_enable": "0"}}, ""},
		{"retries that deadlock", "parameter amdgpu.noretry", Host{Parameters: map[string]string{"amdgpu.noretry": "0"}}, Warn},
		{"the default does not", "parameter amdgpu.noretry", Host{Parameters: map[string]string{"amdgpu.noretry": "-1"}}, ""},
		{"page tables by the CPU alone", "parameter amdgpu.vm_update_mode", Host{Parameters: map[string]string{"amdgpu.vm_update_mode": "0"}}, Warn},
	} {
		t.Run(row.rule, func(t *testing.T) {
			if v := about(q, row.topic, Query{GFX: "gfx1151", Engine: "vllm", Host: row.host}); v.Verdict != row.want {
				t.Errorf("got %+v, want %q", v, row.want)
			}
		})
	}
}

func TestEveryShippedEntryIsWhole(t *testing.T) {
	q := shipped(t)
	if len(q.entries) < 30 {
		t.Fatalf("there are %d entries", len(q.entries))
	}
	month := regexp.MustCompile(`^20\d\d-(0[1-9]|1[0-2])$`)
	seen := map[string]bool{}
	for _, e := range q.entries {
		if e.Reason == "" || e.Source == "" || seen[e.ID] {
			t.Errorf("%s (line %d) has reason %q and source %q", e.ID, e.line, e.Reason, e.Source)
		}
		if !month.MatchString(e.Since) {
			t.Errorf("%s: since is %q, and no month", e.ID, e.Since)
		}
		// It is put into a sentence, between others.
		if strings.HasSuffix(e.Reason, ".") || len(e.Reason) > 200 || strings.Contains(e.Reason, "\n") {
			t.Errorf("%s: the reason is no short clause: %s", e.ID, e.Reason)
		}
		seen[e.ID] = true
	}
}

func TestTheInstalledFileIsTheOneInThisProgram(t *testing.T) {
	file, err := os.ReadFile("quirks.toml")
	if err != nil || string(file) != string(embedded) {
		t.Errorf("the embedded copy differs (%v)", err)
	}
}

func TestAnUnknownVersionGivesEveryAnswer(t *testing.T) {
	q := shipped(t)
	for _, version := range []string{"", "unknown", "main"} {
		v := about(q, "format", at(strix(gptqMoE), version))
		for _, words := range []string{"it depends on the version of vllm, which is not known", "deadlocks on vLLM's generic path for mixtures of experts (<0.24)", "has been served"} {
			if v.Verdict != Warn || !strings.Contains(v.Reason, words) {
				t.Errorf("%q: got %+v, want a warning with %q", version, v, words)
			}
		}
		if v.Source != "vllm-project/vllm#46186, vllm-project/vllm-omni#6236" || v.ID != "gfx1151-vllm-gptq-moe-old, gfx1151-vllm-gptq-moe" {
			t.Errorf("%q: source %q, id %q", version, v.Source, v.ID)
		}
		if v := about(q, "format", at(strix(fp8MoE), version)); v.Verdict != Refuse {
			t.Errorf("what no version can do is refused in any: %+v", v)
		}
	}
}

func TestNothingIsSaidOfAModelThatIsNotKnown(t *testing.T) {
	query := strix(bf16)
	query.Format = nil
	if v := about(shipped(t), "format", query); v != (Verdict{}) {
		t.Errorf("got %+v", v)
	}
}

func TestNoQuirksKnowNothing(t *testing.T) {
	list := Quirks{}.Lookup(strix(awq))
	if len(list) != 2 || list[0].Verdict != Warn || list[1].Verdict != Warn {
		t.Errorf("got %+v", list)
	}
}

const works = `
[[format]]
id = "mine"
gfx = "gfx1151"
quant = "gptq"
verdict = "allow"
reason = "it works with my build"
since = "2026-11"
source = "own test"
`

func TestOwnVerdictsWin(t *testing.T) {
	refuse := strings.Replace(works, `"allow"`, `"refuse"`, 1)
	for _, row := range []struct {
		rule  string
		files map[string]string
		want  string
	}{
		{"over the shipped ones, however many conditions those have", map[string]string{"mine.toml": works}, Allow},
		{"a later file over an earlier one", map[string]string{"10.toml": works, "20.toml": refuse}, Refuse},
		{"in the order of their names", map[string]string{"20.toml": works, "10.toml": refuse}, Allow},
		{"what is no .toml is not read", map[string]string{"mine.toml": works, "z.toml.bak": refuse}, Allow},
		{"within a file the one with more conditions", map[string]string{"mine.toml": refuse + strings.Replace(works, `id = "mine"`, "id = \"two\"\nmoe = true", 1)}, Allow},
		{"whatever their order", map[string]string{"mine.toml": strings.Replace(works, `id = "mine"`, "id = \"two\"\nmoe = true", 1) + refuse}, Allow},
		{"other cases are left to the shipped ones", map[string]string{"mine.toml": strings.Replace(works, "gfx1151", "gfx1100", 1)}, Refuse},
	} {
		t.Run(row.rule, func(t *testing.T) {
			q, faults := own(t, row.files)
			v := about(q, "format", at(strix(gptqMoE), "0.23"))
			if len(faults) > 0 || v.Verdict != row.want {
				t.Errorf("got %+v, %v", v, faults)
			}
		})
	}
}

func TestABadFileIsLeftOutAndTheRestCounts(t *testing.T) {
	bad := works + "\n[[format]]\nid = \"half\"\n"
	q, faults := own(t, map[string]string{"10-bad.toml": strings.Replace(bad, "gptq", "awq", 1), "20-good.toml": works})
	if len(faults) == 0 || faults[0].Error() != "/etc/tierd/quirks.d/10-bad.toml:11: this [[format]] has no verdict; every entry has id, verdict, reason, since, source" {
		t.Errorf("faults: %v", faults)
	}
	if v := about(q, "format", strix(gptqMoE)); v.ID != "mine" {
		t.Errorf("the good file is lost: %+v", v)
	}
	if v := about(q, "format", strix(awqMoE)); v.ID != "gfx1151-vllm-awq" {
		t.Errorf("a part of the bad file counts: %+v", v)
	}
}

func TestTheInstalledFileCountsAndIsReplacedWhenItIsBad(t *testing.T) {
	const installed = "usr/lib/tierd/quirks.toml"
	query := strix(fp8MoE)
	q, faults := own(t, map[string]string{installed: works})
	if v := about(q, "format", query); len(faults) > 0 || v.ID != "" {
		t.Errorf("the installed file does not count: %+v, %v", v, faults)
	}
	q, faults = own(t, map[string]string{installed: "[[format"})
	if v := about(q, "format", query); len(faults) != 1 || !strings.HasPrefix(faults[0].Error(), "/usr/lib/tierd/quirks.toml:1: this is not TOML: ") || v.Verdict != Refuse {
		t.Errorf("got %+v, %v", v, faults)
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	root := t.TempDir()
	put(t, root, map[string]string{"large.toml": strings.Repeat("# much\n", maxFile/7+1), "good.toml": works})
	for _, folder := range []string{"folder.toml", "sub"} {
		if err := os.Mkdir(filepath.Join(root, ownFolder, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/nowhere", filepath.Join(root, ownFolder, "link.toml")); err != nil {
		t.Fatal(err)
	}
	q, faults := Load(root)
	var got []string
	for _, f := range faults {
		got = append(got, f.Error())
	}
	want := []string{
		"/etc/tierd/quirks.d/folder.toml: cannot be read: it is not a plain file",
		"/etc/tierd/quirks.d/large.toml: cannot be read: it has 131075 bytes, and more than 131072 are not read",
		"/etc/tierd/quirks.d/link.toml: cannot be read: no such file or directory",
	}
	if !slices.Equal(got, want) || about(q, "format", strix(gptqMoE)).ID != "mine" {
		t.Errorf("got %q", got)
	}
}

func BenchmarkLookup(b *testing.B) {
	q, _ := Load(b.TempDir())
	query := at(strix(gptqMoE), "")
	b.ReportAllocs()
	for b.Loop() {
		q.Lookup(query)
	}
}

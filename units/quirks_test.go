package units

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// quirkHost is a host with a mixture of experts of 4 bits, and a vLLM, and what is said of it.
func quirkHost(said ...QuirkVerdict) (Host, *[]QuirkQuery) {
	var asked []QuirkQuery
	h := Host{FS: fstest.MapFS{
		"opt/vllm/bin/vllm": program(),
		"opt/vllm/lib/python3.12/site-packages/vllm-0.23.1.dist-info/METADATA": text(""),
		"usr/bin/llama-server": program(),
		"models/org/big/config.json": text(`{"model_type": "qwen3_moe", "num_experts": 128, "torch_dtype": "bfloat16",
			"num_hidden_layers": 1, "hidden_size": 64, "num_attention_heads": 1, "num_key_value_heads": 1,
			"quantization_config": {"quant_method": "gptq", "bits": 4}}`),
		"models/org/big/model.safetensors":  text("\x36\x00\x00\x00\x00\x00\x00\x00" + `{"a":{"dtype":"F16","shape":[1],"data_offsets":[0,2]}}` + "ab"),
		"etc/credstore.encrypted/cloud-key": file(1),
		"models/small.gguf":                 file(1),
	}}
	h.Quirks = func(q QuirkQuery) []QuirkVerdict {
		asked = append(asked, q)
		return said
	}
	return h, &asked
}

var deadlocks = QuirkVerdict{ID: "x", Topic: "format", Verdict: QuirkRefuse, Reason: "it deadlocks", Since: "2026-06", Source: "vllm#1"}

func TestAQuirkIsAskedOfEveryUnitOnTheGPU(t *testing.T) {
	h, asked := quirkHost()
	text := edit(t, `kv_memory = "4GiB"`, "kv_memory = \"4GiB\"\nextra_args = [\"--enforce-eager\", \"--kv_cache_dtype=fp8\"]\nenv = { A = \"1\", B = \"2\" }",
		`command = ["/opt/vllm/bin/vllm", "serve"]`, "command = [\"/opt/vllm/bin/vllm\", \"serve\", \"--swap_space\", \"4\"]\nenv = { B = \"0\", C = \"3\" }")
	MakePlan(parse(t, text), h)
	if len(*asked) != 1 { // the other two are a forwarder and a tier on the CPU
		t.Fatalf("asked %+v", *asked)
	}
	got := (*asked)[0]
	if f := got.Format; f == nil || f.Quant != "gptq" || f.Bits != 4 || !f.MoE {
		t.Errorf("the format is %+v", f)
	}
	got.Format = nil
	want := QuirkQuery{Engine: KindVLLM, Version: "0.23.1", KVCache: "fp8", Env: map[string]string{"A": "1", "B": "2", "C": "3"},
		Flags: []string{"serve", "--swap-space", "4", "--enforce-eager", "--kv-cache-dtype=fp8"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestNothingIsSaidOfAFormatThatCannotBeRead(t *testing.T) {
	h, asked := quirkHost()
	delete(h.FS.(fstest.MapFS), "models/org/big/config.json")
	MakePlan(parse(t, base), h)
	if len(*asked) != 1 || (*asked)[0].Format != nil {
		t.Errorf("asked %+v", *asked)
	}
}

func TestLlamaIsAskedWithItsCacheType(t *testing.T) {
	command := `command = ["/usr/bin/llama-server"]`
	h, asked := quirkHost()
	MakePlan(parse(t, edit(t, command, command+"\ngpu = true", `memory = "2GiB"`, "memory = \"2GiB\"\nextra_args = [\"-ctk\", \"q8_0\"]")), h)
	if len(*asked) != 2 || (*asked)[1].Engine != KindLlama || (*asked)[1].KVCache != "q8_0" || (*asked)[1].Version != "" {
		t.Errorf("asked %+v", *asked)
	}
}

func TestWhatQuirksSayBecomesAFault(t *testing.T) {
	with := func(v QuirkVerdict, change func(*QuirkVerdict)) QuirkVerdict { change(&v); return v }
	about := func(topic, verdict string) QuirkVerdict {
		return with(deadlocks, func(v *QuirkVerdict) { v.Topic, v.Verdict = topic, verdict })
	}
	const (
		stop = "tier-coder.service cannot start: it deadlocks (vllm#1, 2026-06); allow_unsupported = true in [tier.coder.variant.vllm] starts it all the same"
		try  = "tier-coder.service may not work: it deadlocks (vllm#1, 2026-06)"
	)
	ownEnv := []string{`kv_memory = "4GiB"`, "kv_memory = \"4GiB\"\nextra_args = [\"--x=1\"]\nenv = { A = \"1\" }"}
	engineEnv := []string{`command = ["/opt/vllm/bin/vllm", "serve"]`, "command = [\"/opt/vllm/bin/vllm\", \"serve\", \"--x\"]\nenv = { A = \"1\" }"}
	allowed := []string{`kv_memory = "4GiB"`, "kv_memory = \"4GiB\"\nallow_unsupported = true"}
	for _, row := range []struct {
		rule  string
		edits []string
		said  QuirkVerdict
		line  int
		want  string // of the fault; "" none
	}{
		{"what works is not worth a word", nil, about("format", QuirkAllow), 0, ""},
		{"what works badly is a warning at the model", nil, about("format", QuirkWarn), 18, try},
		{"what hangs is refused there", nil, about("format", QuirkRefuse), 18, stop},
		{"unless the variant allows it", allowed, about("format", QuirkRefuse), 18, try},
		{"of what nobody knows there is no source", nil, QuirkVerdict{Topic: "format", Verdict: QuirkWarn, Reason: "nothing is known"}, 18,
			"tier-coder.service may not work: nothing is known"},
		{"a KV cache is a flag's", ownEnv, about("kv_cache", QuirkWarn), 22, try},
		{"a variable of the variant's", ownEnv, about("env A", QuirkWarn), 23, try},
		{"a variable of the engine's is nobody's in particular", engineEnv, about("env A", QuirkWarn), 8, "it deadlocks (vllm#1, 2026-06)"},
		{"and may be refused", engineEnv, about("env A", QuirkRefuse), 8, stop},
		{"a flag of the variant's", ownEnv, about("flag --x", QuirkWarn), 22, try},
		{"a flag of the engine's", engineEnv, about("flag --x", QuirkWarn), 7, "it deadlocks (vllm#1, 2026-06)"},
		{"the host's kernel", nil, about("kernel", QuirkWarn), 1, "it deadlocks (vllm#1, 2026-06)"},
		{"a kernel that is too old", nil, about("kernel", QuirkRefuse), 1, stop},
		{"and is tried all the same", allowed, about("kernel", QuirkRefuse), 1, "it deadlocks (vllm#1, 2026-06)"},
		{"a parameter", nil, about("parameter amdgpu.noretry", QuirkWarn), 1, "it deadlocks (vllm#1, 2026-06)"},
	} {
		t.Run(row.rule, func(t *testing.T) {
			h, _ := quirkHost(row.said)
			c := parse(t, edit(t, row.edits...))
			p, faults := MakePlan(c, h)
			u, _ := p.Unit("tier-coder.service")
			refused := strings.Contains(row.want, "cannot start")
			i := slices.IndexFunc(faults, func(f Fault) bool {
				return strings.Contains(f.Msg, "deadlocks") || strings.Contains(f.Msg, "nothing is known")
			})
			switch {
			case row.want == "" && i >= 0, row.want != "" && i < 0:
				t.Errorf("faults are\n%s", lines(faults))
			case i >= 0 && (faults[i].Msg != row.want || faults[i].Line != row.line || !faults[i].Warning):
				t.Errorf("line %d: %s\nwant line %d: %s", faults[i].Line, faults[i].Msg, row.line, row.want)
			}
			if got := strings.Contains(strings.Join(shimFlags(t, u), " "), "deadlocks"); refused != got || refused != (u.Blocked != "") {
				t.Errorf("blocked: %s", u.Blocked)
			}
		})
	}
}

func TestARefusedVariantIsBlockedWithTheWayOut(t *testing.T) {
	h := strixHalo()
	h.Quirks = func(q QuirkQuery) []QuirkVerdict {
		if q.Engine == KindVLLM {
			return []QuirkVerdict{deadlocks}
		}
		return nil
	}
	const way = "it deadlocks (vllm#1, 2026-06); allow_unsupported = true in [tier.coder.variant.vllm] starts it all the same"
	u := unit(t, string(shipped(t)), h, "tier-coder.service")
	if u.Blocked != way || u.BlockClass != "configuration" || !slices.Contains(shimFlags(t, u), "--blocked=configuration:"+way) {
		t.Errorf("blocked: %s %q", u.BlockClass, u.Blocked)
	}
	allowed := strings.Replace(string(shipped(t)), "tools = \"qwen3_coder\"", "tools = \"qwen3_coder\"\nallow_unsupported = true", 1)
	if v := unit(t, allowed, h, "tier-coder.service"); v.Blocked != "" || v.Hash == u.Hash {
		t.Errorf("blocked: %q, hash %s", v.Blocked, v.Hash)
	}
	if other := unit(t, string(shipped(t)), h, "tier-orch-llama.service"); other.Blocked != "" {
		t.Errorf("another engine is blocked: %s", other.Blocked)
	}
}

func TestWhatIsWrongWithAHostIsToldOnce(t *testing.T) {
	h := strixHalo()
	h.Quirks = func(QuirkQuery) []QuirkVerdict {
		return []QuirkVerdict{{ID: "k", Topic: "kernel", Verdict: QuirkWarn, Reason: "it is old", Since: "2026-01", Source: "s"}}
	}
	_, faults := MakePlan(parse(t, string(shipped(t))), h) // with four variants on the GPU
	if got := strings.Count(lines(faults), "it is old"); got != 1 {
		t.Errorf("told %d times:\n%s", got, lines(faults))
	}
}

func TestFaultsOfOtherFilesArePassedOn(t *testing.T) {
	other := Fault{File: "/etc/tierd/quirks.d/x.toml", Line: 3, Msg: "boo", Warning: true}
	_, faults := MakePlan(parse(t, base), Host{Faults: []Fault{other}})
	if len(faults) != 1 || faults[0] != other {
		t.Errorf("got %v", faults)
	}
}

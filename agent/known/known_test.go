package known

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tierd/tierd/rocm"
	"github.com/tierd/tierd/rocm/rocmtest"
	"github.com/tierd/tierd/units"
)

func TestEveryTreeHasAnAnswer(t *testing.T) {
	for _, tree := range rocmtest.Trees {
		root := rocmtest.Unpack(t, tree)
		s := rocm.Open(root).Snapshot(context.Background())
		ask, faults := About(root, s)
		gpu, _ := s.TierGPU("")
		if (ask != nil) != (gpu != nil && gpu.KFD != nil) || len(faults) > 0 {
			t.Errorf("%s: asked %v, %v", tree, ask != nil, faults)
		}
		if ask == nil {
			continue
		}
		for _, v := range ask(units.QuirkQuery{Engine: units.KindVLLM, Format: &units.Format{}}) {
			if v.Topic == "format" && v.Verdict != units.QuirkAllow {
				t.Errorf("%s: BF16 is %+v", tree, v)
			}
		}
	}
}

func TestWhatUnitsAskReachesTheQuirks(t *testing.T) {
	root := rocmtest.Unpack(t, "gtt120-idle")
	ask, _ := About(root, rocm.Open(root).Snapshot(context.Background()))
	for _, c := range []struct {
		rule  string
		query units.QuirkQuery
		topic string
		want  string
	}{
		{"a format by its engine's version", units.QuirkQuery{Engine: units.KindVLLM, Version: "0.23.1", Format: &units.Format{Quant: "gptq", Bits: 4, MoE: true}}, "format", units.QuirkRefuse},
		{"a later version", units.QuirkQuery{Engine: units.KindVLLM, Version: "0.27.1", Format: &units.Format{Quant: "gptq", Bits: 4, MoE: true}}, "format", units.QuirkWarn},
		{"a KV cache", units.QuirkQuery{Engine: units.KindVLLM, KVCache: "fp8_e4m3"}, "kv_cache", units.QuirkWarn},
		{"a variable", units.QuirkQuery{Engine: units.KindVLLM, Env: map[string]string{"HSA_OVERRIDE_GFX_VERSION": "11.0.0"}}, "env HSA_OVERRIDE_GFX_VERSION", units.QuirkWarn},
		{"the host itself", units.QuirkQuery{Engine: units.KindVLLM}, "parameter amdgpu.gttsize", units.QuirkWarn},
	} {
		got := ""
		for _, v := range ask(c.query) {
			if v.Topic == c.topic {
				got = v.Verdict
			}
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q of %+v", c.rule, got, c.want, ask(c.query))
		}
	}
}

func TestFilesWithFaultsAreNamed(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "etc/tierd/quirks.d")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "x.toml"), []byte("[[formats]]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	ask, faults := About(root, rocm.Snapshot{})
	if ask != nil || len(faults) != 1 || faults[0].Line != 1 || !faults[0].Warning || !strings.HasSuffix(faults[0].Msg, "; the file does not count") {
		t.Errorf("faults: %v", faults)
	}
}

package rocm

import (
	"context"
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/rocm/rocmtest"
)

func TestGfxNames(t *testing.T) {
	for version, want := range map[uint64]string{110501: "gfx1151", 110000: "gfx1100", 90010: "gfx90a", 90402: "gfx942", 100306: "gfx1036", 120001: "gfx1201", 80003: "gfx803"} {
		k, err := newKFD(1, map[string]uint64{"gfx_target_version": version, "simd_count": 80, "simd_per_cu": 2, "location_id": 50432, "domain": 1, "drm_render_minor": 129})
		if err != nil || k.Gfx != want || k.CUs != 40 || k.pci != "0001:c5:00.0" || k.render != "renderD129" {
			t.Errorf("%d is %+v, %v", version, k, err)
		}
	}
	for name, props := range map[string]map[string]uint64{
		"no SIMDs per compute unit": {"gfx_target_version": 110501, "simd_count": 80},
		"too many SIMDs":            {"gfx_target_version": 110501, "simd_count": 1 << 40, "simd_per_cu": 1},
		"no version":                {"simd_count": 80, "simd_per_cu": 2},
		"a version without end":     {"gfx_target_version": 1 << 40, "simd_count": 80, "simd_per_cu": 2},
	} {
		if k, err := newKFD(1, props); err == nil {
			t.Errorf("%s: is %+v", name, k)
		}
	}
}

// TestBanks: a card whose memory the CPU sees only in part has a bank for each part.
func TestBanks(t *testing.T) {
	root := rocmtest.Unpack(t, "gtt120-idle")
	base := topology + "/1/mem_banks/"
	write(t, root, base+"0/properties", "heap_type 1\nsize_in_bytes 268435456\n")
	write(t, root, base+"1/properties", "heap_type 2\nsize_in_bytes 25484591104\n")
	write(t, root, base+"2/properties", "heap_type 4\nsize_in_bytes 65536\n") // LDS
	k := host(root).Snapshot(context.Background()).GPUs[0].KFD
	same(t, "the bank", k.Bank, new(uint64(25753026560)))
}

func TestAGPUWithoutABank(t *testing.T) {
	root := rocmtest.Unpack(t, "gtt120-idle")
	replace(t, root, topology+"/1/mem_banks", removed)
	s := host(root).Snapshot(context.Background())
	if k := s.GPUs[0].KFD; k == nil || k.Bank != nil || k.GPUID != 64506 || *s.GPUs[0].PoolSize != 120<<30 || len(s.Problems) > 0 {
		t.Errorf("got %s, problems %v", show(&s.GPUs[0]), s.Problems)
	}
}

// refusing is a host that refuses to tell of some files.
type refusing struct {
	source
	path string
	err  error
}

func (r refusing) read(path string, max int) ([]byte, error) {
	if strings.HasPrefix(path, r.path) {
		return nil, r.err
	}
	return r.source.read(path, max)
}

// TestADevicePolicyHidesKFD: the kernel asks whether the reader might open the render node, which a unit with
// DevicePolicy=closed may not. No file's mode can show that.
func TestADevicePolicyHidesKFD(t *testing.T) {
	h := newHost(refusing{newTree(rocmtest.Unpack(t, "gtt120")), topology + "/1/", unix.EPERM})
	s := h.Snapshot(context.Background())
	if len(s.Problems) != 1 || !errors.Is(s.Problems[0], unix.EPERM) || !strings.Contains(s.Problems[0].Error(), "DeviceAllow=char-drm rw") {
		t.Errorf("problems %v", s.Problems)
	}
	if gpu, why := s.TierGPU(""); gpu == nil || gpu.KFD != nil || gpu.Pool != PoolGTT || *gpu.PoolSize != 120<<30 || gpu.Render != "renderD128" || !strings.Contains(why, "Vulkan") {
		t.Errorf("the tiers use %s, %s", show(gpu), why)
	}
}

func FuzzParseProperties(f *testing.F) {
	f.Add([]byte("simd_count 80\nsimd_per_cu 2\ngfx_target_version 110501\nlocation_id 50432\ndomain 0\n"))
	f.Add([]byte("unique_id 18446744073709551615\ncwsr_size 1"))
	f.Add([]byte("heap_type 1\nsize_in_bytes 128849018880\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		props, err := parseProperties(data)
		if err != nil && props != nil {
			t.Errorf("%v beside an error", props)
		}
		if k, err := newKFD(1, props); err == nil && (k.CUs < 0 || !strings.HasPrefix(k.Gfx, "gfx")) {
			t.Errorf("got %+v", k)
		}
	})
}

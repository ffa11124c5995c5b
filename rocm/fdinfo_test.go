package rocm

import (
	"testing"
)

const client = "pos:\t0\ndrm-driver:\tamdgpu\ndrm-client-id:\t47\ndrm-pdev:\t0000:c5:00.0\n"

func TestFdinfo(t *testing.T) {
	for name, c := range map[string]struct {
		text      string
		gtt, vram uint64
	}{
		"nothing held":           {"", 0, 0},
		"from 6.14 on":           {"drm-total-gtt:\t9 MiB\ndrm-resident-gtt:\t3 MiB\ndrm-memory-gtt:\t7 KiB\ndrm-resident-vram:\t5348 KiB\n", 3 << 20, 5348 << 10},
		"before":                 {"drm-memory-vram:\t9232384 KiB\ndrm-memory-gtt: \t32768 KiB\ndrm-memory-cpu: \t5 KiB\n", 32768 << 10, 9232384 << 10},
		"only a total":           {"drm-total-gtt:\t2 MiB\n", 2 << 20, 0},
		"bytes without a unit":   {"drm-resident-gtt:\t4096\ndrm-resident-vram:\t0\n", 4096, 0},
		"nothing resident":       {"drm-resident-gtt:\t0\ndrm-memory-gtt:\t7 KiB\n", 0, 0},
		"other regions and keys": {"drm-resident-cpu:\t7 MiB\ndrm-shared-gtt:\t7 MiB\namd-requested-gtt:\t7 MiB\ndrm-engine-gfx:\t12 ns\ndrm-resident-gttx:\tx\n", 0, 0},
	} {
		got, err := parseFdinfo([]byte(client + c.text))
		if err != nil || got == nil || *got != (drmClient{driver: "amdgpu", pci: "0000:c5:00.0", id: 47, gtt: c.gtt, vram: c.vram}) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for _, text := range []string{"", "pos:\t0\nflags:\t02\n", "drm-memory-gtt: 1 KiB\n", "eventfd-count:  0\n"} {
		if got, err := parseFdinfo([]byte(text)); got != nil || err != nil {
			t.Errorf("%q is %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"drm-driver:\tamdgpu\n", client + "drm-resident-gtt:\t1 GB\n", client + "drm-resident-gtt:\t-1\n", client + "drm-resident-gtt:\t\n",
		client + "drm-resident-gtt:\t18446744073709551615 MiB\n", client + "drm-client-id:\tx\n",
	} {
		if got, err := parseFdinfo([]byte(text)); err == nil {
			t.Errorf("%q is %+v", text, got)
		}
	}
}

func FuzzParseFdinfo(f *testing.F) {
	f.Add([]byte(client + "drm-resident-gtt:\t66048 MiB\ndrm-memory-vram:\t0 KiB\n"))
	f.Add([]byte("drm-driver: i915\ndrm-client-id: 1\ndrm-total-gtt: 4096"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, err := parseFdinfo(data); c != nil && (err != nil || c.driver == "" || c.gtt > 1<<62 || c.vram > 1<<62) {
			t.Errorf("%+v, %v", *c, err)
		}
	})
}

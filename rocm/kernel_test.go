package rocm

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/tierd/tierd/rocm/rocmtest"
)

func TestKernel(t *testing.T) {
	s := host(rocmtest.Unpack(t, "dgpu-gfx1100-plus-gfx1151")).Snapshot(context.Background())
	k := s.Kernel
	if k.Release != "6.12.74+deb13+1-amd64" || *k.PagesLimit != 25000000*4096 || k.Parameters["amdgpu.cwsr_enable"] != "0" || k.Parameters["ttm.page_pool_size"] != "16373514" {
		t.Errorf("got %+v", k)
	}
	if _, set := k.Parameters["amdgpu.noretry"]; set {
		t.Error("a parameter that this kernel does not have is there")
	}
	if k.Controllers != nil || k.Controls("memory") != nil {
		t.Errorf("without a unified hierarchy there are controllers: %q", k.Controllers)
	}
	k = host(rocmtest.Unpack(t, "gtt120")).Snapshot(context.Background()).Kernel
	if has := k.Controls("memory"); has == nil || !*has {
		t.Error("the memory controller is not seen")
	}
	if has := k.Controls("net_cls"); has == nil || *has {
		t.Error("a controller is seen that is not there")
	}
}

func TestARootCgroupWithoutControllers(t *testing.T) {
	root := t.TempDir()
	write(t, root, "sys/fs/cgroup/cgroup.controllers", "\n")
	if has := host(root).Snapshot(context.Background()).Kernel.Controls("memory"); has == nil || *has {
		t.Error("no controllers are taken for no answer")
	}
}

func TestPagesLimitOfEitherTTM(t *testing.T) {
	for name, c := range map[string]struct {
		module, text string
		want         *uint64
		problems     int
	}{
		"the kernel's own":           {"ttm", "31457280\n", new(uint64(120 << 30)), 0},
		"AMD's":                      {"amdttm", "31457280\n", new(uint64(120 << 30)), 0},
		"nonsense":                   {"ttm", "all\n", nil, 1},
		"more than 64 bits of bytes": {"ttm", "18446744073709551615\n", nil, 1},
	} {
		root := t.TempDir()
		write(t, root, "sys/module/"+c.module+"/parameters/pages_limit", c.text)
		s := host(root).Snapshot(context.Background())
		same(t, name, s.Kernel.PagesLimit, c.want)
		if len(s.Problems) != c.problems {
			t.Errorf("%s: problems %v", name, s.Problems)
		}
	}
	s := host(t.TempDir()).Snapshot(context.Background())
	if s.Kernel.PagesLimit != nil || len(s.Problems) > 0 {
		t.Errorf("without ttm the limit is %v, problems %v", s.Kernel.PagesLimit, s.Problems)
	}
}

func TestBootParameters(t *testing.T) {
	k := Kernel{CommandLine: `BOOT_IMAGE=/vmlinuz root=UUID=1 quiet amdgpu.gttsize=1 ttm.pages-limit=5 amdgpu.gttsize=131072 x="a b" dyndbg="file ttm.c +p" -- amd_iommu=off`}
	for name, want := range map[string]string{"quiet": "", "amdgpu.gttsize": "131072", "ttm.pages_limit": "5", "x": "a b", "dyndbg": "file ttm.c +p", "BOOT-IMAGE": "/vmlinuz"} {
		if got, set := k.BootParameter(name); !set || got != want {
			t.Errorf("%s is %q, %v", name, got, set)
		}
	}
	for _, name := range []string{"amd_iommu", "ttm.c", "b", "", "gttsize"} {
		if got, set := k.BootParameter(name); set {
			t.Errorf("%s is %q", name, got)
		}
	}
}

// TestNothingIsWrongWithAnEmptyHost has no file at all, as in a container without sysfs.
func TestNothingIsWrongWithAnEmptyHost(t *testing.T) {
	root := t.TempDir()
	s := host(root).Snapshot(context.Background())
	if s.Memory != (Memory{}) || s.Swaps != nil || s.Pressure != (Pressure{}) || s.GPUs != nil || s.Clients != nil || len(s.Problems) > 0 {
		t.Errorf("got %s", show(&s))
	}
	if gpu, why := s.TierGPU(""); gpu != nil || why != "no AMD GPU" {
		t.Errorf("the GPU is %+v, %s", gpu, why)
	}
	if err := os.WriteFile(filepath.Join(root, "proc"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if s := host(root).Snapshot(context.Background()); len(s.Problems) > 0 {
		t.Errorf("problems %v", s.Problems)
	}
}

func FuzzCommandLine(f *testing.F) {
	f.Add(`ro quiet ttm.pages_limit=31457280 x="a b" -- y=1`, "ttm.pages-limit")
	f.Add(`"`, "")
	f.Fuzz(func(t *testing.T, line, name string) {
		if value, set := (Kernel{CommandLine: line}).BootParameter(name); !set && value != "" {
			t.Errorf("%q is not set to %q", name, value)
		}
	})
}

func FuzzPagesLimit(f *testing.F) {
	f.Add("31457280\n")
	f.Add("18446744073709551615")
	f.Fuzz(func(t *testing.T, text string) {
		limit, err := parsePages(text)
		if err != nil && limit != 0 || limit%pageSize != 0 {
			t.Errorf("%q is %d, %v", text, limit, err)
		}
	})
}

func FuzzKeyValues(f *testing.F) {
	f.Add([]byte("NAME=\"Debian GNU/Linux\"\n# a comment\n\nID=debian\n"))
	f.Add([]byte("PCI_ID=1002:1586\nPCI_SLOT_NAME=0000:c5:00.0"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if values, err := keyValues(data); err != nil && values != nil {
			t.Errorf("%q beside an error", values)
		}
		if e, err := parseUevent(data); err == nil && e.slot != "" && !isPCI(e.slot) {
			t.Errorf("%q is no address", e.slot)
		}
	})
}

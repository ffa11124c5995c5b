package doctor

import (
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"pgregory.net/rapid"

	"github.com/tierd/tierd/units"
)

func TestHowAParameterIsSet(t *testing.T) {
	small := func(f *Facts) { f.limit(106 * gib) }
	for _, c := range []struct {
		rule  string
		files map[string]string
		line  string // the boot line, when it is another
		want  string
	}{
		{"nobody knows how this host boots", nil, "",
			"add ttm.pages_limit=31457280 to the kernel's boot line (with GRUB: GRUB_CMDLINE_LINUX_DEFAULT in /etc/default/grub, then sudo update-grub), then: sudo reboot"},
		{"GRUB of Debian", map[string]string{"etc/default/grub": "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\n", "usr/sbin/update-grub": ""}, "ro",
			"add ttm.pages_limit=31457280 to GRUB_CMDLINE_LINUX_DEFAULT in /etc/default/grub, then: sudo update-grub && sudo reboot"},
		{"GRUB with a line that has it", map[string]string{"etc/default/grub": "# comment\nGRUB_CMDLINE_LINUX_DEFAULT=\"quiet ttm.pages-limit=27787264\"\n", "usr/sbin/update-grub": ""}, "",
			"in line 2 of /etc/default/grub change ttm.pages_limit=27787264 to ttm.pages_limit=31457280, then: sudo update-grub && sudo reboot"},
		{"GRUB of Arch", map[string]string{"etc/default/grub": "GRUB_CMDLINE_LINUX='ttm.pages_limit=1'"}, "",
			"in line 1 of /etc/default/grub change ttm.pages_limit=1 to ttm.pages_limit=31457280, then: sudo grub-mkconfig -o /boot/grub/grub.cfg && sudo reboot"},
		{"a drop-in for GRUB", map[string]string{"etc/default/grub": "", "etc/default/grub.d/50-gpu.cfg": "GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT ttm.pages_limit=5\"", "usr/sbin/update-grub": ""}, "",
			"in line 1 of /etc/default/grub.d/50-gpu.cfg change ttm.pages_limit=5 to ttm.pages_limit=31457280, then: sudo update-grub && sudo reboot"},
		{"Fedora", map[string]string{"usr/bin/grubby": "", "etc/default/grub": ""}, "", "sudo grubby --update-kernel=ALL --args=ttm.pages_limit=31457280 && sudo reboot"},
		{"an immutable Fedora that has it", map[string]string{"run/ostree-booted": ""}, "", "sudo rpm-ostree kargs --replace=ttm.pages_limit=31457280 && sudo reboot"},
		{"an immutable Fedora that has it not", map[string]string{"run/ostree-booted": ""}, "ro", "sudo rpm-ostree kargs --append-if-missing=ttm.pages_limit=31457280 && sudo reboot"},
		{"Pop!_OS", map[string]string{"etc/kernelstub/configuration": "{}"}, "ro", `sudo kernelstub -a "ttm.pages_limit=31457280" && sudo reboot`},
		{"Pop!_OS that has it on its line alone", map[string]string{"etc/kernelstub/configuration": "nonsense"}, "",
			`sudo kernelstub -d "ttm.pages_limit=27787264" && sudo kernelstub -a "ttm.pages_limit=31457280" && sudo reboot`},
		{"Pop!_OS that has it in the file", map[string]string{"etc/kernelstub/configuration": `{"user": {"kernel_options": ["ttm.pages_limit=7"]}}`}, "",
			"in /etc/kernelstub/configuration change ttm.pages_limit=7 to ttm.pages_limit=31457280, then: sudo kernelstub && sudo reboot"},
		{"systemd-boot", map[string]string{"etc/kernel/cmdline": "root=/dev/sda1 ro"}, "ro", "add ttm.pages_limit=31457280 to /etc/kernel/cmdline, then: sudo kernel-install add-all && sudo reboot"},
		{"unified images of Arch", map[string]string{"etc/kernel/cmdline": "ro ttm.pages_limit=4", "usr/bin/mkinitcpio": ""}, "",
			"in line 1 of /etc/kernel/cmdline change ttm.pages_limit=4 to ttm.pages_limit=31457280, then: sudo mkinitcpio -P && sudo reboot"},
		{"entries by hand", map[string]string{"boot/loader/entries/arch.conf": "title Arch\noptions ro"}, "ro", "add ttm.pages_limit=31457280 to the line `options` of /boot/loader/entries/*.conf, then: sudo reboot"},
		{"entries that have it", map[string]string{"boot/loader/entries/arch.conf": "title Arch\noptions ro ttm.pages_limit=9"}, "ro",
			"in line 2 of /boot/loader/entries/arch.conf change ttm.pages_limit=9 to ttm.pages_limit=31457280, then: sudo reboot"},
		{"modprobe.d, where nobody knows the loader", map[string]string{"usr/sbin/dracut": ""}, "ro",
			"echo 'options ttm pages_limit=31457280' | sudo tee /etc/modprobe.d/ttm.conf && sudo dracut --force --regenerate-all && sudo reboot"},
		{"modprobe.d, where it is", map[string]string{"etc/modprobe.d/gpu.conf": "options ttm \\\n  pages_limit=3", "usr/sbin/update-initramfs": ""}, "",
			"in line 1 of /etc/modprobe.d/gpu.conf change pages_limit=3 to pages_limit=31457280, then: sudo update-initramfs -u && sudo reboot"},
		{"modprobe.d, where it is right and does not count yet", map[string]string{"etc/modprobe.d/gpu.conf": "options ttm pages_limit=31457280", "usr/sbin/update-initramfs": ""}, "",
			"line 1 of /etc/modprobe.d/gpu.conf has pages_limit=31457280 already, which counts after: sudo update-initramfs -u && sudo reboot"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			f := well(t)
			small(&f)
			f.files(t, c.files)
			if c.line != "" {
				f.Snapshot.Kernel.CommandLine = c.line
			}
			found := Check(f)
			got := byID(found, "ttm-pages-limit")
			if got == nil || got.Severity != Error {
				t.Fatalf("%+v", found)
			}
			if got.Fix != c.want {
				t.Errorf("got  %s\nwant %s", got.Fix, c.want)
			}
		})
	}
}

func TestHowAParameterIsTakenAway(t *testing.T) {
	for _, c := range []struct {
		rule  string
		files map[string]string
		want  string
	}{
		{"by a file", map[string]string{"etc/default/grub": "GRUB_CMDLINE_LINUX='amdgpu.noretry=0'", "usr/sbin/update-grub": ""},
			"remove amdgpu.noretry=0 from line 1 of /etc/default/grub, then: sudo update-grub && sudo reboot"},
		{"on Fedora", map[string]string{"usr/sbin/grubby": ""}, "sudo grubby --update-kernel=ALL --remove-args=amdgpu.noretry && sudo reboot"},
		{"on Fedora in the file of GRUB", map[string]string{"usr/sbin/grubby": "", "etc/default/grub": "GRUB_CMDLINE_LINUX=amdgpu.noretry=0"},
			"remove amdgpu.noretry=0 from line 1 of /etc/default/grub, then: sudo grub2-mkconfig -o /etc/grub2.cfg --update-bls-cmdline && sudo reboot"},
		{"on an immutable Fedora", map[string]string{"run/ostree-booted": ""}, "sudo rpm-ostree kargs --delete-if-present=amdgpu.noretry=0 && sudo reboot"},
		{"on Pop!_OS", map[string]string{"etc/kernelstub/configuration": "{}"}, `sudo kernelstub -d "amdgpu.noretry=0" && sudo reboot`},
		{"elsewhere", nil, "remove amdgpu.noretry=0 from the kernel's boot line (or from /etc/modprobe.d), then: sudo reboot"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			f := well(t)
			f.boot("ttm.pages_limit=31457280 amdgpu.noretry=0")
			f.files(t, c.files)
			if got := byID(Check(f), "amdgpu-noretry"); got == nil || got.Fix != c.want {
				t.Errorf("got %+v, want %s", got, c.want)
			}
		})
	}
}

func TestWhereNixOSAndFedoraSetOne(t *testing.T) {
	for os, want := range map[string]string{"nixos": `boot.kernelParams = [ "psi=1" ]`, "fedora": "sudo grubby --update-kernel=ALL --args=psi=1 && sudo reboot"} {
		f := well(t)
		f.Files, f.Snapshot.Pressure.Memory, f.Snapshot.Platform.OSID = nil, nil, os
		if got := byID(Check(f), "psi"); got == nil || !strings.HasPrefix(got.Fix, want) {
			t.Errorf("%s: %+v", os, got)
		}
	}
}

// node is a device: a mode and a group.
func node(mode fs.FileMode, group uint32) *fstest.MapFile {
	return &fstest.MapFile{Mode: mode | fs.ModeDevice, Sys: &syscall.Stat_t{Gid: group}}
}

func TestDevices(t *testing.T) {
	for _, c := range []struct {
		rule  string
		kfd   *fstest.MapFile
		group string
		want  string // "": nothing is wrong
		fix   string
	}{
		{"open for all", node(0o666, 0), "render:x:105:\nvideo:x:44:\n", "", ""},
		{"for the group render", node(0o660, 105), "render:x:105:\nvideo:x:44:\n", "", ""},
		{"for the group video", node(0o660, 44), "render:x:105:\nvideo:x:44:\n", "", ""},
		{"for a group that tiers are not in", node(0o660, 999), "render:x:105:\nvideo:x:44:\n", "tiers may not open /dev/kfd: its mode is 0660 and its group 999", `SUBSYSTEM=="kfd", GROUP="render"`},
		{"for reading alone", node(0o640, 105), "render:x:105:\nvideo:x:44:\n", "its mode is 0640 and its group render", "udevadm"},
		{"not there", nil, "render:x:105:\nvideo:x:44:\n", "/dev/kfd does not exist", "modprobe amdgpu"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			f := well(t)
			root := fstest.MapFS{"dev/dri/renderD128": node(0o666, 0), "etc/group": {Data: []byte(c.group)}}
			if c.kfd != nil {
				root["dev/kfd"] = c.kfd
			}
			f.Files = Look(root, f.Plan, "renderD128")
			found := Check(f)
			wellFormed(t, found)
			got := byID(found, "gpu-device")
			if c.want == "" {
				if got == nil || got.Severity != OK || len(bad(found)) > 0 {
					t.Errorf("%+v", found)
				}
				return
			}
			if got == nil || got.Severity != Error || !strings.Contains(got.What, c.want) || !strings.Contains(got.Fix, c.fix) {
				t.Errorf("%+v", got)
			}
		})
	}
	f := well(t)
	f.Files = Look(fstest.MapFS{"dev/kfd": node(0o666, 0), "dev/dri/renderD128": node(0o666, 0), "etc/group": {Data: []byte("root:x:0:\nvideo:x:44:\n")}}, f.Plan, "renderD128")
	if got := byID(Check(f), "gpu-group"); got == nil || got.Severity != Note || !strings.Contains(got.Fix, "groupadd --system render") {
		t.Errorf("without the group: %+v", got)
	}
}

func TestBuilds(t *testing.T) {
	const version = "opt/vllm/lib/python3.12/site-packages/torch/version.py"
	torch := func(text string) map[string]string { return map[string]string{version: text} }
	llama := func(files ...string) map[string]string {
		m := map[string]string{}
		for _, f := range files {
			m[f] = ""
		}
		return m
	}
	gpuLlama := strings.Replace(stack, "[engine.llama]", "[engine.llama]\ngpu = true", 1)
	for _, c := range []struct {
		rule   string
		config string
		files  map[string]string
		want   string // "": nothing can be told
		bad    bool
	}{
		{"torch for ROCm", stack, torch("__version__ = '2.11.0+rocm7.14'\nhip: Optional[str] = '7.14.60850'\n"), "torch 2.11.0+rocm7.14, built for ROCm", false},
		{"torch from a source, for ROCm", stack, torch("__version__ = '2.11.0'\nhip = '7.2'\n"), "torch 2.11.0, built for ROCm", false},
		{"torch for CUDA", stack, torch("__version__ = '2.11.0+cu128'\ncuda: Optional[str] = '12.8'\nhip: Optional[str] = None\n"), "torch 2.11.0+cu128, which is not built for ROCm", true},
		{"torch for the CPU", stack, torch("__version__ = '2.11.0+cpu'\nhip: Optional[str] = None\n"), "torch 2.11.0+cpu, which is not built for ROCm", true},
		{"no torch", stack, nil, "", false},
		{"a file that is not torch's", stack, torch("nonsense"), "", false},
		{"Vulkan beside the program", gpuLlama, llama("usr/bin/libggml-vulkan.so"), "built with vulkan", false},
		{"Vulkan where Debian puts it", gpuLlama, llama("usr/lib/x86_64-linux-gnu/ggml/backends0/libggml-vulkan.so", "usr/lib/x86_64-linux-gnu/libggml.so.0"), "built with vulkan", false},
		{"HIP in lib64", gpuLlama, llama("usr/lib64/libggml-hip.so.0"), "built with hip", false},
		{"the CPU alone", gpuLlama, llama("usr/lib64/libggml-cpu.so", "usr/lib64/libggml.so"), "/usr/bin/llama-server is built for the CPU alone", true},
		{"CUDA", gpuLlama, llama("usr/bin/libggml-cuda.so"), "is built for CUDA", true},
		{"nothing beside it", gpuLlama, nil, "", false},
		{"on the CPU it does not matter", stack, llama("usr/lib64/libggml-cpu.so"), "", false},
	} {
		t.Run(c.rule, func(t *testing.T) {
			f := well(t)
			f.Plan, f.Faults = planned(t, c.config, units.Host{})
			f.files(t, c.files)
			got := byID(Check(f), "engine-build")
			switch {
			case c.want == "":
				if got != nil {
					t.Errorf("got %+v", got)
				}
			case got == nil || !strings.Contains(got.What, c.want) || (got.Severity == Error) != c.bad:
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestAProgramIsLookedForBehindALink(t *testing.T) {
	root := fstest.MapFS{
		"usr/bin/llama-server":                                {Mode: fs.ModeSymlink, Data: []byte("/opt/llama/bin/llama-server")},
		"opt/llama/bin/llama-server":                          {Mode: 0o755},
		"opt/llama/bin/libggml-vulkan.so":                     {},
		"usr/local/bin/vllm":                                  {Mode: fs.ModeSymlink, Data: []byte("../../../opt/v/bin/vllm")},
		"opt/v/bin/vllm":                                      {Mode: 0o755},
		"opt/v/lib/python3.12/site-packages/torch/version.py": {Data: []byte("__version__ = '2.11.0+rocm7'\n")},
	}
	if b := buildOf(root, units.Engine{Kind: units.KindLlama, Command: []string{"/usr/bin/llama-server"}}); !slices.Equal(b.Backends, []string{"vulkan"}) {
		t.Errorf("llama: %+v", b)
	}
	if b := buildOf(root, units.Engine{Kind: units.KindVLLM, Command: []string{"/usr/local/bin/vllm"}}); !b.HIP || b.Torch != "2.11.0+rocm7" {
		t.Errorf("vllm: %+v", b)
	}
}

func TestFirmware(t *testing.T) {
	dpkg := func(status string) map[string]string {
		return map[string]string{"var/lib/dpkg/status": "Package: adduser\nStatus: install ok installed\nVersion: 3.1\n\nPackage: linux-firmware\nStatus: " + status +
			"\nVersion: 20251125git-0ubuntu1\nDescription: x\n\n"}
	}
	for _, c := range []struct {
		rule  string
		mes   string
		files map[string]string
		want  string
	}{
		{"nobody knows", "", nil, ""},
		{"the version that was loaded", "0x83", nil, "the GPU's scheduler firmware is 0x83"},
		{"another version, whatever is installed now", "0x80", dpkg("install ok installed"), ""},
		{"a later one that has hung too", "0x86", nil, "is 0x86"},
		{"the package of Ubuntu", "", dpkg("install ok installed"), "is 0x83, of linux-firmware 20251125git-0ubuntu1"},
		{"one that was removed", "", dpkg("deinstall ok config-files"), ""},
		{"the package of Arch", "", map[string]string{"var/lib/pacman/local/linux-firmware-amdgpu-20251125-2/desc": ""}, "linux-firmware-amdgpu-20251125-2"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			f := well(t)
			f.gpu().MES = c.mes
			f.files(t, c.files)
			wrong := bad(Check(f))
			if c.want == "" && len(wrong) > 0 || c.want != "" && (len(wrong) != 1 || wrong[0].Severity != Warning || !strings.Contains(wrong[0].What, c.want)) {
				t.Errorf("%+v", wrong)
			}
		})
	}
}

func TestParseStat(t *testing.T) {
	for text, want := range map[string]Process{
		"7311 (VLLM::EngineCor) S 1 7311 7311 0": {7311, 1, "VLLM::EngineCor"},
		"12 (a) (b) S 4 5":                       {12, 4, "a) (b"},
		"12 (a) S":                               {},
		"x (a) S 1":                              {},
		"12 a S 1":                               {},
		"":                                       {},
	} {
		got, ok := parseStat(text)
		if !ok {
			got = Process{}
		}
		if got != want {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
	}
}

func TestSettings(t *testing.T) {
	got := settingsIn(`BOOT_IMAGE=/vmlinuz ro amdgpu.gttsize="122880" ttm.pages-limit=1 snd.index=0 amd_iommu=off amdgpu. psi=1`)
	want := []Setting{{Name: "amdgpu.gttsize", Value: "122880"}, {Name: "ttm.pages_limit", Value: "1"}, {Name: "amd_iommu", Value: "off"}, {Name: "psi", Value: "1"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	got = parseModprobe("/etc/modprobe.d/x.conf", "# options ttm pages_limit=1\n\noptions amdgpu gttsize=5 \\\n\tnoretry=0\nblacklist ttm\noptions ttm\n")
	want = []Setting{{Name: "amdgpu.gttsize", Value: "5", File: "/etc/modprobe.d/x.conf", Line: 3, Modprobe: true}, {Name: "amdgpu.noretry", Value: "0", File: "/etc/modprobe.d/x.conf", Line: 3, Modprobe: true}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}

// denied is a file system in which nothing may be read.
type denied struct{ fstest.MapFS }

func (d denied) Open(name string) (fs.File, error) {
	if info, err := d.MapFS.Stat(name); err != nil || info.IsDir() {
		return d.MapFS.Open(name)
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
}

func TestFilesThatMayNotBeReadAreNamed(t *testing.T) {
	f := Look(denied{fstest.MapFS{"etc/group": {}, "etc/default/grub": {}}}, nil, "")
	if !slices.Equal(f.Hidden, []string{"/etc/default/grub", "/etc/group"}) {
		t.Errorf("hidden: %q", f.Hidden)
	}
}

func FuzzSettings(f *testing.F) {
	for _, seed := range []string{
		"options ttm pages_limit=31457280\n", "options amdgpu gttsize=1 \\\n noretry=0", "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet ttm.pages_limit=1\"\n",
		`{"user": {"kernel_options": ["ttm.pages_limit=1"]}}`, "options root=/dev/sda1 amdgpu.x=\"y z\"", "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		lines := strings.Count(text, "\n") + 1
		for name, parse := range map[string]func(string, string) []Setting{"modprobe": parseModprobe, "grub": parseGRUB, "cmdline": parseCmdline, "entry": parseEntry, "stub": parseStub} {
			for _, s := range parse("/f", text) {
				if s.Name == "" || strings.ContainsAny(s.Name, " \t\n-") || s.File != "/f" || s.Line < 0 || s.Line > lines || (s.Line == 0) != (name == "stub") || s.Modprobe != (name == "modprobe") {
					t.Errorf("%s: %+v", name, s)
				}
			}
		}
	})
}

func FuzzParsers(f *testing.F) {
	f.Add("7311 (VLLM::EngineCor) S 1 2")
	f.Add("__version__ = '2.11.0+rocm7.14'\nhip: Optional[str] = '7.14'\n")
	f.Add("Package: linux-firmware\nStatus: install ok installed\nVersion: 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		if p, ok := parseStat(text); ok && !strings.Contains(text, fmt.Sprintf("(%s)", p.Comm)) {
			t.Errorf("%q: %+v", text, p)
		}
		if b, ok := parseTorch(text); ok && (b.Torch == "" || strings.ContainsAny(b.Torch, " \n")) {
			t.Errorf("%q: %+v", text, b)
		}
		if v := dpkgVersion(text, firmwarePackages); strings.Contains(v, "\n") {
			t.Errorf("%q: %q", text, v)
		}
	})
}

// TestEveryHostGetsWellFormedFindings tries hosts of which anything may be missing.
func TestEveryHostGetsWellFormedFindings(t *testing.T) {
	healthy := well(t)
	rapid.Check(t, func(t *rapid.T) {
		f := healthy
		g := healthy.Snapshot.GPUs[0]
		some := func(name string, n units.Bytes) *uint64 {
			if rapid.IntRange(0, 4).Draw(t, name) == 0 {
				return nil
			}
			return size(n)
		}
		bytes := func(name string) units.Bytes { return units.Bytes(rapid.Uint64Range(0, 200<<30).Draw(t, name)) }
		f.Snapshot.Memory.MemTotal = some("memTotal", bytes("ram"))
		f.Snapshot.Kernel.PagesLimit = some("pagesLimit", bytes("limit"))
		g.PoolSize, g.GTTUsed, g.VRAMTotal = some("poolSize", bytes("pool")), some("gttUsed", bytes("used")), some("vramTotal", bytes("vram"))
		if rapid.Bool().Draw(t, "vramPool") {
			g.Pool = "vram"
		}
		g.APU = rapid.Bool().Draw(t, "apu")
		if rapid.IntRange(0, 3).Draw(t, "kfd") == 0 {
			g.KFD = nil
		}
		f.Snapshot.GPUs = f.Snapshot.GPUs[:0:0]
		for range rapid.IntRange(0, 2).Draw(t, "gpus") {
			f.Snapshot.GPUs = append(f.Snapshot.GPUs, g)
		}
		f.Snapshot.Kernel.CommandLine = strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{
			"ttm.pages_limit=31457280", "amdgpu.gttsize=131072", "amdgpu.gtt_size=1", "ttm.page_limits=5", "amd_iommu=off", "psi=0", "amdgpu.noretry=0", "ttm.page_pool_size=99999999",
		}), 0, 4).Draw(t, "line"), " ")
		f.Snapshot.Kernel.Parameters = map[string]string{}
		if rapid.Bool().Draw(t, "noPlan") {
			f.Plan = nil
		}
		if rapid.Bool().Draw(t, "noFiles") {
			f.Files = nil
		}
		found := Check(f)
		if text := ill(found); text != "" {
			t.Error(text)
		}
	})
}

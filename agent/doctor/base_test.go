package doctor

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/tierd/tierd/rocm"
	"github.com/tierd/tierd/rocm/quirks"
	"github.com/tierd/tierd/units"
)

const gib = units.GiB

func size(b units.Bytes) *uint64 { n := uint64(b); return &n }

// stack are two tiers on the GPU and one on the CPU: 106.9 GiB on the GPU, 109.4 in all.
const stack = `
[engine.vllm]
command = ["/opt/vllm/bin/vllm", "serve"]
[engine.llama]
command = ["/usr/bin/llama-server"]
[tier.orch]
port = 8001
start = "boot"
priority = 90
[tier.orch.variant.vllm]
engine = "vllm"
model = "o/m"
context = "64K"
memory = "42.5GiB"
[tier.coder]
port = 8002
start = "boot"
priority = 80
[tier.coder.variant.vllm]
engine = "vllm"
model = "o/c"
context = "48K"
memory = "64.4GiB"
[tier.utility]
port = 8012
start = "boot"
priority = 60
[tier.utility.variant.llama]
engine = "llama"
model = "u.gguf"
context = "8K"
memory = "2.5GiB"
[mode.full]
tiers = ["orch", "coder", "utility"]
`

// planned is a configuration as a plan, without a look at files.
func planned(t testing.TB, text string, h units.Host) (*units.Plan, []units.Fault) {
	t.Helper()
	c, faults := units.ParseConfig("tiers.toml", []byte(text))
	if c == nil {
		t.Fatal(faults)
	}
	plan, more := units.MakePlan(c, h)
	return plan, append(faults, more...)
}

// well is a host on which nothing is wrong: 128 GB, of which the GPU may have 120 GiB.
func well(t testing.TB) Facts {
	t.Helper()
	q, wrong := quirks.Load(t.TempDir())
	if len(wrong) > 0 {
		t.Fatal(wrong)
	}
	total := rocm.Stall{}
	plan, faults := planned(t, stack, units.Host{})
	f := Facts{
		Config: "tiers.toml", Plan: plan, Faults: faults, Quirks: q,
		Snapshot: rocm.Snapshot{
			Memory:   rocm.Memory{MemTotal: size(130988112 * units.KiB), MemAvailable: size(120 * gib)},
			Swaps:    []rocm.Swap{{Name: "/dev/nvme0n1p3", Kind: rocm.SwapPartition, Size: uint64(8 * gib)}},
			Pressure: rocm.Pressure{Memory: &rocm.PSI{Some: &total, Full: &total}},
			Kernel: rocm.Kernel{Release: "7.1.3-100.fc43.x86_64", CommandLine: "ro quiet iommu=pt ttm.pages_limit=31457280",
				Parameters: map[string]string{"ttm.pages_limit": "31457280", "ttm.page_pool_size": "16373514", "amdgpu.gttsize": "-1", "amdgpu.cwsr_enable": "1"},
				PagesLimit: size(120 * gib), Controllers: []string{"cpu", "memory"}},
			GPUs: []rocm.GPU{{Card: "card1", PCI: "0000:c5:00.0", AMD: true, APU: true, Driver: "amdgpu", Render: "renderD128",
				VRAMTotal: size(gib / 2), VRAMUsed: size(gib / 4), GTTTotal: size(120 * gib), GTTUsed: size(gib / 8),
				Pool: rocm.PoolGTT, PoolSize: size(120 * gib), PoolUsed: size(gib / 8),
				KFD: &rocm.KFD{Node: 1, Gfx: "gfx1151", CUs: 40, Bank: size(120 * gib), CWSR: true}}},
			ClientsComplete: true,
		},
	}
	f.Files = Look(fstest.MapFS{"etc/group": {Data: []byte("root:x:0:\nvideo:x:44:\nrender:x:105:\n")}}, plan, "renderD128")
	return f
}

func (f *Facts) gpu() *rocm.GPU { return &f.Snapshot.GPUs[0] }

// limit sets ttm.pages_limit, on the boot line too.
func (f *Facts) limit(b units.Bytes) {
	f.Snapshot.Kernel.PagesLimit, f.gpu().GTTTotal, f.gpu().PoolSize, f.gpu().KFD.Bank = size(b), size(b), size(b), size(b)
	f.Snapshot.Kernel.Parameters["ttm.pages_limit"] = pages(b)
	f.boot("ttm.pages_limit=" + pages(b))
}

func (f *Facts) boot(words string) { f.Snapshot.Kernel.CommandLine = "ro quiet iommu=pt " + words }

// files makes the doctor look at these as well.
func (f *Facts) files(t testing.TB, archive map[string]string) {
	t.Helper()
	root := fstest.MapFS{"etc/group": {Data: []byte("root:x:0:\nvideo:x:44:\nrender:x:105:\n")}}
	for name, text := range archive {
		root[name] = &fstest.MapFile{Data: []byte(text), Mode: 0o755}
	}
	f.Files = Look(root, f.Plan, "renderD128")
}

// bad are the findings that are more than notes.
func bad(found []Finding) []Finding {
	var list []Finding
	for _, f := range found {
		if f.Severity == Error || f.Severity == Warning {
			list = append(list, f)
		}
	}
	return list
}

func byID(found []Finding, id string) *Finding {
	for i := range found {
		if found[i].ID == id {
			return &found[i]
		}
	}
	return nil
}

// text is a finding in one line, for messages of tests.
func (f Finding) text() string {
	return strings.Join([]string{string(f.Severity), f.ID, f.What, f.Why, f.Fix}, " | ")
}

// installed is all that the stack needs, but for some files.
func installed(missing ...string) fstest.MapFS {
	root := fstest.MapFS{
		"opt/vllm/bin/vllm":                     {Mode: 0o755},
		"usr/bin/llama-server":                  {Mode: 0o755},
		"var/lib/tierd/models/o/m/config.json":  {},
		"var/lib/tierd/models/o/c/config.json":  {},
		"var/lib/tierd/models/u.gguf":           {},
		"var/lib/tierd/models/other/other.gguf": {},
	}
	for _, m := range missing {
		delete(root, m)
	}
	return root
}

func (f *Facts) lookForModels(t testing.TB, missing ...string) {
	f.lookForModelsOf(t, stack, missing...)
}

func (f *Facts) lookForModelsOf(t testing.TB, text string, missing ...string) {
	f.Plan, f.Faults = planned(t, text, units.Host{FS: installed(missing...)})
}

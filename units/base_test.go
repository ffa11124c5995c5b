package units

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// base is a small valid file. Tests change single lines of it, so that the line numbers below stay true.
const base = `[host]
reserve = "4GiB"
models = ["/models"]
default_mode = "both"

[engine.vllm]
command = ["/opt/vllm/bin/vllm", "serve"]

[engine.llama]
command = ["/usr/bin/llama-server"]

[tier.coder]
port = 8002
priority = 80

[tier.coder.variant.vllm]
engine = "vllm"
model = "org/big"
context = "16K"
memory = "20GiB"
kv_memory = "4GiB"

[tier.coder.variant.cloud]
engine = "remote"
url = "https://api.example.com/v1"
model = "large"
key = "cloud-key"

[tier.utility]
port = 8012
start = "boot"

[tier.utility.variant.llama]
engine = "llama"
model = "small.gguf"
context = "8K"
memory = "2GiB"

[mode.both]
tiers = ["coder", "utility"]
`

// edit replaces text in base; each pair must be there once.
func edit(t testing.TB, pairs ...string) string {
	t.Helper()
	text := base
	for i := 0; i < len(pairs); i += 2 {
		if strings.Count(text, pairs[i]) != 1 {
			t.Fatalf("%q is in the text %d times", pairs[i], strings.Count(text, pairs[i]))
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	return text
}

// parse reads a file that must have no fault.
func parse(t testing.TB, text string) *Config {
	t.Helper()
	c, faults := ParseConfig("tiers.toml", []byte(text))
	if c == nil || len(faults) > 0 {
		t.Fatalf("unexpected faults:\n%s", lines(faults))
	}
	return c
}

// lines is a list of faults as tierctl prints it.
func lines(faults []Fault) string { return strings.Join(each(faults, Fault.Error), "\n") }

// unit plans text for a host and returns one of its units.
func unit(t testing.TB, text string, h Host, name string) Unit {
	t.Helper()
	p, _ := MakePlan(parse(t, text), h)
	u, ok := p.Unit(name)
	if !ok {
		t.Fatalf("no unit %s", name)
	}
	return u
}

// property returns the values of a property of a unit; a name may be there more than once.
func property(u Unit, name string) []any {
	var values []any
	for _, p := range u.Properties {
		if p.Name == name {
			values = append(values, p.Value)
		}
	}
	return values
}

// one returns a property that is there once.
func one[T any](t testing.TB, u Unit, name string) T {
	t.Helper()
	values := property(u, name)
	if len(values) != 1 {
		t.Fatalf("%s has %s %d times", u.Name, name, len(values))
	}
	v, ok := values[0].(T)
	if !ok {
		t.Fatalf("%s of %s is a %T", name, u.Name, values[0])
	}
	return v
}

// argv is the command line of a unit.
func argv(t testing.TB, u Unit) []string {
	t.Helper()
	e := one[[]Exec](t, u, "ExecStartEx")
	if len(e) != 1 {
		t.Fatalf("%s has %d commands", u.Name, len(e))
	}
	return e[0].Args
}

// golden compares text with a file in testdata, or writes it there with -update.
func golden(t *testing.T, name, text string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; run the tests with -update", err)
	}
	if text != string(want) {
		t.Errorf("%s differs; look at it, then run the tests with -update\n%s", file, firstDifference(text, string(want)))
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(g), len(w)) {
		a, b := "(end)", "(end)"
		if i < len(g) {
			a = g[i]
		}
		if i < len(w) {
			b = w[i]
		}
		if a != b {
			return " got " + a + "\nwant " + b
		}
	}
	return ""
}

// program is an executable file, file a plain one and link a symbolic link in a test's file system.
func program() *fstest.MapFile       { return &fstest.MapFile{Mode: 0o755} }
func file(size int) *fstest.MapFile  { return &fstest.MapFile{Data: make([]byte, size), Mode: 0o644} }
func text(s string) *fstest.MapFile  { return &fstest.MapFile{Data: []byte(s), Mode: 0o644} }
func link(to string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(to), Mode: os.ModeSymlink} }
func shipped(t testing.TB) []byte {
	t.Helper()
	src, err := os.ReadFile("../tiers.toml")
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// strixModels are the models of the shipped file: folders and files of the size that the published ones have.
var strixModels = sync.OnceValue(func() map[string]hugeFile {
	const models = "var/lib/tierd/models/"
	coder := qwenCoder.folder("BF16", 16)
	cached := map[string]hugeFile{}
	for name, f := range coder {
		cached["blobs/"+name] = f
	}
	return merged(
		below(models+"Qwen/Qwen2.5-14B-Instruct", qwen14.folder("BF16", 8)),
		below(models+"models--Qwen--Qwen3-Coder-30B-A3B-Instruct", cached),
		map[string]hugeFile{
			models + "Qwen/Qwen2.5-14B-Instruct-GGUF/qwen2.5-14b-instruct-q4_k_m.gguf":          qwen14.gguf(q4KM, 15),
			models + "bartowski/Llama-3.3-70B-Instruct-GGUF/Llama-3.3-70B-Instruct-Q4_K_M.gguf": llama70.gguf(q4KM, 15),
			models + "Qwen/Qwen2.5-3B-Instruct-GGUF/qwen2.5-3b-instruct-q4_k_m.gguf":            qwen3B.gguf(q4KM, 15),
		})
})

// strixCache spares the tests from reading their headers each time.
var strixCache ModelCache

// strixHalo is a host on which everything that the shipped file names is installed.
func strixHalo() Host {
	const coder = "var/lib/tierd/models/models--Qwen--Qwen3-Coder-30B-A3B-Instruct/"
	small := fstest.MapFS{
		"opt/vllm/bin/vllm":                                                    program(),
		"usr/bin/llama-server":                                                 program(),
		"opt/llama.cpp/vulkan/bin/llama-server":                                program(),
		"opt/llama.cpp/rocm/bin/llama-server":                                  program(),
		"etc/credstore.encrypted/cloud-key":                                    file(10),
		"opt/vllm/lib/python3.12/site-packages/vllm-0.19.1.dist-info/METADATA": text("Name: vllm\n"),
		coder + "refs/main":                                                    text("b2cff646eb4bb1d68355c01b18ae02e7cf42d120\n"),
	}
	for name := range strixModels() {
		if blob, ok := strings.CutPrefix(name, coder+"blobs/"); ok {
			small[coder+"snapshots/b2cff646eb4bb1d68355c01b18ae02e7cf42d120/"+blob] = link("../../blobs/" + blob)
		}
	}
	return Host{
		SystemdVersion: 262, MemTotal: 127898 * MiB, GPUTotal: 120 * GiB, CPUs: 32,
		Groups: map[string]bool{"render": true, "video": true},
		FS:     newDisk(small, strixModels()), Models: &strixCache,
	}
}

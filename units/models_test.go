package units

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// shelf holds models in every layout that is known.
func shelf() fstest.MapFS {
	const hub = "home/me/.cache/huggingface/hub/models--org--cached/"
	return fstest.MapFS{
		"models/org/plain/config.json":             file(10),
		"models/org/plain/a.safetensors":           file(100),
		"models/org/plain/b.safetensors":           file(200),
		"models/org/plain/README.md":               file(5000),
		"models/org/noconfig/a.safetensors":        file(100),
		"models/single/config.json":                file(10),
		"models/single/model.safetensors":          file(50),
		"models/some/small.gguf":                   file(70),
		"models/split-00001-of-00003.gguf":         file(10),
		"models/split-00002-of-00003.gguf":         file(20),
		"models/split-00003-of-00003.gguf":         file(30),
		"models/split-00003-of-00004.gguf":         file(1000),
		"models/org/repo-GGUF/q4_k_m.gguf":         file(40),
		"models/weights.bin":                       file(1),
		"second/org/other/config.json":             file(1),
		"second/org/plain/config.json":             file(1),
		hub + "refs/main":                          text("abc123\n"),
		hub + "blobs/c":                            file(3),
		hub + "blobs/w":                            file(300),
		hub + "blobs/g":                            file(400),
		hub + "snapshots/abc123/config.json":       link("../../blobs/c"),
		hub + "snapshots/abc123/model.safetensors": link("../../blobs/w"),
		hub + "snapshots/abc123/q4.gguf":           link("../../blobs/g"),
		hub + "snapshots/old/config.json":          link("../../blobs/c"),
		// A repository whose blobs were moved to another disk.
		"home/me/.cache/huggingface/hub/models--org--moved": link("/disk/models--org--moved"),
		"disk/models--org--moved/refs/main":                 text("r"),
		"disk/models--org--moved/snapshots/r/config.json":   file(1),
		"models/linked":            link("/disk/plain"),
		"disk/plain/config.json":   file(1),
		"disk/plain/x.safetensors": file(9),
		"models/loop":              link("loop"),
		"models/dangling":          link("nowhere"),
	}
}

const cached = "/home/me/.cache/huggingface/hub/models--org--cached"

func TestAModelIsFoundInEveryLayout(t *testing.T) {
	folders := []string{"/models", "/second", "/home/me/.cache/huggingface"}
	for _, row := range []struct {
		rule, name, kind string
		path             string
		dirs             []string
		size             Bytes
	}{
		{"ORG/NAME as a folder; its size is that of the weights", "org/plain", KindVLLM, "/models/org/plain", []string{"/models/org/plain"}, 300},
		{"NAME as a folder", "single", KindVLLM, "/models/single", []string{"/models/single"}, 50},
		{"the first folder that has it", "org/other", KindVLLM, "/second/org/other", []string{"/second/org/other"}, 1},
		{"an absolute folder", "/second/org/plain", KindVLLM, "/second/org/plain", []string{"/second/org/plain"}, 1},
		{"a GGUF below a folder", "some/small.gguf", KindLlama, "/models/some/small.gguf", []string{"/models/some"}, 70},
		{"a GGUF of a repository", "org/repo-GGUF/q4_k_m.gguf", KindLlama, "/models/org/repo-GGUF/q4_k_m.gguf", []string{"/models/org/repo-GGUF"}, 40},
		{"an absolute GGUF", "/models/some/small.gguf", KindLlama, "/models/some/small.gguf", []string{"/models/some"}, 70},
		{"all parts of a split GGUF count", "split-00001-of-00003.gguf", KindLlama, "/models/split-00001-of-00003.gguf", []string{"/models"}, 60},
		{"the snapshot of a cache that refs/main names", "org/cached", KindVLLM, cached + "/snapshots/abc123", []string{cached}, 300},
		{"a GGUF in a cache", "org/cached/q4.gguf", KindLlama, cached + "/snapshots/abc123/q4.gguf", []string{cached}, 400},
		{"a cache that lies elsewhere", "org/moved", KindVLLM, "/home/me/.cache/huggingface/hub/models--org--moved/snapshots/r",
			[]string{"/home/me/.cache/huggingface/hub/models--org--moved", "/disk/models--org--moved"}, 1},
		{"a folder that is an absolute link", "linked", KindVLLM, "/models/linked", []string{"/models/linked", "/disk/plain"}, 9},
	} {
		t.Run(row.rule, func(t *testing.T) {
			m, err := findModel(tree{shelf()}, folders, row.name, row.kind)
			if err != nil {
				t.Fatal(err)
			}
			if m.path != row.path || !slices.Equal(m.dirs, row.dirs) || m.size != row.size {
				t.Errorf("got %+v", m)
			}
		})
	}
}

func TestAModelThatCannotBeLoadedSaysWhatToDo(t *testing.T) {
	for _, row := range []struct{ rule, name, kind, want string }{
		{"vLLM with a GGUF", "some/small.gguf", KindVLLM,
			`model "some/small.gguf" is a single file, and vLLM wants a folder with config.json and safetensors; use an engine of kind "llama" for it`},
		{"vLLM with a folder that is no model", "org/noconfig", KindVLLM,
			`/models/org/noconfig has no config.json, so vLLM cannot load it; fetch the model again, or name another folder`},
		{"llama-server with safetensors", "org/plain", KindLlama,
			`model "org/plain" is a folder without a .gguf file, which llama-server cannot load; use an engine of kind "vllm", or fetch a GGUF of the model`},
		{"llama-server with the folder of a GGUF", "org/repo-GGUF", KindLlama,
			`model "org/repo-GGUF" is a folder, and llama-server wants one file in it; write its name too, as in "org/repo-GGUF/q4_k_m.gguf"`},
		{"llama-server with another file", "weights.bin", KindLlama,
			`model "weights.bin" is not a .gguf file, which is all that llama-server loads`},
		{"a name that is nowhere", "org/absent", KindVLLM,
			"model \"org/absent\" is not in /models, /second (looked for org/absent or models--org--absent); fetch it with `tierctl pull org/absent`, or add its folder to `models` in [host]"},
		{"a file of a repository that is nowhere", "org/absent/q4.gguf", KindLlama,
			"model \"org/absent/q4.gguf\" is not in /models, /second (looked for org/absent/q4.gguf or models--org--absent); fetch it with `tierctl pull org/absent/q4.gguf`, or add its folder to `models` in [host]"},
		{"a plain name that is nowhere", "absent.gguf", KindLlama,
			"model \"absent.gguf\" is not in /models, /second (looked for absent.gguf); put it there, or add its folder to `models` in [host]"},
		{"a slip of the hand", "weigths.bin", KindLlama,
			"model \"weigths.bin\" is not in /models, /second (looked for weigths.bin); did you mean \"weights.bin\"? Or put it there, or add its folder to `models` in [host]"},
		{"a slip in a repository's file", "org/repo-GGUF/q4_km.gguf", KindLlama,
			"model \"org/repo-GGUF/q4_km.gguf\" is not in /models, /second (looked for org/repo-GGUF/q4_km.gguf or models--org--repo-GGUF); " +
				"did you mean \"org/repo-GGUF/q4_k_m.gguf\"? Or fetch it with `tierctl pull org/repo-GGUF/q4_km.gguf`, or add its folder to `models` in [host]"},
		{"another number is another model", "org/repo-GGUF/q5_k_m.gguf", KindLlama,
			"model \"org/repo-GGUF/q5_k_m.gguf\" is not in /models, /second (looked for org/repo-GGUF/q5_k_m.gguf or models--org--repo-GGUF); " +
				"fetch it with `tierctl pull org/repo-GGUF/q5_k_m.gguf`, or add its folder to `models` in [host]"},
		{"an absolute path that is nowhere", "/absent.gguf", KindLlama,
			"model /absent.gguf does not exist; put it there, or change `model`"},
		{"a link to nowhere", "dangling", KindVLLM,
			"model \"dangling\" is not in /models, /second (looked for dangling); put it there, or add its folder to `models` in [host]"},
		{"a link to itself", "loop", KindVLLM,
			"model \"loop\" is not in /models, /second (looked for loop); put it there, or add its folder to `models` in [host]"},
	} {
		t.Run(row.rule, func(t *testing.T) {
			_, err := findModel(tree{shelf()}, []string{"/models", "/second"}, row.name, row.kind)
			if err == nil || err.Error() != row.want {
				t.Errorf("got\n%v\nwant\n%s", err, row.want)
			}
		})
	}
}

func TestWithoutFoldersNothingIsFound(t *testing.T) {
	_, err := findModel(tree{shelf()}, nil, "org/plain", KindVLLM)
	if err == nil || !strings.Contains(err.Error(), "`models` in [host] names no folder") {
		t.Errorf("got %v", err)
	}
}

// realTree is a folder on disk as the root, where os.DirFS by itself would follow absolute links out of it.
func realTree(t *testing.T) (tree, string) {
	t.Helper()
	root := t.TempDir()
	return tree{os.DirFS(root)}, root
}

func write(t *testing.T, root, name, data string) {
	t.Helper()
	at := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
}

func symlink(t *testing.T, root, name, to string) {
	t.Helper()
	at := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(to, at); err != nil {
		t.Fatal(err)
	}
}

func TestLinksStayInsideTheRoot(t *testing.T) {
	h, root := realTree(t)
	write(t, root, "data/model/config.json", "{}")
	write(t, root, "data/model/w.safetensors", "12345")
	symlink(t, root, "models/absolute", "/data/model")
	symlink(t, root, "models/relative", "../data/model")
	symlink(t, root, "models/upwards", "../../../../../../data/model")
	symlink(t, root, "models/outside", root+"/data/model") // names a path that the root does not have
	for _, name := range []string{"absolute", "relative", "upwards"} {
		m, err := findModel(h, []string{"/models"}, name, KindVLLM)
		if err != nil || m.size != 5 || !slices.Contains(m.dirs, "/data/model") {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
	if m, err := findModel(h, []string{"/models"}, "outside", KindVLLM); err == nil {
		t.Errorf("a link led out of the root: %+v", m)
	}
}

func TestResolveFollowsLinksInTheMiddle(t *testing.T) {
	h := tree{fstest.MapFS{
		"a":         link("b"),
		"b":         link("/c/d"),
		"c/d/e":     link("../f"),
		"c/f/x":     file(1),
		"round":     link("trip"),
		"trip":      link("round"),
		"c/d/plain": file(2),
	}}
	for at, want := range map[string]string{"/a/e/x": "/c/f/x", "/b/plain": "/c/d/plain", "/": "/", "/c/d": "/c/d", "/a": "/c/d"} {
		if got, err := h.resolve(at); err != nil || got != want {
			t.Errorf("%s is %s, %v; want %s", at, got, err, want)
		}
	}
	for _, at := range []string{"/round", "/nowhere", "/a/nowhere/x", "/c/f/x/y"} {
		if got, err := h.resolve(at); err == nil {
			t.Errorf("%s is %s", at, got)
		}
	}
}

func TestAnEngineIsLookedAt(t *testing.T) {
	h := tree{fstest.MapFS{"bin/good": program(), "bin/plain": file(1), "bin/dir/x": file(1), "bin/link": link("good")}}
	for path, want := range map[string]string{
		"/bin/good": "", "/bin/link": "", "/bin/none": "/bin/none does not exist",
		"/bin/dir": "/bin/dir is a folder, not a program", "/bin/plain": "/bin/plain is not executable",
	} {
		err := h.executable(path)
		if want == "" && err != nil || want != "" && (err == nil || err.Error() != want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

// shut is a file system that nobody but root may look into.
type shut struct{ fstest.MapFS }

func (shut) Lstat(name string) (fs.FileInfo, error) {
	return nil, &fs.PathError{Op: "lstat", Path: name, Err: fs.ErrPermission}
}

func TestWhatMayNotBeLookedAtCountsAsThere(t *testing.T) {
	h := tree{shut{}}
	if !h.hasCredential("cloud-key") {
		t.Error("a credential behind a closed door is reported as missing")
	}
	if err := h.executable("/root/bin/vllm"); err != nil {
		t.Errorf("an engine behind a closed door is reported: %v", err)
	}
}

func TestACredentialIsLookedForWhereSystemdDoes(t *testing.T) {
	for _, dir := range credentialDirs {
		if !(tree{fstest.MapFS{dir[1:] + "/k": file(1)}}).hasCredential("k") {
			t.Errorf("not found in %s", dir)
		}
	}
	if (tree{fstest.MapFS{"etc/credstore.encrypted/other": file(1)}}).hasCredential("k") {
		t.Error("found where it is not")
	}
}

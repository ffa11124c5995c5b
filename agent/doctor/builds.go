package doctor

import (
	"debug/elf"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/tierd/tierd/units"
)

// Build is what the files beside an engine's program say of how it was built. Nothing is run.
type Build struct {
	Found    bool     // there is enough to tell
	Backends []string // of llama.cpp, that use a GPU: "vulkan", "hip", "cuda"
	Torch    string   // version of vLLM's torch: "2.11.0+rocm7.14"; "": not found
	HIP      bool     // that torch is built for ROCm
}

func buildOf(root fs.FS, e units.Engine) Build {
	program := strings.TrimPrefix(e.Command[0], "/")
	places := []string{program}
	if target, err := fs.ReadLink(root, program); err == nil { // of a chain of links the first is enough
		if !path.IsAbs(target) {
			target = path.Join("/", path.Dir(program), target)
		}
		places = append(places, strings.TrimPrefix(path.Clean(target), "/"))
	}
	switch e.Kind {
	case units.KindVLLM:
		return vllmBuild(root, places)
	case units.KindLlama:
		return llamaBuild(root, places)
	}
	return Build{}
}

// vllmBuild looks for torch in the Python environment that the program is in.
func vllmBuild(root fs.FS, places []string) Build {
	for _, place := range places {
		env := path.Dir(path.Dir(place))
		for _, lib := range []string{"lib", "lib64"} {
			found, _ := fs.Glob(root, path.Join(env, lib)+"/python3*/site-packages/torch/version.py")
			for _, name := range found {
				if text, err := fs.ReadFile(root, name); err == nil {
					if b, ok := parseTorch(string(text)); ok {
						return b
					}
				}
			}
		}
	}
	return Build{}
}

var (
	torchVersion = regexp.MustCompile(`(?m)^__version__ *= *['"]([0-9A-Za-z.+_-]{1,60})['"]`)
	torchHIP     = regexp.MustCompile(`(?m)^hip *(?::[^=\n]*)?= *['"][^'"\n]+['"]`)
)

// parseTorch reads torch/version.py.
func parseTorch(text string) (Build, bool) {
	m := torchVersion.FindStringSubmatch(text)
	if m == nil {
		return Build{}, false
	}
	return Build{Found: true, Torch: m[1], HIP: torchHIP.MatchString(text) || strings.Contains(m[1], "rocm")}, true
}

var ggmlBackend = regexp.MustCompile(`^libggml-(vulkan|hip|cuda)[.-]`)

// llamaBuild looks for ggml's backends: libraries beside the program or where distributions put them, or linked into it.
func llamaBuild(root fs.FS, places []string) Build {
	var b Build
	add := func(backend string) {
		if b.Found = true; !slices.Contains(b.Backends, backend) {
			b.Backends = append(b.Backends, backend)
		}
	}
	for _, place := range places {
		for _, name := range libraries(root, path.Dir(place)) {
			if m := ggmlBackend.FindStringSubmatch(name); m != nil {
				add(m[1])
			}
			b.Found = b.Found || strings.HasPrefix(name, "libggml")
		}
		needs, ok := needed(root, place)
		b.Found = b.Found || ok && !slices.ContainsFunc(needs, func(n string) bool { return strings.HasPrefix(n, "libggml") || strings.HasPrefix(n, "libllama") })
		for _, n := range needs {
			switch {
			case strings.HasPrefix(n, "libvulkan."):
				add("vulkan")
			case strings.HasPrefix(n, "libamdhip64."):
				add("hip")
			case strings.HasPrefix(n, "libcudart."), strings.HasPrefix(n, "libcublas."):
				add("cuda")
			}
		}
	}
	slices.Sort(b.Backends)
	return b
}

// libraries are the names of the files in the folders that a program in dir finds libraries in.
func libraries(root fs.FS, dir string) []string {
	folders := []string{dir, path.Join(dir, "../lib"), path.Join(dir, "../lib64"), path.Join(dir, "../lib/x86_64-linux-gnu")}
	var names []string
	for _, folder := range folders {
		for _, sub := range []string{"", "ggml", "ggml/backends0", "llama.cpp"} {
			if at := path.Join(folder, sub); fs.ValidPath(at) && (at != "." || folder == dir) {
				entries, _ := fs.ReadDir(root, at)
				for _, e := range entries {
					names = append(names, e.Name())
				}
			}
		}
	}
	return names
}

// needed are the libraries that a program is linked to.
func needed(root fs.FS, program string) (names []string, ok bool) {
	f, err := root.Open(program)
	if err != nil {
		return nil, false
	}
	defer f.Close()
	at, ok := f.(io.ReaderAt)
	if !ok {
		return nil, false
	}
	file, err := elf.NewFile(at)
	if err != nil {
		return nil, false // a script, which starts the program from who knows where
	}
	names, err = file.ImportedLibraries()
	return names, err == nil
}

// checkBuilds tells of engines that cannot use the GPU although they are meant to.
func (r *report) checkBuilds() {
	if r.Files == nil || r.Plan == nil {
		return
	}
	for _, e := range r.Plan.Config.Engines {
		b := r.Files.Builds[e.Name]
		if !b.Found {
			continue
		}
		f := Finding{ID: "engine-build", Severity: Error, Why: "it loads the model into the RAM and computes on the CPU, or does not start"}
		switch {
		case b.Torch != "" && b.HIP:
			r.fine("engine-build", "torch/version.py", "engine %q has torch %s, built for ROCm", e.Name, b.Torch)
			continue
		case b.Torch != "":
			f.Source = "vllm-project/vllm, installation on ROCm"
			f.What = fmt.Sprintf("engine %q has torch %s, which is not built for ROCm", e.Name, b.Torch)
			f.Fix = fmt.Sprintf("install vLLM with ROCm's wheels for %s in another environment, and name its program in `command` of [engine.%s]", r.gfx(), e.Name)
		case slices.Contains(b.Backends, "vulkan") || slices.Contains(b.Backends, "hip"):
			r.fine("engine-build", "ggml-org/llama.cpp, docs/build.md", "engine %q is built with %s", e.Name, strings.Join(b.Backends, " and "))
			continue
		default:
			f.Source = "ggml-org/llama.cpp, docs/build.md"
			f.What = fmt.Sprintf("engine %q has gpu = true, and %s is built for the CPU alone", e.Name, e.Command[0])
			if len(b.Backends) > 0 {
				f.What = fmt.Sprintf("engine %q has gpu = true, and %s is built for CUDA, which AMD GPUs do not have", e.Name, e.Command[0])
			}
			f.Fix = fmt.Sprintf("install llama.cpp with Vulkan (-DGGML_VULKAN=ON) or ROCm (-DGGML_HIP=ON) and name its llama-server in `command`, or write gpu = false in [engine.%s]", e.Name)
		}
		r.add(f)
	}
}

func (r *report) gfx() string {
	if r.gpu == nil || r.gpu.Gfx() == "" {
		return "your GPU"
	}
	return r.gpu.Gfx()
}

package compose

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/tierd/tierd/units"
)

var update = flag.Bool("update", false, "rewrite the expected output")

// atHome is the environment of the tests.
func atHome(name string) (string, bool) {
	if name == "HOME" {
		return "/home/user", true
	}
	return "", false
}

func envOf(text string) Source {
	return Source{Name: ".env", Dir: "/home/user/stack", Text: []byte(text)}
}

// golden are the files in testdata after the shapes that the stack's files had, with what they become.
func golden(t testing.TB) map[string]*txtar.Archive {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	all := map[string]*txtar.Archive{}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all[file] = a
	}
	return all
}

// sources are the old files of an archive.
func sources(a *txtar.Archive) (env Source, files []Source) {
	for _, f := range a.Files {
		switch {
		case f.Name == ".env":
			env = envOf(string(f.Data))
		case strings.HasSuffix(f.Name, ".yml"):
			files = append(files, Source{Name: f.Name, Text: f.Data})
		}
	}
	return env, files
}

func TestGolden(t *testing.T) {
	for file, a := range golden(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			env, files := sources(a)
			r, faults := Import(env, files, atHome)
			if len(faults) > 0 {
				t.Fatal(faults)
			}
			config, wrong := units.ParseConfig("tiers.toml", r.TOML)
			if config == nil || len(wrong) > 0 {
				t.Errorf("units takes it with %v", wrong)
			}
			if strings.Contains(string(r.TOML), "doNotCopy") {
				t.Error("a secret is copied")
			}
			last := &a.Files[len(a.Files)-1]
			if last.Name != "tiers.toml" {
				a.Files = append(a.Files, txtar.File{Name: "tiers.toml"})
				last = &a.Files[len(a.Files)-1]
			}
			if *update {
				last.Data = r.TOML
				if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(last.Data, r.TOML) {
				t.Errorf("differs from %s (-update rewrites it):\n%s", file, r.TOML)
			}
		})
	}
}

// TestShippedEngines holds the engines that an import writes to those of the tiers.toml that comes with tierd.
func TestShippedEngines(t *testing.T) {
	text, err := os.ReadFile("../../tiers.toml")
	if err != nil {
		t.Fatal(err)
	}
	shipped, faults := units.ParseConfig("tiers.toml", text)
	if shipped == nil {
		t.Fatal(faults)
	}
	r, wrong := Import(envOf("A_PORT=1\nA_MODEL=m\nB_PORT=2\nB_GGUF=b.gguf\nC_PORT=3\nC_MODEL=m\nC_GGUF=c.gguf\n"), nil, atHome)
	if r == nil {
		t.Fatal(wrong)
	}
	made, _ := units.ParseConfig("tiers.toml", r.TOML)
	for _, name := range []string{"vllm", "llama", "llama-radv"} {
		want, _ := shipped.Engine(name)
		got, ok := made.Engine(name)
		if !ok || got.Kind != want.Kind || strings.Join(got.Command, " ") != strings.Join(want.Command, " ") || got.UsesGPU() != want.UsesGPU() {
			t.Errorf("engine %s is %v, and %v in the shipped file", name, got, want)
		}
		for key, value := range want.Env {
			if got.Env[key] != value {
				t.Errorf("engine %s: %s is %q, and %q in the shipped file", name, key, got.Env[key], value)
			}
		}
	}
}

// TestShippedTiers: a tier of a known name starts, counts and rests as the shipped one.
func TestShippedTiers(t *testing.T) {
	text, err := os.ReadFile("../../tiers.toml")
	if err != nil {
		t.Fatal(err)
	}
	shipped, _ := units.ParseConfig("tiers.toml", text)
	env, files := sources(golden(t)["testdata/four-tiers.txtar"])
	r, _ := Import(env, files, atHome)
	made, _ := units.ParseConfig("tiers.toml", r.TOML)
	for _, want := range shipped.Tiers {
		got, ok := made.Tier(want.Name)
		if !ok || got.Role != want.Role || got.Port != want.Port || got.Start != want.Start || got.Priority != want.Priority || got.IdleStop != want.IdleStop {
			t.Errorf("tier %s is %+v, and %+v in the shipped file", want.Name, got, want)
		}
		if first := want.Variants[0]; got.Variants[0].Tools != first.Tools || got.Variants[0].Engine != first.Engine {
			t.Errorf("%s is on %s with tools %q, and on %s with %q in the shipped file", want.Name, got.Variants[0].Engine, got.Variants[0].Tools, first.Engine, first.Tools)
		}
	}
}

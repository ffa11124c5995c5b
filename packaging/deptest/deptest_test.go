// Package deptest holds which package may import which: the arrows of the map in the design.
package deptest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/tierd/tierd/"

// pkg is what `go list` tells of a package. Imports are those of its program, not of its tests.
type pkg struct {
	ImportPath string
	Standard   bool
	Imports    []string
	Deps       []string
}

// list asks for packages of this module.
func list(t *testing.T, patterns ...string) []pkg {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Standard,Imports,Deps"}, patterns...)...)
	cmd.Dir = "../.."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %s: %v\n%s", patterns, err, stderr.Bytes())
	}
	var all []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// ours are the packages of this module among deps, without the module's path.
func ours(deps []string) []string {
	var found []string
	for _, d := range deps {
		if name, ok := strings.CutPrefix(d, module); ok {
			found = append(found, name)
		}
	}
	return found
}

// foreign are the packages among deps that belong neither to the standard library nor to this module.
func foreign(deps []string) []string {
	var found []string
	for _, d := range deps {
		if first, _, _ := strings.Cut(d, "/"); strings.Contains(first, ".") && !strings.HasPrefix(d, module) {
			found = append(found, d)
		}
	}
	return found
}

// TestArrows walks every package and compares what it is built of with what the map allows. A package that the map does
// not know is a failure too: a new one has to be given its place.
func TestArrows(t *testing.T) {
	const anything = "*"
	const sys = "golang.org/x/sys/"
	// gguf-parser-go knows llama.cpp's architectures. It comes with clients of model registries, which units never calls.
	parsers := []string{
		"github.com/BurntSushi/toml", "github.com/gpustack/gguf-parser-go", "github.com/henvic/httpretty", "github.com/json-iterator/go",
		"github.com/modern-go/", "github.com/smallnest/ringbuffer", "golang.org/x/",
	}
	// client_golang counts and writes what Prometheus reads, common parses what engines write for it.
	counters := []string{
		"github.com/prometheus/", "github.com/beorn7/perks/", "github.com/cespare/xxhash/", "github.com/munnerz/goautoneg",
		"github.com/pandatix/go-abnf", "google.golang.org/protobuf/", sys,
	}
	rules := map[string]struct {
		why     string
		ours    []string // packages of ours that it may be built of, deep
		foreign []string // prefixes of others' packages; anything: all
	}{
		"agent/api":           {"goes over the socket, so every end can use it: standard library alone", []string{"agent/api"}, nil},
		"agent/api/guardwire": {"what tierd and the guard say to each other: no HTTP", nil, nil},
		"agent":               {"keeps the tiers as they should be", []string{"agent/api", "agent/budget", "agent/guard", "agent/known", "units", "rocm", "rocm/quirks"}, []string{anything}},
		"agent/bench":         {"asks tiers as a client does, and sums up: no files", []string{"agent/api", "agent/openai"}, nil},
		"agent/budget":        {"pure, it is handed numbers and snapshots", []string{"agent/api", "rocm", "units"}, parsers},
		"agent/doctor":        {"pure, it is handed facts and a file system", []string{"agent/api", "agent/budget", "rocm", "rocm/quirks", "units"}, parsers},
		"agent/hub":           {"talks to a hub and writes files, knows of no tier: standard library alone", nil, nil},
		"agent/hub/hubtest":   {"a hub for tests: standard library alone", nil, nil},
		"agent/journal":       {"writes lines: it knows of nothing", nil, []string{sys}},
		"agent/known":         {"asks the quirks for units, which may not know of them", []string{"rocm", "rocm/quirks", "units"}, parsers},
		"agent/gateway":       {"has no business with systemd, configuration or GPUs", []string{"agent/api", "agent/gateway/queue", "agent/gateway/wire"}, counters},
		"agent/gateway/wire":  {"HTTP between two ends, knows of no tier", nil, []string{sys}},
		"agent/guard":         {"pure", []string{"agent/api/guardwire", "rocm"}, []string{sys}},
		"agent/compose": {"pure: texts of an older stack in, tiers.toml out", []string{"units"}, append([]string{
			"github.com/compose-spec/compose-go/v2/dotenv", "github.com/compose-spec/compose-go/v2/template", "github.com/mattn/go-shellwords",
			"github.com/sirupsen/logrus", "go.yaml.in/yaml/v3",
		}, parsers...)},
		"agent/openai":   {"asks a server of models, whoever asks: standard library alone", nil, nil},
		"agent/opencode": {"works offline, on files", []string{"agent/api", "agent/openai", "units"}, []string{anything}},
		"units":          {"pure, it is handed bytes, numbers and a file system", nil, parsers},
		"rocm":           {"reports what the kernel says, also to the guard", nil, []string{sys}},
		"rocm/quirks":    {"data of what is known, which the guard has no use for", nil, []string{"github.com/BurntSushi/toml"}},

		"agent/gateway/queue": {"pure, it is told what happens and when", nil, nil},

		"rocm/rocmtest": {"recorded hosts, for tests", nil, []string{"github.com/rogpeppe/go-internal/", "golang.org/x/tools/txtar"}},

		"cmd/tierd":        {"the only one that imports agent", []string{"agent", "agent/api", "agent/budget", "agent/guard", "agent/journal", "agent/known", "units", "rocm", "rocm/quirks"}, []string{anything}},
		"cmd/tierctl":      {"a client; check works offline, with units", []string{"agent/api", "agent/bench", "agent/budget", "agent/compose", "agent/doctor", "agent/guard", "agent/hub", "agent/known", "agent/openai", "agent/opencode", "rocm", "rocm/quirks", "units"}, []string{anything}},
		"cmd/tier-gateway": {"joins the gateway to the API", []string{"agent/gateway", "agent/gateway/queue", "agent/gateway/wire", "agent/api", "agent/journal"}, counters},
		"cmd/tier-guard":   {"small and locked in memory: without HTTP", []string{"agent/guard", "agent/api/guardwire", "agent/journal", "rocm"}, []string{sys}},
		"cmd/tier-shim":    {"runs in every tier's unit: standard library and x/sys alone", nil, []string{sys}},

		"packaging/bench":            {"knows the gateway from outside; stands in for tierd", []string{"agent/api", "packaging/figure"}, []string{sys}},
		"packaging/figure":           {"prints figures: standard library alone", nil, nil},
		"packaging/vmtest":           {"knows the package from outside", []string{"packaging/vmtest/wire"}, []string{sys}},
		"packaging/vmtest/load":      {"asks as a client does: standard library alone", nil, nil},
		"packaging/vmtest/script":    {"answers as an engine does: standard library alone", nil, nil},
		"packaging/vmtest/wire":      {"what a VM and the machine outside say to each other: standard library alone", nil, nil},
		"packaging/vmtest/guest":     {"one static program in a VM", []string{"agent/hub/hubtest", "packaging/vmtest/load", "packaging/vmtest/script", "packaging/vmtest/wire"}, []string{sys, "github.com/godbus/dbus/"}},
		"packaging/guardbench":       {"knows guards from outside", []string{"packaging/figure", "packaging/guardbench/trial", "packaging/vmtest", "packaging/vmtest/wire"}, []string{sys}},
		"packaging/guardbench/guest": {"one static program in a VM; stands in for tierd", []string{"agent/api", "agent/api/guardwire", "packaging/guardbench/trial"}, []string{sys}},
		"packaging/guardbench/trial": {"pure: standard library alone", nil, nil},
		"packaging/demo":             {"shows the package from outside", []string{"packaging/vmtest", "packaging/vmtest/wire"}, []string{sys}},
		"packaging/deptest":          {"looks at sources", nil, nil},
		"packaging/pages":            {"reads text: standard library alone", nil, nil},
		"packaging/reference":        {"asks units what it says of tiers.toml", []string{"units"}, parsers},
	}
	for _, p := range list(t, "./...") {
		name := strings.TrimPrefix(p.ImportPath, module)
		rule, known := rules[name]
		if !known {
			t.Errorf("%s has no place in the map of this test", name)
			continue
		}
		for _, dep := range ours(p.Deps) {
			ofAPI := dep == "agent/api/guardwire" && slices.Contains(rule.ours, "agent/api")
			if !slices.Contains(rule.ours, dep) && !ofAPI {
				t.Errorf("%s is built of %s, which it may not be: it is %q", name, dep, rule.why)
			}
		}
		for _, dep := range foreign(p.Deps) {
			allowed := func(prefix string) bool { return prefix == anything || strings.HasPrefix(dep, prefix) }
			if !slices.ContainsFunc(rule.foreign, allowed) {
				t.Errorf("%s is built of %s, which it may not be: it is %q", name, dep, rule.why)
			}
		}
	}
}

// TestOnlyOneFolderTalksToSystemd keeps D-Bus behind the agent's interface. tierctl knows the session's bus, for notifications on
// the desktop, and so does what stands for a desktop in a test bed; of systemd they ask nothing.
func TestOnlyOneFolderTalksToSystemd(t *testing.T) {
	for _, p := range list(t, "./...") {
		name := strings.TrimPrefix(p.ImportPath, module)
		for _, imported := range p.Imports {
			if strings.HasPrefix(imported, "github.com/godbus/") && name != "agent" && name != "cmd/tierctl" && name != "packaging/vmtest/guest" {
				t.Errorf("%s imports %s: only agent talks to systemd, and tierctl and the bed's desktop to each other", name, imported)
			}
		}
	}
}

// TestUnitsOpensNothingByItself keeps units pure: it reads the host through the file system that it is handed.
func TestUnitsOpensNothingByItself(t *testing.T) {
	for _, p := range list(t, "./units") {
		for _, imported := range p.Imports {
			if slices.Contains([]string{"os", "os/exec", "net", "net/http"}, imported) {
				t.Errorf("units imports %s", imported)
			}
		}
	}
}

// TestTheGuardIsSmall: what it is linked with it has locked in memory. net/http takes a megabyte, and regexp half of one, most
// of it for tables that are made before main begins.
func TestTheGuardIsSmall(t *testing.T) {
	for _, p := range list(t, "./cmd/tier-guard") {
		for _, dep := range p.Deps {
			if slices.Contains([]string{"net", "net/http", "regexp", "runtime/pprof", "text/template", "crypto/tls"}, dep) {
				t.Errorf("cmd/tier-guard is linked with %s", dep)
			}
		}
	}
}

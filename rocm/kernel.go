package rocm

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Kernel is which kernel runs, and how it was set up.
type Kernel struct {
	Release     string // "7.1.3-100.fc43.x86_64"; "" when not known
	CommandLine string // that it was booted with
	// Parameters are those of amdgpu and ttm that bear on memory or on hangs, as text, by "module.parameter". One of a
	// module that is not loaded, or that this kernel does not have, is missing.
	Parameters map[string]string
	// PagesLimit is ttm.pages_limit in bytes: no GPU may take more of the host's memory. nil: no ttm.
	PagesLimit *uint64
	// Controllers are what the root cgroup can count and limit: "memory", "cpu". nil: there is no unified hierarchy.
	Controllers []string
}

// pageSize is that of amd64, where alone there are such GPUs.
const pageSize = 4096

// parameters are the ones to read, by module. amdttm is ttm in the driver that AMD ships outside of the kernel.
var parameters = map[string][]string{
	"ttm":    {"pages_limit", "page_pool_size", "dma32_pages_limit"},
	"amdttm": {"pages_limit", "page_pool_size"},
	"amdgpu": {
		"gttsize", "no_system_mem_limit", "cwsr_enable", "gpu_recovery", "lockup_timeout", "sched_policy", "mes",
		"vm_update_mode", "vm_fragment_size", "noretry", "vramlimit", "runpm", "ppfeaturemask",
	},
}

func (r *reading) kernel() Kernel {
	g := r.group()
	k := Kernel{
		Release:     g.text("proc/sys/kernel/osrelease"),
		CommandLine: g.text("proc/cmdline"),
		Controllers: g.controllers(),
		Parameters:  map[string]string{},
	}
	for _, module := range slices.Sorted(maps.Keys(parameters)) {
		for _, name := range parameters[module] {
			if data, ok := g.file("sys/module/" + module + "/parameters/" + name); ok {
				k.Parameters[module+"."+name] = strings.TrimSpace(string(data))
			}
		}
	}
	k.PagesLimit = k.pagesLimit(g)
	return k
}

// pagesLimit is the limit of whichever ttm there is.
func (k Kernel) pagesLimit(g *group) *uint64 {
	for _, module := range []string{"ttm", "amdttm"} {
		text, ok := k.Parameters[module+".pages_limit"]
		if !ok {
			continue
		}
		limit, err := parsePages(text)
		if err != nil {
			g.problem("sys/module/"+module+"/parameters/pages_limit", err)
			continue
		}
		return &limit
	}
	return nil
}

// parsePages reads a number of pages as bytes.
func parsePages(s string) (uint64, error) {
	pages, err := parseNumber(s, 52) // 2^52 pages are all that 64 bits can count as bytes
	return pages * pageSize, err
}

func (g *group) controllers() []string {
	data, ok := g.file("sys/fs/cgroup/cgroup.controllers")
	if !ok {
		return nil
	}
	return append([]string{}, strings.Fields(string(data))...)
}

// Controls tells whether the root cgroup has a controller, nil when that is not known.
func (k Kernel) Controls(controller string) *bool {
	if k.Controllers == nil {
		return nil
	}
	has := slices.Contains(k.Controllers, controller)
	return &has
}

// BootParameter is what the command line sets a parameter to, "" for one without a value. Of several the last counts.
func (k Kernel) BootParameter(name string) (value string, set bool) {
	for _, word := range commandLine(k.CommandLine) {
		key, v, _ := strings.Cut(word, "=")
		// The kernel takes - and _ in names for the same (Documentation/admin-guide/kernel-parameters.rst).
		if strings.ReplaceAll(key, "-", "_") == strings.ReplaceAll(name, "-", "_") {
			value, set = strings.Trim(v, `"`), true
		}
	}
	return value, set
}

// BootParameters are those of modules on the command line, by "module.parameter" with _ in place of -.
func (k Kernel) BootParameters() map[string]string {
	all := map[string]string{}
	for _, word := range commandLine(k.CommandLine) {
		if key, value, _ := strings.Cut(word, "="); strings.Contains(key, ".") {
			all[strings.ReplaceAll(key, "-", "_")] = strings.Trim(value, `"`)
		}
	}
	return all
}

// commandLine splits at blanks outside of double quotes, as the kernel does. What follows "--" is init's.
func commandLine(s string) []string {
	quoted := false
	words := strings.FieldsFunc(s, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return !quoted && (r == ' ' || r == '\t' || r == '\n')
	})
	if end := slices.Index(words, "--"); end >= 0 {
		words = words[:end]
	}
	return words
}

// keyValues reads lines of KEY=VALUE, as in uevent and os-release.
func keyValues(data []byte) (map[string]string, error) {
	values := map[string]string{}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			return nil, fmt.Errorf("%s is not KEY=VALUE", quote(line))
		}
		values[key] = value
	}
	return values, nil
}

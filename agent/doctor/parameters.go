package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tierd/tierd/rocm/quirks"
	"github.com/tierd/tierd/units"
)

// modules are those whose parameters bear on models.
var modules = []string{"amdgpu", "ttm", "amdttm"}

// bootWords are the parameters on the boot line, in its order. What follows "--" is init's.
func (r *report) bootWords() []Setting {
	line, _, _ := strings.Cut(r.Snapshot.Kernel.CommandLine, " -- ")
	return settingsIn(line)
}

// settings are the parameters that somebody has set: on the line that the kernel was booted with, or for modules in
// modprobe.d. What a file of the boot loader says counts from the next boot only.
func (r *report) settings() []Setting {
	list := r.bootWords()
	if r.Files != nil {
		for _, s := range r.Files.Boot.Settings {
			if s.Modprobe {
				list = append(list, s)
			}
		}
	}
	return list
}

func (r *report) isSet(name string) bool {
	return slices.ContainsFunc(r.settings(), func(s Setting) bool { return s.Name == name })
}

// parameter is what a parameter is now: as the module says, else as it was set.
func (r *report) parameter(name string) (value string, known bool) {
	if value, known = r.Snapshot.Kernel.Parameters[name]; known {
		return value, true
	}
	for _, s := range r.settings() {
		if s.Name == name {
			value, known = s.Value, true // the last counts
		}
	}
	return value, known
}

// query is the host as the quirks know it.
func (r *report) query() quirks.Query {
	q := quirks.Query{Engine: units.KindVLLM, Host: quirks.Host{Kernel: r.Snapshot.Kernel.Release, Parameters: map[string]string{}}}
	if list := r.gpuUnits(); len(list) > 0 && !slices.ContainsFunc(list, func(u units.Unit) bool { return u.Engine == units.KindVLLM }) {
		q.Engine = units.KindLlama
	}
	if r.gpu != nil && r.gpu.KFD != nil {
		q.GFX = r.gpu.KFD.Gfx
		q.Host.CWSR = &r.gpu.KFD.CWSR
	}
	q.Host.MES = r.mes()
	for _, s := range r.settings() {
		q.Host.Parameters[s.Name] = s.Value
	}
	return q
}

// hostVerdicts are what the quirks say of the host itself, whatever is served.
func (r *report) hostVerdicts() []quirks.Verdict {
	return slices.DeleteFunc(r.Quirks.Lookup(r.query()), func(v quirks.Verdict) bool {
		return v.Verdict == quirks.Allow || v.Topic != "kernel" && v.Topic != "mes" && !strings.HasPrefix(v.Topic, "parameter ")
	})
}

// checkParameters goes by what is known of parameters that do harm, or nothing.
func (r *report) checkParameters() {
	for _, v := range r.hostVerdicts() {
		name, ok := strings.CutPrefix(v.Topic, "parameter ")
		if !ok || name == "amdgpu.gttsize" && r.has("gttsize-only") {
			continue
		}
		value, _ := r.parameter(name)
		f := Finding{ID: v.ID, Severity: Warning, Source: v.Source, What: name + "=" + value + " is set", Why: v.Reason, Fix: r.unset(name)}
		switch {
		case v.Verdict == quirks.Refuse:
			f.Severity = Error
		case name == "amdgpu.gttsize" && r.isSet("ttm.pages_limit"):
			f.Severity = Note // it does no harm beside the right one
		case name == "amdgpu.cwsr_enable" && value == "0" && r.gpu != nil && r.gpu.KFD != nil && !r.gpu.KFD.CWSR:
			f.Severity = Note // the way around the bug that this kernel has
		}
		r.add(f)
	}
	r.checkOldCWSR()
}

// checkOldCWSR: what is known of cwsr_enable=0 is that newer kernels do not need it; on an older one it is a crutch.
func (r *report) checkOldCWSR() {
	value, _ := r.parameter("amdgpu.cwsr_enable")
	if value != "0" || r.has("gfx1151-cwsr-enable") || r.gpu == nil || r.gpu.KFD == nil {
		return
	}
	r.add(Finding{ID: "cwsr-off", Severity: Note, Source: "ROCm/legacy-rocm-build#6165",
		What: "amdgpu.cwsr_enable=0 is set",
		Why:  "it was a way around hangs of kernels before 6.18.4, which has not always helped; with a newer kernel it is of no use",
		Fix:  "after the update of the kernel: " + r.unset("amdgpu.cwsr_enable")})
}

func (r *report) has(id string) bool {
	return slices.ContainsFunc(r.found, func(f Finding) bool { return f.ID == id && f.Severity != OK })
}

// known are the parameters that people write by heart.
var known = []string{
	"amdgpu.gttsize", "amdgpu.no_system_mem_limit", "amdgpu.cwsr_enable", "amdgpu.gpu_recovery", "amdgpu.lockup_timeout",
	"amdgpu.vm_update_mode", "amdgpu.vm_fragment_size", "amdgpu.noretry", "amdgpu.vramlimit", "amdgpu.runpm", "amdgpu.ppfeaturemask",
	"ttm.pages_limit", "ttm.page_pool_size", "ttm.dma32_pages_limit",
}

// checkSpelling finds parameters that look like a known one and are not. The kernel ignores an unknown parameter of a
// module with a line in its log that nobody reads.
func (r *report) checkSpelling() {
	told := map[string]bool{}
	for _, s := range r.settings() {
		_, real := r.Snapshot.Kernel.Parameters[s.Name]
		if real || told[s.Name] || slices.Contains(known, s.Name) || r.has("amdgpu-gtt-size") && s.Name == "amdgpu.gtt_size" {
			continue
		}
		near := nearest(s.Name, known)
		if near == "" {
			continue
		}
		told[s.Name] = true
		r.add(Finding{ID: "parameter-unknown", Severity: Warning, Source: "ROCm/legacy-rocm-build#5595",
			What: fmt.Sprintf("the kernel knows no parameter %s; %s is one", s.Name, near),
			Why:  "it ignores unknown parameters of a module, so that this one changes nothing",
			Fix:  r.rename(s.Name, near)})
	}
}

// nearest is the known name that differs in the fewest letters, two at most; "" when none does. Underscores do not count:
// people forget them, or put in too many.
func nearest(name string, known []string) string {
	plain := func(s string) string { return strings.ReplaceAll(s, "_", "") }
	best, fewest := "", 3
	for _, k := range known {
		if d := units.Distance(plain(name), plain(k)); d < fewest {
			best, fewest = k, d
		}
	}
	return best
}

package doctor

import (
	"errors"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/tierd/tierd/units"
)

// Files is what the files of a host say besides what package rocm reads.
type Files struct {
	Boot      Boot
	Devices   []Device          // of the GPU; nil: there is no /dev here
	Groups    map[string]uint32 // by name; nil: there is no /etc/group
	Processes []Process         // by pid
	Killers   []Killer
	Builds    map[string]Build // by engine of the plan
	Firmware  string           // package with the GPU's firmware and its version: "linux-firmware 20251125-1"; "": not known
	Zswap     *bool            // nil: the kernel has none
	Hidden    []string         // what may not be looked at
}

// Look reads what the doctor has to know from the files under a root. plan says which engines there are, render is the GPU's
// node ("renderD128"); either may be missing.
func Look(root fs.FS, plan *units.Plan, render string) *Files {
	f := &Files{Builds: map[string]Build{}}
	f.lookAtBoot(root)
	f.lookAtGroups(root)
	f.lookAtDevices(root, render)
	f.lookAtProcesses(root)
	f.lookAtKillers(root)
	f.lookAtFirmware(root)
	if text, ok := f.read(root, "sys/module/zswap/parameters/enabled"); ok {
		on := strings.TrimSpace(text) == "Y"
		f.Zswap = &on
	}
	if plan != nil {
		for _, e := range plan.Config.Engines {
			if e.UsesGPU() && len(e.Command) > 0 {
				f.Builds[e.Name] = buildOf(root, e)
			}
		}
	}
	slices.Sort(f.Hidden)
	f.Hidden = slices.Compact(f.Hidden)
	return f
}

// maxText bounds what is read of a file. The largest one is the list of packages.
const maxText = 32 << 20

// read is a file's text. One that may not be read is noted; one that is not there is not ok, and nothing else.
func (f *Files) read(root fs.FS, name string) (string, bool) {
	file, err := root.Open(name)
	if err == nil {
		defer file.Close()
		var data []byte
		if data, err = io.ReadAll(io.LimitReader(file, maxText)); err == nil {
			return string(data), true
		}
	}
	f.hide(name, err)
	return "", false
}

func (f *Files) hide(name string, err error) {
	if errors.Is(err, fs.ErrPermission) {
		f.Hidden = append(f.Hidden, "/"+name)
	}
}

// glob lists the files that patterns match, in the order of the patterns and of the names. A folder that may not be
// listed is noted.
func (f *Files) glob(root fs.FS, patterns ...string) []string {
	var found []string
	for _, p := range patterns {
		names, _ := fs.Glob(root, p) // a bad pattern is the only error
		found = append(found, names...)
		if dir, _, ok := strings.Cut(p, "/*"); ok && len(names) == 0 {
			_, err := fs.ReadDir(root, dir)
			f.hide(dir, err)
		}
	}
	return found
}

func (f *Files) lookAtGroups(root fs.FS) {
	text, ok := f.read(root, "etc/group")
	if !ok {
		return
	}
	f.Groups = map[string]uint32{}
	for line := range strings.Lines(text) {
		if fields := strings.Split(strings.TrimSpace(line), ":"); len(fields) >= 3 {
			if gid, err := strconv.ParseUint(fields[2], 10, 32); err == nil {
				f.Groups[fields[0]] = uint32(gid)
			}
		}
	}
}

// firmwarePackages have the GPU's firmware, on Debian and on the others.
var firmwarePackages = []string{"firmware-amd-graphics", "linux-firmware"}

// lookAtFirmware asks the package manager's files.
func (f *Files) lookAtFirmware(root fs.FS) {
	if status, ok := f.read(root, "var/lib/dpkg/status"); ok {
		f.Firmware = dpkgVersion(status, firmwarePackages)
	}
	for _, dir := range f.glob(root, "var/lib/pacman/local/linux-firmware-amdgpu-[0-9]*", "var/lib/pacman/local/linux-firmware-[0-9]*") {
		f.Firmware = strings.TrimPrefix(dir, "var/lib/pacman/local/")
		break
	}
}

// dpkgVersion finds the first of some packages that is installed: "linux-firmware 20251125-1".
func dpkgVersion(status string, names []string) string {
	for _, name := range names {
		_, stanza, ok := strings.Cut("\n"+status, "\nPackage: "+name+"\n")
		stanza, _, _ = strings.Cut(stanza, "\n\n")
		if !ok || !strings.Contains(stanza, "Status: install ok installed") {
			continue
		}
		if _, version, ok := strings.Cut("\n"+stanza, "\nVersion: "); ok {
			version, _, _ = strings.Cut(version, "\n")
			return name + " " + strings.TrimSpace(version)
		}
	}
	return ""
}

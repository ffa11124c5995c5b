package doctor

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"
)

// Device is a file through which the GPU is used.
type Device struct {
	Path    string
	Missing bool
	Mode    fs.FileMode
	Group   uint32
}

// deviceGroups are those that a tier's unit gets when the host has them.
var deviceGroups = []string{"render", "video"}

func (f *Files) lookAtDevices(root fs.FS, render string) {
	if _, err := fs.Stat(root, "dev"); err != nil || render == "" {
		return
	}
	for _, name := range []string{"dev/kfd", "dev/dri/" + render} {
		d := Device{Path: "/" + name}
		if info, err := fs.Stat(root, name); err != nil {
			d.Missing = true
		} else {
			d.Mode, d.Group = info.Mode(), groupOf(info)
		}
		f.Devices = append(f.Devices, d)
	}
}

// checkDevices: tiers run under users that systemd makes up, and reach the GPU by its group.
func (r *report) checkDevices() {
	if r.gpu == nil || r.Files == nil || r.Files.Devices == nil {
		return
	}
	const source = "systemd, 50-udev-default.rules; Debian and Ubuntu: 0660 root:render"
	good := true
	for _, d := range r.Files.Devices {
		if d.Path == "/dev/kfd" && r.gpu.KFD == nil {
			continue
		}
		f := Finding{ID: "gpu-device", Severity: r.ifOnGPU(Error, Warning), Source: source, Why: "a tier that may not open it finds no GPU"}
		switch group := r.groupName(d.Group); {
		case d.Missing:
			f.What, f.Fix = d.Path+" does not exist", "sudo modprobe amdgpu && sudo udevadm trigger; in a container it has to be passed in"
		case d.Mode.Perm()&0o006 == 0o006:
			continue
		case d.Mode.Perm()&0o060 == 0o060 && slices.Contains(deviceGroups, group):
			continue
		default:
			f.What = fmt.Sprintf("tiers may not open %s: its mode is %04o and its group %s, which is not %s", d.Path, d.Mode.Perm(), group, strings.Join(deviceGroups, " or "))
			f.Fix = udevRule(d.Path)
		}
		good = false
		r.add(f)
	}
	if good {
		r.fine("gpu-device", source, "tiers may open the GPU")
	}
	if r.Files.Groups == nil || len(r.gpuUnits()) == 0 {
		return
	}
	for _, name := range deviceGroups {
		if _, ok := r.Files.Groups[name]; !ok {
			r.add(Finding{ID: "gpu-group", Severity: Note, Source: source,
				What: fmt.Sprintf("there is no group %s", name),
				Why:  "tiers are not in it then, which matters where the GPU's devices belong to it",
				Fix:  "sudo groupadd --system " + name})
		}
	}
}

func udevRule(device string) string {
	match := `SUBSYSTEM=="kfd"`
	if strings.HasPrefix(device, "/dev/dri/") {
		match = `SUBSYSTEM=="drm", KERNEL=="renderD*"`
	}
	return fmt.Sprintf(`echo '%s, GROUP="render", MODE="0660"' | sudo tee -a /etc/udev/rules.d/70-tierd.rules && sudo udevadm control --reload && sudo udevadm trigger`, match)
}

// groupName is a group's name, or its number.
func (r *report) groupName(gid uint32) string {
	names := []string{}
	for name, id := range r.Files.Groups {
		if id == gid {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return fmt.Sprint(gid)
	}
	slices.Sort(names)
	return names[0]
}

// groupOf is the owning group of a file; 0, which is root's, where the file system does not say.
func groupOf(info fs.FileInfo) uint32 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Gid
	}
	return 0
}

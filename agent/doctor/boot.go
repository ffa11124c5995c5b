package doctor

import (
	"encoding/json"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Boot is how the kernel of a host is told its parameters.
type Boot struct {
	Loader    Loader
	Initramfs string    // the command that makes it anew; "": not known
	Settings  []Setting // of parameters that bear on models, in files
}

// Loader is what keeps the kernel's command line.
type Loader string

// The loaders, by how one tells them a parameter.
const (
	LoaderUnknown Loader = ""
	LoaderOSTree  Loader = "rpm-ostree"  // Silverblue, Bazzite
	LoaderGrubby  Loader = "grubby"      // Fedora and its like
	LoaderStub    Loader = "kernelstub"  // Pop!_OS
	LoaderGRUB    Loader = "grub"        // Debian, Ubuntu
	LoaderGRUBArc Loader = "grub-arch"   // Arch: the same file, another command
	LoaderCmdline Loader = "cmdline"     // systemd-boot with /etc/kernel/cmdline
	LoaderEntries Loader = "loader-file" // systemd-boot with entries written by hand
)

// Setting is a parameter as somebody has written it.
type Setting struct {
	Name, Value string // "ttm.pages_limit", "31457280"
	File        string // "" for the line that the kernel was booted with
	Line        int    // 0: the file has no lines that count
	Modprobe    bool   // the file is for modprobe
}

const (
	grubFile    = "etc/default/grub"
	stubFile    = "etc/kernelstub/configuration"
	cmdlineFile = "etc/kernel/cmdline"
	entryFiles  = "boot/loader/entries/*.conf"
)

var modprobeFiles = []string{"etc/modprobe.d/*.conf", "run/modprobe.d/*.conf", "usr/lib/modprobe.d/*.conf"}

// lookAtBoot finds out how parameters are set here, and which are.
func (f *Files) lookAtBoot(root fs.FS) {
	f.Boot.Loader, f.Boot.Initramfs = loaderOf(root), initramfsOf(root)
	add := func(parse func(file, text string) []Setting, patterns ...string) {
		for _, name := range f.glob(root, patterns...) {
			if text, ok := f.read(root, name); ok {
				f.Boot.Settings = append(f.Boot.Settings, parse("/"+name, text)...)
			}
		}
	}
	add(parseModprobe, modprobeFiles...)
	add(parseGRUB, grubFile, "etc/default/grub.d/*.cfg")
	add(parseStub, stubFile)
	add(parseCmdline, cmdlineFile)
	if f.Boot.Loader == LoaderEntries {
		add(parseEntry, entryFiles)
	}
}

// loaderOf goes by what is installed: a tool that edits the boot line itself comes before a file.
func loaderOf(root fs.FS) Loader {
	has := func(names ...string) bool {
		return slices.ContainsFunc(names, func(n string) bool { _, err := fs.Stat(root, n); return err == nil })
	}
	entries, _ := fs.Glob(root, entryFiles)
	switch {
	case has("run/ostree-booted"):
		return LoaderOSTree
	case has(stubFile):
		return LoaderStub
	case has("usr/bin/grubby", "usr/sbin/grubby", "sbin/grubby"):
		return LoaderGrubby
	case has(grubFile) && has("usr/sbin/update-grub", "usr/bin/update-grub", "sbin/update-grub"):
		return LoaderGRUB
	case has(grubFile):
		return LoaderGRUBArc
	case has(cmdlineFile):
		return LoaderCmdline
	case len(entries) > 0:
		return LoaderEntries
	}
	return LoaderUnknown
}

func initramfsOf(root fs.FS) string {
	for _, tool := range []struct{ name, command string }{
		{"update-initramfs", "sudo update-initramfs -u"},
		{"mkinitcpio", "sudo mkinitcpio -P"},
		{"dracut", "sudo dracut --force --regenerate-all"},
	} {
		for _, dir := range []string{"usr/sbin", "usr/bin", "sbin"} {
			if _, err := fs.Stat(root, path.Join(dir, tool.name)); err == nil {
				return tool.command
			}
		}
	}
	return ""
}

// plainNames are parameters of the kernel itself that matter here.
var plainNames = []string{"amd_iommu", "iommu", "psi", "cgroup_disable", "zswap.enabled"}

// settingsIn are the parameters in a line as the kernel gets it.
func settingsIn(line string) []Setting {
	var list []Setting
	for word := range strings.FieldsSeq(line) {
		if name, value, _ := strings.Cut(word, "="); matters(name) {
			list = append(list, Setting{Name: plainName(name), Value: strings.Trim(value, `"`)})
		}
	}
	return list
}

func matters(name string) bool {
	module, parameter, ok := strings.Cut(plainName(name), ".")
	return ok && parameter != "" && slices.Contains(modules, module) || slices.Contains(plainNames, plainName(name))
}

// plainName writes a name as sysfs does: the kernel takes - and _ for the same.
func plainName(name string) string { return strings.ReplaceAll(name, "-", "_") }

// parseModprobe reads modprobe.d(5): "options ttm pages_limit=31457280".
func parseModprobe(file, text string) []Setting {
	var list []Setting
	number, joined, first := 0, "", 0
	for line := range strings.Lines(text) {
		number++
		if first == 0 {
			first = number
		}
		line = strings.TrimRight(line, "\r\n")
		if rest, more := strings.CutSuffix(line, `\`); more {
			joined += rest + " "
			continue
		}
		fields := strings.Fields(joined + line)
		if len(fields) > 2 && fields[0] == "options" {
			for _, word := range fields[2:] {
				name, value, _ := strings.Cut(word, "=")
				if name = fields[1] + "." + name; matters(name) {
					list = append(list, Setting{Name: plainName(name), Value: strings.Trim(value, `"`), File: file, Line: first, Modprobe: true})
				}
			}
		}
		joined, first = "", 0
	}
	return list
}

// parseGRUB reads /etc/default/grub, which is a shell script: GRUB_CMDLINE_LINUX_DEFAULT="quiet ttm.pages_limit=31457280".
func parseGRUB(file, text string) []Setting {
	return byLine(file, text, func(line string) string {
		name, value, ok := strings.Cut(line, "=")
		if name = strings.TrimSuffix(name, "+"); !ok || name != "GRUB_CMDLINE_LINUX" && name != "GRUB_CMDLINE_LINUX_DEFAULT" {
			return ""
		}
		return strings.Trim(strings.TrimSpace(value), `"'`)
	})
}

// parseCmdline reads /etc/kernel/cmdline.
func parseCmdline(file, text string) []Setting {
	return byLine(file, text, func(line string) string { return line })
}

// parseEntry reads an entry of systemd-boot: "options root=... ttm.pages_limit=31457280".
func parseEntry(file, text string) []Setting {
	return byLine(file, text, func(line string) string {
		key, rest, _ := strings.Cut(line, " ")
		if key != "options" {
			return ""
		}
		return rest
	})
}

// byLine finds the settings in the part of each line that is a command line.
func byLine(file, text string, commandLine func(string) string) []Setting {
	var list []Setting
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") {
			continue
		}
		for _, s := range settingsIn(commandLine(line)) {
			s.File, s.Line = file, number
			list = append(list, s)
		}
	}
	return list
}

// parseStub reads kernelstub's JSON. What it does not understand sets nothing.
func parseStub(file, text string) []Setting {
	var conf struct {
		User struct {
			Options []string `json:"kernel_options"`
		} `json:"user"`
	}
	if json.Unmarshal([]byte(text), &conf) != nil {
		return nil
	}
	list := settingsIn(strings.Join(conf.User.Options, " "))
	for i := range list {
		list[i].File = file
	}
	return list
}

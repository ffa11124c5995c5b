package doctor

import (
	"fmt"
	"strings"
)

// How a parameter is set, changed and taken away, in the words for this host: a command where there is one, else the file
// and its line. Each ends with what makes it count.

const reboot = "sudo reboot"

// set is how to give a parameter a value.
func (r *report) set(name, value string) string {
	word := name + "=" + value
	boot := r.boot()
	if s, ok := r.written(name); ok {
		at := place(s)
		if s.Value == value {
			return fmt.Sprintf("%s has %s already, which counts after: %s", at, written(s), chain(r.apply(s), reboot))
		}
		return fmt.Sprintf("in %s change %s to %s, then: %s", at, written(s), written(Setting{Name: name, Value: value, Modprobe: s.Modprobe}), chain(r.apply(s), reboot))
	}
	old, onLine := r.onLine(name)
	switch boot.Loader {
	case LoaderOSTree:
		if onLine {
			return chain("sudo rpm-ostree kargs --replace="+word, reboot)
		}
		return chain("sudo rpm-ostree kargs --append-if-missing="+word, reboot)
	case LoaderStub:
		add := fmt.Sprintf("sudo kernelstub -a %q", word)
		if onLine {
			add = fmt.Sprintf("sudo kernelstub -d %q && %s", name+"="+old, add)
		}
		return chain(add, reboot)
	case LoaderGrubby: // it replaces the old value
		return chain("sudo grubby --update-kernel=ALL --args="+word, reboot)
	case LoaderGRUB, LoaderGRUBArc:
		return fmt.Sprintf("add %s to GRUB_CMDLINE_LINUX_DEFAULT in /etc/default/grub, then: %s", word, chain(updateGRUB(boot.Loader), reboot))
	case LoaderCmdline:
		return fmt.Sprintf("add %s to /etc/kernel/cmdline, then: %s", word, chain(updateCmdline(boot), reboot))
	case LoaderEntries:
		return fmt.Sprintf("add %s to the line `options` of /boot/loader/entries/*.conf, then: %s", word, reboot)
	}
	return r.setAnywhere(name, value)
}

// setAnywhere is for a host of which nobody knows how it boots.
func (r *report) setAnywhere(name, value string) string {
	if module, parameter, ok := strings.Cut(name, "."); ok && r.boot().Initramfs != "" {
		return fmt.Sprintf("echo 'options %s %s=%s' | sudo tee /etc/modprobe.d/%s.conf && %s", module, parameter, value, module, chain(r.boot().Initramfs, reboot))
	}
	word := name + "=" + value
	switch r.Snapshot.Platform.OSID {
	case "fedora", "rhel", "centos":
		return chain("sudo grubby --update-kernel=ALL --args="+word, reboot)
	case "nixos":
		return fmt.Sprintf("boot.kernelParams = [ %q ] in the configuration, then: sudo nixos-rebuild boot && %s", word, reboot)
	}
	return fmt.Sprintf("add %s to the kernel's boot line (with GRUB: GRUB_CMDLINE_LINUX_DEFAULT in /etc/default/grub, then sudo update-grub), then: %s", word, reboot)
}

// unset is how to take a parameter away.
func (r *report) unset(name string) string {
	if s, ok := r.written(name); ok {
		return fmt.Sprintf("remove %s from %s, then: %s", written(s), place(s), chain(r.apply(s), reboot))
	}
	value, _ := r.onLine(name)
	switch boot := r.boot(); boot.Loader {
	case LoaderOSTree:
		return chain("sudo rpm-ostree kargs --delete-if-present="+name+"="+value, reboot)
	case LoaderStub:
		return chain(fmt.Sprintf("sudo kernelstub -d %q", name+"="+value), reboot)
	case LoaderGrubby:
		return chain("sudo grubby --update-kernel=ALL --remove-args="+name, reboot)
	}
	return fmt.Sprintf("remove %s=%s from the kernel's boot line (or from /etc/modprobe.d), then: %s", name, value, reboot)
}

// rename is how to correct a parameter's name.
func (r *report) rename(name, right string) string {
	for _, s := range r.settings() {
		if s.Name == name {
			if right == "amdgpu.gttsize" { // even spelled right it does not do what it is meant to
				return "instead: " + r.set("ttm.pages_limit", pages(bestLimit(amount(r.Snapshot.Memory.MemTotal))))
			}
			return fmt.Sprintf("write %s=%s instead: in %s, then: %s", right, s.Value, where(r, s), chain(r.apply(s), reboot))
		}
	}
	return ""
}

func where(r *report, s Setting) string {
	if found, ok := r.written(s.Name); ok {
		return place(found)
	}
	return "the kernel's boot line"
}

// newer is how to get another version of a package of the system's.
func (r *report) newer(what string) string {
	command := map[string]string{
		"debian": "sudo apt update && sudo apt full-upgrade (newer ones are in backports)", "ubuntu": "sudo apt update && sudo apt full-upgrade",
		"fedora": "sudo dnf upgrade --refresh", "arch": "sudo pacman -Syu", "nixos": "a newer nixpkgs, then sudo nixos-rebuild boot",
	}[r.Snapshot.Platform.OSID]
	if command == "" {
		return fmt.Sprintf("install %s, then: %s", what, reboot)
	}
	return fmt.Sprintf("install %s: %s, then %s", what, command, reboot)
}

func (r *report) boot() Boot {
	if r.Files == nil {
		return Boot{}
	}
	return r.Files.Boot
}

// written finds the file that sets a parameter.
func (r *report) written(name string) (Setting, bool) {
	list := r.boot().Settings
	for i := len(list) - 1; i >= 0; i-- { // the last counts
		if list[i].Name == name {
			return list[i], true
		}
	}
	return Setting{}, false
}

func (r *report) onLine(name string) (value string, ok bool) {
	for _, s := range r.bootWords() {
		if s.Name == name {
			value, ok = s.Value, true
		}
	}
	return value, ok
}

// apply is what makes a change of the setting's file count at the next boot.
func (r *report) apply(s Setting) string {
	boot := r.boot()
	switch {
	case s.Modprobe:
		return boot.Initramfs
	case s.File == "/"+stubFile:
		return "sudo kernelstub"
	case s.File == "/"+cmdlineFile:
		return updateCmdline(boot)
	case strings.HasPrefix(s.File, "/etc/default/grub"):
		return updateGRUB(boot.Loader)
	}
	return ""
}

func updateGRUB(l Loader) string {
	switch l {
	case LoaderGRUB:
		return "sudo update-grub"
	case LoaderGrubby:
		return "sudo grub2-mkconfig -o /etc/grub2.cfg --update-bls-cmdline"
	}
	return "sudo grub-mkconfig -o /boot/grub/grub.cfg"
}

func updateCmdline(b Boot) string {
	if b.Initramfs == "sudo mkinitcpio -P" { // it makes the unified image
		return b.Initramfs
	}
	return "sudo kernel-install add-all"
}

// written is the setting as its file has it.
func written(s Setting) string {
	if _, parameter, ok := strings.Cut(s.Name, "."); ok && s.Modprobe {
		return parameter + "=" + s.Value
	}
	return s.Name + "=" + s.Value
}

// place is where it stands.
func place(s Setting) string {
	if s.Line == 0 {
		return s.File
	}
	return fmt.Sprintf("line %d of %s", s.Line, s.File)
}

// chain joins commands of which some may be missing.
func chain(commands ...string) string {
	var list []string
	for _, c := range commands {
		if c != "" {
			list = append(list, c)
		}
	}
	return strings.Join(list, " && ")
}

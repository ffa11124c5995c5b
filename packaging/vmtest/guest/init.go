package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// layout is what the machine outside says of the VM's root, in /layout.json of the small folder that the kernel mounts
// first. Paths are those of the machine outside; hostfs reaches them.
type layout struct {
	Layers []string // overlay layers, topmost first
	Share  string   // the folder that both sides see, /bed in the VM
}

// agentUnit runs the agent as soon as there is a /dev, beside everything else that boots, so that a boot that hangs can be
// looked into. It is no tier's business: it may not fall to the OOM killer and does not count in any slice of theirs.
const agentUnit = `[Unit]
Description=Carries out what the machine outside asks for
DefaultDependencies=no
[Service]
ExecStart=/run/bed/guest agent /dev/ttyS0
Restart=always
OOMScoreAdjust=-1000
OOMPolicy=continue
`

// becomeSystemd is the kernel's first process: it lays an overlay of the host's folders and a disk of the VM's own, makes
// that the root and becomes systemd. It returns only on failure, which the kernel answers with a panic.
func becomeSystemd() error {
	raw, err := os.ReadFile("/layout.json")
	if err != nil {
		return err
	}
	var l layout
	if err := json.Unmarshal(raw, &l); err != nil {
		return fmt.Errorf("cannot read /layout.json: %w", err)
	}
	if err := mountRoot(l); err != nil {
		return err
	}
	if err := placeAgent("/root"); err != nil {
		return err
	}
	// A kernel's first root cannot be pivoted away; another is moved over it (ramfs-rootfs-initramfs.rst, "switch_root").
	if err := os.Chdir("/root"); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("cannot move the root into place: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return err
	}
	const path = "/usr/lib/systemd/systemd"
	return unix.Exec(path, []string{path, "--unit=multi-user.target", "--show-status=0"}, []string{"TERM=dumb"})
}

// mountRoot mounts on /root: the overlay, whose upper layer is a disk because memory is what scenarios measure; the
// devices that the kernel has made; the share; and an empty /run, which systemd takes as it is.
func mountRoot(l layout) error {
	var lower []string
	for i, layer := range l.Layers {
		dir := fmt.Sprintf("/layers/%d", i)
		if err := unix.Mount("layer", dir, "hostfs", unix.MS_RDONLY, layer); err != nil {
			return fmt.Errorf("cannot mount the host's %s: %w", layer, err)
		}
		lower = append(lower, dir)
	}
	if err := unix.Mount("/dev/ubda", "/disk", "ext4", unix.MS_NOATIME, ""); err != nil {
		return fmt.Errorf("cannot mount the disk: %w", err)
	}
	for _, dir := range []string{"/disk/upper", "/disk/work"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	options := "lowerdir=" + strings.Join(lower, ":") + ",upperdir=/disk/upper,workdir=/disk/work"
	if err := unix.Mount("root", "/root", "overlay", unix.MS_NOATIME, options); err != nil {
		return fmt.Errorf("cannot mount the overlay (%s): %w", options, err)
	}
	if err := unix.Mount("/dev", "/root/dev", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("cannot move /dev: %w", err)
	}
	if err := unix.Mount("tmpfs", "/root/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755"); err != nil {
		return fmt.Errorf("cannot mount /run: %w", err)
	}
	if err := os.MkdirAll("/root/bed", 0o755); err != nil {
		return err
	}
	if err := unix.Mount("bed", "/root/bed", "hostfs", 0, l.Share); err != nil {
		return fmt.Errorf("cannot mount the host's %s: %w", l.Share, err)
	}
	return nil
}

// placeAgent puts this program and its unit under /run of the new root.
func placeAgent(root string) error {
	program, err := os.ReadFile("/init")
	if err != nil {
		return err
	}
	units := filepath.Join(root, "run/systemd/system")
	wants := filepath.Join(units, "sysinit.target.wants")
	for _, dir := range []string{filepath.Join(root, "run/bed"), wants} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(root, "run/bed/guest"), program, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(units, "bed-agent.service"), []byte(agentUnit), 0o644); err != nil {
		return err
	}
	return os.Symlink("../bed-agent.service", filepath.Join(wants, "bed-agent.service"))
}

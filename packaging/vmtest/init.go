package vmtest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// becomeInit is the first process of a bed: it mounts the overlay and what systemd expects of its container manager
// (https://systemd.io/CONTAINER_INTERFACE), makes the overlay the root and becomes systemd. The bed's folder is the
// working directory, its layers are in the environment. It returns only on failure.
func becomeInit() error {
	// The cgroup namespace's root is the cgroup that this process is in now, the bed's own.
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("cannot make a cgroup namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	options := "lowerdir=" + os.Getenv("TIERD_BED_LAYERS") + ",upperdir=upper,workdir=work"
	if err := unix.Mount("bed", "root", "overlay", 0, options); err != nil {
		return fmt.Errorf("cannot mount the overlay (%s): %w", options, err)
	}
	if err := os.Chdir("root"); err != nil {
		return err
	}
	if err := mountRoot(os.Getenv("TIERD_BED_SHARE")); err != nil {
		return err
	}
	if err := bringUpLoopback(); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte("bed")); err != nil {
		return err
	}
	// "." over ".": the old root is then mounted beneath the new one and can be let go by the same name (pivot_root(2)).
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("cannot change the root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return err
	}
	const path = "/usr/lib/systemd/systemd"
	return unix.Exec(path, []string{path, "--unit=multi-user.target", "--show-status=0"}, []string{"container=tierd-bed"})
}

// mountRoot mounts the kernel's file systems into the working directory, which becomes the root, and share on /bed.
func mountRoot(share string) error {
	const safe = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	mounts := []struct {
		kind, dir string
		flags     uintptr
		data      string
	}{
		{"proc", "proc", safe, ""},
		{"sysfs", "sys", safe | unix.MS_RDONLY, ""},
		{"cgroup2", "sys/fs/cgroup", safe, ""},
		{"tmpfs", "run", unix.MS_NOSUID | unix.MS_NODEV, "mode=0755"},
		{"tmpfs", "tmp", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
		{"tmpfs", "dev", unix.MS_NOSUID, "mode=0755"},
		{"devpts", "dev/pts", unix.MS_NOSUID | unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620"},
		{"tmpfs", "dev/shm", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
	}
	for _, m := range mounts {
		if err := os.MkdirAll(m.dir, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.kind, m.dir, m.kind, m.flags, m.data); err != nil {
			return fmt.Errorf("cannot mount %s on /%s: %w", m.kind, m.dir, err)
		}
	}
	// Kernel settings are the machine's, not the bed's: systemd-sysctl must not reach them.
	if err := unix.Mount("proc/sys", "proc/sys", "", unix.MS_BIND, ""); err != nil {
		return err
	}
	if err := unix.Mount("", "proc/sys", "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|safe, ""); err != nil {
		return fmt.Errorf("cannot protect /proc/sys: %w", err)
	}
	for name := range strings.FieldsSeq("null zero full random urandom tty") {
		if err := bind("/dev/"+name, "dev/"+name); err != nil {
			return err
		}
	}
	for name, target := range map[string]string{
		"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
	} {
		if err := os.Symlink(target, "dev/"+name); err != nil {
			return err
		}
	}
	if share == "" {
		return nil
	}
	if err := os.MkdirAll("bed", 0o755); err != nil {
		return err
	}
	return unix.Mount(share, "bed", "", unix.MS_BIND|unix.MS_REC, "")
}

// bind shows the file at path as dest.
func bind(path, dest string) error {
	if err := os.WriteFile(dest, nil, 0o600); err != nil {
		return err
	}
	if err := unix.Mount(path, dest, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("cannot show %s in the bed: %w", path, err)
	}
	return nil
}

// bringUpLoopback switches on the only interface that a fresh network namespace has.
func bringUpLoopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifreq, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifreq.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifreq); err != nil {
		return fmt.Errorf("cannot bring up the loopback interface: %w", err)
	}
	return nil
}

// layerPaths joins overlay layers, topmost first, in the form that the mount option wants.
func layerPaths(layers []string) (string, error) {
	for _, layer := range layers {
		if strings.ContainsAny(layer, ":,") || !filepath.IsAbs(layer) {
			return "", fmt.Errorf("cannot use %q as an overlay layer: its path must be absolute, without ':' and ','", layer)
		}
	}
	return strings.Join(layers, ":"), nil
}

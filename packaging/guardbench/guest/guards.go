package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/packaging/guardbench/trial"
)

// guard is one that runs: what it is called in systemd.
type guard struct {
	unit string // "" is nobody
	pid  int
}

var guardUnits = map[string]string{
	trial.EarlyOOM: "earlyoom.service", trial.Nohang: "nohang.service", trial.TierGuard: "tier-guard.service",
	trial.OOMD: "systemd-oomd.service", trial.OOMDAggressive: "systemd-oomd.service",
}

// What the aggressive systemd-oomd is given: a file of its own, and coder's cgroup marked as ManagedOOMPreference=avoid marks
// it. That property itself would leave a file behind that keeps systemd from starting another transient unit of the name.
const (
	oomdConf    = "/run/systemd/oomd.conf.d/bench.conf"
	coderCgroup = "/sys/fs/cgroup/" + tiersSlice + "/coder.service"
	avoided     = "user.oomd_avoid"
)

// markers are files that say what a run has left: the units of its guard, and that systemd-oomd was told of the slice.
const (
	guardMarker = "guard"
	oomdMarker  = "oomd"
)

// stopGuards ends whatever guard there is and takes back what it was told about units.
func stopGuards() error {
	last, err := os.ReadFile(benchPath(guardMarker))
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	// One that has ended by itself may be forgotten already.
	_, _ = command("systemctl", append([]string{"stop"}, strings.Fields(string(last))...)...)
	if err := os.Remove(benchPath(guardMarker)); err != nil {
		return err
	}
	if _, err := os.Stat(benchPath(oomdMarker)); err != nil {
		return nil
	}
	if err := watchSlice("auto", "0%", ""); err != nil {
		return err
	}
	_ = unix.Removexattr(coderCgroup, avoided) // coder may be gone
	if err := os.Remove(oomdConf); err != nil && !os.IsNotExist(err) {
		return err
	}
	return os.Remove(benchPath(oomdMarker))
}

// watchSlice tells systemd-oomd through systemd to watch the tiers' slice, or no longer. 0 % and no duration are systemd-oomd's own.
func watchSlice(mode, limit, duration string) error {
	_, err := command("systemctl", "set-property", "--runtime", tiersSlice, "ManagedOOMSwap="+mode, "ManagedOOMMemoryPressure="+mode,
		"ManagedOOMMemoryPressureLimit="+limit, "ManagedOOMMemoryPressureDurationSec="+duration)
	return err
}

// startGuard starts one and waits until it is at rest. Guards of others run as Debian's units start them.
func startGuard(name string, tierd *standIn) (g guard, err error) {
	g.unit = guardUnits[name]
	left := g.unit
	switch name {
	case trial.None:
		return g, nil
	case trial.OOMD, trial.OOMDAggressive:
		left += " systemd-oomd.socket"
		err = prepareOOMD(name == trial.OOMDAggressive)
	case trial.TierGuard, trial.EarlyOOM, trial.Nohang:
	default:
		err = fmt.Errorf("there is no guard %q", name)
	}
	if err != nil {
		return g, err
	}
	if err := os.WriteFile(benchPath(guardMarker), []byte(left), 0o644); err != nil {
		return g, err
	}
	if name == trial.TierGuard {
		err = runTierGuard(tierd.path())
	} else {
		_, err = command("systemctl", "start", g.unit)
	}
	if err != nil {
		return g, err
	}
	text, err := command("systemctl", "show", "-P", "MainPID", g.unit)
	if err != nil {
		return g, err
	}
	if g.pid, err = strconv.Atoi(text); err != nil || g.pid == 0 {
		return g, fmt.Errorf("%s has no process (%q): %v", g.unit, text, err)
	}
	if name == trial.TierGuard {
		return g, tierd.awaitArmed()
	}
	return g, awaitQuiet(g.pid)
}

func prepareOOMD(aggressive bool) error {
	if err := os.WriteFile(benchPath(oomdMarker), nil, 0o644); err != nil {
		return err
	}
	if !aggressive {
		return watchSlice("kill", "0%", "")
	}
	if err := watchSlice("kill", "10%", "1s"); err != nil {
		return err
	}
	if err := unix.Setxattr(coderCgroup, avoided, []byte("1"), 0); err != nil {
		return fmt.Errorf("cannot have systemd-oomd avoid coder: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(oomdConf), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(oomdConf, []byte("[OOM]\nSwapUsedLimit=80%\n"), 0o644); err != nil {
		return err
	}
	return awaitCalm()
}

// awaitCalm waits until the pressure of the run before is forgotten, which would be taken for that of this one.
func awaitCalm() error {
	_, err := within(20*time.Second, func() (bool, error) {
		text, err := os.ReadFile(filepath.Join("/sys/fs/cgroup", tiersSlice, "memory.pressure"))
		return field(text, "full avg10=") < 5, err
	})
	return err
}

// runTierGuard starts our own as its unit does, with the lines of this machine. Its fill rate is that of dma-heap buffers here.
func runTierGuard(socket string) error {
	_, err := command("systemd-run", "--quiet", "--collect", "--unit=tier-guard", "--slice=-.slice", "-p", "OOMScoreAdjust=-900",
		"-p", "Nice=-20", "-p", "CPUWeight=10000", "-p", "Environment=GOMAXPROCS=2", "-p", "LimitMEMLOCK=infinity", "-p", "MemoryMin=16M", benchPath(trial.TierGuard),
		"--soft", "300MiB", "--hard", "150MiB", "--fill-rate", "4GiB", "--socket", socket)
	return err
}

// resident is what a guard has in memory, in bytes; 0 when it is gone.
func (g guard) resident() int64 {
	kib, err := procField(fmt.Sprintf("/proc/%d/status", g.pid), "VmRSS:")
	if err != nil {
		return 0
	}
	return kib << 10
}

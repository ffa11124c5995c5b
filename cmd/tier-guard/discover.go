package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/tierd/tierd/agent/guard"
)

// found is a tier's unit to be watched.
type found struct {
	tier   guard.Tier
	cgroup string // below sys/fs/cgroup
	main   int    // process; 0: not known
	gpu    bool   // it may hold GPU memory
	kept   bool   // tierd said so to the guard before this one, of the life that main is of
}

// discover finds the tiers that run by themselves, for a guard that tierd has never spoken to. What it does not see is taken
// from the safe side: each is busy, and none has a charge that it could break.
func discover(root string) []found {
	var all []found
	base := filepath.Join(root, cgroups)
	for _, pattern := range []string{"tier.slice/tier-*.service", "tier.slice/*.slice/tier-*.service"} {
		dirs, _ := filepath.Glob(filepath.Join(base, pattern)) // the pattern is well-formed
		for _, dir := range dirs {
			unit := filepath.Base(dir)
			t := guard.Tier{
				Name:     strings.TrimSuffix(strings.TrimPrefix(unit, "tier-"), ".service"),
				Unit:     unit,
				Priority: priorityOf(root, dir),
				Busy:     true,
			}
			all = append(all, found{tier: t, cgroup: strings.TrimPrefix(dir, base), gpu: !strings.Contains(dir, "/tier-cpu.slice/")})
		}
	}
	return all
}

// priorityOf is read from the OOM score that the unit's engine was given: the shim itself is one that the kernel never takes.
// See oomScore in package units, which this turns around. 50, as in tiers.toml, where no process says otherwise.
func priorityOf(root, dir string) int {
	const standard = 50
	pids, _ := pidsIn(filepath.Join(dir, "cgroup.procs")) // of a cgroup that is gone there are none
	for _, pid := range pids {
		text, err := os.ReadFile(filepath.Join(root, "proc", strconv.Itoa(pid), "oom_score_adj"))
		if err != nil {
			continue
		}
		if score, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && score >= 300 && score <= 900 {
			return (900 - score) / 6
		}
	}
	return standard
}

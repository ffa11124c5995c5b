package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cgroup is the folder of this unit's control group; "" where there is none to be seen, and then nothing is known of it.
type cgroup string

// ownCgroup finds the unit's group, which the engine and its helpers share, in the unified hierarchy.
func ownCgroup() cgroup {
	membership, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(membership)) {
		if path, found := strings.CutPrefix(strings.TrimSpace(line), "0::"); found {
			return cgroup("/sys/fs/cgroup" + path)
		}
	}
	return ""
}

// oomCount is how often memory ran out, from the group's memory.events (cgroup-v2.rst).
type oomCount struct {
	limit int // the group's own limit was reached and nothing was left to reclaim; a shortage of the host does not count here
	kills int // processes of the group that an OOM killer ended, whoever's memory was short
}

// ooms counts since the group was made, which is with every start.
func (c cgroup) ooms() oomCount {
	if c == "" {
		return oomCount{}
	}
	events, err := os.ReadFile(string(c) + "/memory.events")
	if err != nil {
		return oomCount{} // no memory controller: then the exit status alone speaks
	}
	return oomCount{limit: counter(string(events), "oom"), kills: counter(string(events), "oom_kill")}
}

func (n oomCount) since(before oomCount) oomCount {
	return oomCount{n.limit - before.limit, n.kills - before.kills}
}

// counter is the number behind a name in a file of lines "name number"; 0 when it is not there.
func counter(text, name string) int {
	for line := range strings.Lines(text) {
		if key, number, found := strings.Cut(strings.TrimSpace(line), " "); found && key == name {
			n, err := strconv.Atoi(number)
			if err != nil || n < 0 {
				return 0
			}
			return n
		}
	}
	return 0
}

// max is what the group may take, in bytes; 0 for no limit.
func (c cgroup) max() uint64 {
	text, err := os.ReadFile(string(c) + "/memory.max")
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64) // "max" stands for no limit
	return n
}

// killPause is how often the counters are looked at when they move: the kernel tells of every time that it reclaims above
// memory.high, up to a hundred times a second while a model loads.
const killPause = 200 * time.Millisecond

// killed tells when an OOM killer has ended a process of the group: one of vLLM's may be gone while its main process waits
// for it for ever. It costs nothing while nothing happens. nil, which never tells, where the kernel does not.
func (c cgroup) killed(ctx context.Context, before oomCount) <-chan struct{} {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil
	}
	events := os.NewFile(uintptr(fd), "inotify") // not blocking, so that Close ends a Read
	if _, err := unix.InotifyAddWatch(fd, string(c)+"/memory.events", unix.IN_MODIFY); err != nil {
		events.Close()
		return nil
	}
	told := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { events.Close() })
	go func() {
		defer func() {
			if stop() {
				events.Close()
			}
		}()
		buf := make([]byte, 4096)
		for c.ooms().kills <= before.kills {
			if _, err := events.Read(buf); err != nil {
				return
			}
			sleep(ctx, killPause)
		}
		close(told)
	}()
	return told
}

// outOfMemory is the end of an engine of which an OOM killer has taken a process; nil when none did. Whose memory was short
// decides whether a second try may do: with the same limit it would end the same way, while the host may have room again.
func (s *shim) outOfMemory(n oomCount) *end {
	switch {
	case n.kills <= 0:
		return nil
	case n.limit <= 0:
		return failed(classKilled, "The kernel's OOM killer ended the engine: the host was out of memory")
	}
	max, name := s.cgroup.max(), s.opts.tier
	if s.opts.variant != "" {
		name += "/" + s.opts.variant
	}
	if charge := s.opts.memory; max > 0 && (max < charge || max > charge+charge/4+128<<20) {
		// Of a GPU tier the limit is for its processes alone; or it is an administrator's. A limit from the charge may be a
		// good tenth above the one that this unit was defined with.
		return failed(classBudget, "The engine took more of the host's RAM than the %s that its unit allows (MemoryMax=) and the kernel ended it: lower context or parallel of %s in tiers.toml, or raise the limit by `systemctl edit`", size(max), name)
	}
	limit := ""
	if max > 0 {
		limit = " of " + size(max)
	}
	return failed(classBudget, "The engine took more than its limit%s and the kernel ended it: raise `memory` of %s in tiers.toml, or lower context or parallel", limit, name)
}

// engineFirst is what the engine's OOM score has above that of a shim which the kernel may take as well, since an
// administrator gave the unit a score of his own: five per cent of the memory that is short, many times what the shim takes.
// No property of systemd's tells the kernel's SIGKILL from an administrator's, after which the tier is to be started again;
// so the unit's score is untouchable, and this is for the rest.
const engineFirst = 50

// untouchable is the score of a process that the kernel never takes (proc_pid_oom_score_adj(5)).
const untouchable = -1000

// victimScore is the engine's score beside the shim's own, given the one that its rank among the tiers sets.
func victimScore(own, rank int) int {
	if own == untouchable {
		return rank
	}
	return min(own+engineFirst, 1000)
}

// asVictim starts a process that the kernel takes before this one. The score is inherited at a fork, so this process has the
// higher one for that moment: a child that was given it afterwards could have children without it. Going back needs no
// privilege, since systemd has set the lower one with it (oom_score_adj_min, proc_pid_oom_score_adj(5)).
func asVictim(rank int, start func() error) error {
	const file = "/proc/self/oom_score_adj"
	text, err := os.ReadFile(file)
	own, bad := strconv.Atoi(strings.TrimSpace(string(text)))
	if err == nil && bad == nil && setScore(file, victimScore(own, rank)) == nil {
		defer setScore(file, own) // in vain only where another one set it meanwhile
	}
	return start()
}

func setScore(file string, score int) error { return os.WriteFile(file, []byte(fmt.Sprint(score)), 0) }

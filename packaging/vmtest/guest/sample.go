package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// sample is what the kernel and systemd say of the host and its tiers at one moment. Amounts are bytes.
type sample struct {
	Available int64 // MemAvailable - CmaFree: what a process may still take without swapping
	OOMKills  int64 // of the whole host since it booted
	Units     []unitSample
}

// unitSample is one tier's unit that has a cgroup, so a process or the memory of one.
type unitSample struct {
	Unit, Tier string
	State      string // systemd's ActiveState
	Charge     int64  // what admission counts for the tier
	Limit      int64  // memory.max; 0: none
	Current    int64  // all memory that is accounted to it, page cache included
	Held       int64  // of that, what only its end gives back
	Engines    int    // processes of the engine
	OOMKills   int64  // of this unit since its cgroup was made
}

// sampler reads samples. The kernel's files are looked for below root.
type sampler struct {
	root   string
	tiers  map[string]int64 // charges by the tier's name; a unit belongs to the longest name that fits
	engine string           // the name of an engine's process
	state  func(unit string) string
}

const tierCgroups = "sys/fs/cgroup/tier.slice"

// read takes one sample. A unit that ends while it is read is left out.
func (s *sampler) read() (sample, error) {
	var out sample
	available, err := availableBelow(s.root)
	if err != nil {
		return out, err
	}
	out.Available = available
	vm, err := s.fields("proc/vmstat")
	if err != nil {
		return out, err
	}
	out.OOMKills = vm["oom_kill"]
	dirs, err := filepath.Glob(filepath.Join(s.root, tierCgroups, "*", "tier-*.service"))
	if err != nil {
		return out, err
	}
	for _, dir := range dirs {
		u, err := s.unit(dir)
		switch {
		case gone(err):
		case err != nil:
			return out, err
		default:
			out.Units = append(out.Units, u)
		}
	}
	return out, nil
}

// availableBelow is what may still be taken of the host's memory without swapping, in bytes.
func availableBelow(root string) (int64, error) {
	mem, err := parseFields(filepath.Join(root, "proc/meminfo"))
	if err != nil {
		return 0, err
	}
	available, ok := mem["MemAvailable:"]
	if !ok {
		return 0, errors.New("/proc/meminfo has no MemAvailable")
	}
	return (available - mem["CmaFree:"]) << 10, nil // a kernel without CMA has no such line
}

// gone says that what was read was removed: its cgroup, or the process to which a file of /proc belonged.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ESRCH)
}

func (s *sampler) unit(dir string) (u unitSample, err error) {
	u.Unit = filepath.Base(dir)
	u.Tier = tierOf(u.Unit, s.tiers)
	u.Charge = s.tiers[u.Tier]
	if u.Engines, err = s.engines(dir); err != nil {
		return u, err
	}
	read := func(name string) string {
		if err != nil {
			return ""
		}
		var raw []byte
		raw, err = os.ReadFile(filepath.Join(dir, name))
		return string(bytes.TrimSpace(raw))
	}
	most, current := read("memory.max"), read("memory.current")
	if err != nil {
		return u, err
	}
	if u.Current, err = strconv.ParseInt(current, 10, 64); err != nil {
		return u, fmt.Errorf("%s/memory.current: %w", dir, err)
	}
	if most != "max" {
		if u.Limit, err = strconv.ParseInt(most, 10, 64); err != nil {
			return u, fmt.Errorf("%s/memory.max: %w", dir, err)
		}
	}
	stat, err := parseFields(filepath.Join(dir, "memory.stat"))
	if err != nil {
		return u, err
	}
	events, err := parseFields(filepath.Join(dir, "memory.events"))
	if err != nil {
		return u, err
	}
	u.Held, u.OOMKills = stat["anon"]+stat["shmem"], events["oom_kill"]
	u.State = s.state(u.Unit)
	return u, nil
}

// engines counts a cgroup's processes that go by the engine's name. One that ends meanwhile does not count.
func (s *sampler) engines(dir string) (n int, err error) {
	procs, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return 0, err
	}
	for pid := range strings.FieldsSeq(string(procs)) {
		comm, err := os.ReadFile(filepath.Join(s.root, "proc", pid, "comm"))
		switch {
		case gone(err):
		case err != nil:
			return 0, err
		case strings.TrimSpace(string(comm)) == s.engine:
			n++
		}
	}
	return n, nil
}

func (s *sampler) fields(name string) (map[string]int64, error) {
	return parseFields(filepath.Join(s.root, name))
}

// parseFields reads a file of the kernel whose lines are a name, a number and perhaps a unit.
func parseFields(path string) (map[string]int64, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	fields, err := scanFields(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return fields, nil
}

func scanFields(raw []byte) (map[string]int64, error) {
	fields := map[string]int64{}
	lines := bufio.NewScanner(bytes.NewReader(raw))
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) < 2 {
			return nil, fmt.Errorf("the line %q is no name with a number", lines.Text())
		}
		n, err := strconv.ParseInt(words[1], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("the line %q is no name with a number", lines.Text())
		}
		fields[words[0]] = n
	}
	return fields, lines.Err()
}

// tierOf is the tier of a unit: tier-orch.service and tier-orch-llama.service are orch's, unless there is a tier
// orch-llama. A unit of no tier known is its own.
func tierOf(unit string, tiers map[string]int64) string {
	name := strings.TrimSuffix(strings.TrimPrefix(unit, "tier-"), ".service")
	best := ""
	for t := range tiers {
		if (name == t || strings.HasPrefix(name, t+"-")) && len(t) > len(best) {
			best = t
		}
	}
	if best == "" {
		return name
	}
	return best
}

// resident are the units that hold an engine, sorted by name.
func (s sample) resident() []unitSample {
	list := slices.DeleteFunc(slices.Clone(s.Units), func(u unitSample) bool { return u.Engines == 0 })
	slices.SortFunc(list, func(a, b unitSample) int { return strings.Compare(a.Unit, b.Unit) })
	return list
}

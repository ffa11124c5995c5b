package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/tierd/tierd/packaging/guardbench/trial"
	"github.com/tierd/tierd/packaging/vmtest"
)

// machine is the VM in which guards are tried: one for all runs, and another one where a run has left it broken.
type machine struct {
	kernel, layers, init string
	guest, memory, guard string
	progress             io.Writer
	vm                   *vmtest.VM
}

const (
	memory  = 3 << 30          // MemTotal is 3008 MiB
	bound   = 90 * time.Second // of one run; only a VM that hangs meets it
	maxMaps = 1 << 20          // see allowMaps
)

// allowMaps raises how many mappings a process of this machine may have. Each page of a process in the VM that does not lie
// beside its neighbour is one, so that 65530 of them end a process near 1.9 GB, where scenarios want 3. It returns what sets
// the number back.
func (m *machine) allowMaps() (restore func() error, err error) {
	const path = "/proc/sys/vm/max_map_count"
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	before, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if before >= maxMaps {
		return func() error { return nil }, nil
	}
	if err := os.WriteFile(path, []byte(strconv.Itoa(maxMaps)), 0); err != nil {
		return nil, fmt.Errorf("processes in the VM need more mappings than this machine allows: %w; set vm.max_map_count to %d", err, maxMaps)
	}
	return func() error { return os.WriteFile(path, []byte(strconv.Itoa(before)), 0) }, nil
}

// boot starts a VM with the bench's programs in it.
func (m *machine) boot(ctx context.Context) error {
	start := time.Now()
	v, err := vmtest.StartVM(ctx, vmtest.Machine{Kernel: m.kernel, Guest: m.init, Layers: strings.Fields(m.layers), Memory: memory})
	if err != nil {
		return err
	}
	m.vm = v
	for name, program := range map[string]string{"guest": m.guest, "memory": m.memory, trial.TierGuard: m.guard} {
		if program == "" {
			continue // tier-guard, where it is not among the guards
		}
		text, err := os.ReadFile(program)
		if err != nil {
			return err
		}
		if err := v.WriteFile(ctx, "/run/bench/"+name, text, 0o755); err != nil {
			return err
		}
	}
	fmt.Fprintf(m.progress, "a VM is up in %.1f s\n", time.Since(start).Seconds())
	return nil
}

// try makes one run. What goes wrong in the VM is an outcome, and the VM is then another one.
func (m *machine) try(ctx context.Context, r trial.Run, dir string) (trial.Outcome, error) {
	if m.vm == nil {
		if err := m.boot(ctx); err != nil {
			return trial.Outcome{}, err
		}
	}
	order, err := json.Marshal(r)
	if err != nil {
		return trial.Outcome{}, err
	}
	limited, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	result, err := m.vm.Run(limited, fmt.Sprintf("exec /run/bench/guest '%s' /bed/record.json", order))
	failed := trial.Outcome{Run: r}
	switch {
	case err != nil:
		failed.Failed = fmt.Sprintf("the VM hung, or ended: %v", err)
		return failed, m.close()
	case result.Exit != 0:
		failed.Failed = strings.TrimSpace(result.Stderr)
		note := filepath.Join(dir, r.Name()+".journal")
		return failed, errors.Join(os.WriteFile(note, []byte(m.vm.Journal()), 0o644), m.close())
	}
	text, err := os.ReadFile(filepath.Join(m.vm.Share(), "record.json"))
	if err != nil {
		return failed, err
	}
	var record trial.Record
	if err := json.Unmarshal(text, &record); err != nil {
		return failed, fmt.Errorf("cannot read what the VM has recorded: %w", err)
	}
	err = os.WriteFile(filepath.Join(dir, r.Name()+".json"), text, 0o644)
	if record.Broken {
		err = errors.Join(err, m.close())
	}
	return record.Outcome(), err
}

// close ends the VM, if there is one.
func (m *machine) close() error {
	if m.vm == nil {
		return nil
	}
	v := m.vm
	m.vm = nil
	return v.Close()
}

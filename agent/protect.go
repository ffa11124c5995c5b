package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"strings"

	"github.com/tierd/tierd/units"
)

// tierSlices are the slices of the tiers, the one above the others first.
var tierSlices = []string{"tier.slice", "tier-cpu.slice", gpuSlice}

// sliceProtection is the MemoryMin= that the slices need for what is up: the kernel shares a group's protection out among
// those below it, so a unit's own is worth nothing unless every slice above has as much as all its units together. It is
// no more than that either: systemd mounts cgroup2 with memory_recursiveprot, by which what no unit claims would protect
// any page cache in the slice. Amounts are those that systemd has for the units, which for one that runs from an older
// definition are not the plan's.
func sliceProtection(seen map[string]UnitStatus) map[string]units.Bytes {
	need := map[string]units.Bytes{}
	for _, slice := range tierSlices {
		need[slice] = 0
	}
	for _, s := range seen {
		if s.Tier == "" || !running(s) {
			continue
		}
		for slice := s.Slice; slice != ""; slice = above(slice) {
			if _, ours := need[slice]; ours {
				need[slice] = more(need[slice], s.MemoryMin)
			}
		}
	}
	return need
}

// above is the slice that holds another one, by its name: tier.slice for tier-gpu.slice, "" for tier.slice
// (systemd.slice(5)).
func above(slice string) string {
	dash := strings.LastIndexByte(slice, '-')
	if dash <= 0 {
		return ""
	}
	return slice[:dash] + ".slice"
}

// more adds, up to "all of it".
func more(a, b units.Bytes) units.Bytes {
	if a > units.Bytes(units.Infinity)-b {
		return units.Bytes(units.Infinity)
	}
	return a + b
}

// protect has the slices protect what is up, whenever that is another sum than before. It runs beside the loop, one at a
// time. Nobody depends on it: a failure is told once, and tried again with the next sum or when all is read again.
func (a *Agent) protect() {
	if a.protecting || a.observations == 0 || a.systemdErr != nil || a.ctx.Err() != nil {
		return
	}
	want := sliceProtection(a.seen)
	if maps.Equal(want, a.protection) {
		return
	}
	a.protecting = true
	a.spawn(func(ctx context.Context) {
		var failed []error
		for _, slice := range tierSlices {
			if err := a.protectSlice(ctx, slice, want[slice]); err != nil {
				failed = append(failed, fmt.Errorf("cannot set what %s protects: %w", slice, err))
			}
		}
		err := errors.Join(failed...)
		a.post(func() { a.protected(want, err) })
	})
}

// protectSlice leaves a slice alone that has the amount already, and one that the kernel does not count the memory of: it
// holds no unit just now, or there is no memory controller. systemd would load the first only to forget it again.
func (a *Agent) protectSlice(ctx context.Context, slice string, want units.Bytes) error {
	now, err := a.opts.Kernel.MemoryMin(cgroupOfSlice(slice))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case now == want/pageSize*pageSize: // as the kernel rounds it
		return nil
	}
	return a.opts.Systemd.Set(ctx, slice, []units.Property{{Name: "MemoryMin", Value: uint64(want)}})
}

const pageSize = 4096

// cgroupOfSlice is a slice's group: each is below the one that its name says.
func cgroupOfSlice(slice string) string {
	path := ""
	for ; slice != ""; slice = above(slice) {
		path = "/" + slice + path
	}
	return path
}

// protected notes what came of it.
func (a *Agent) protected(want map[string]units.Bytes, err error) {
	a.protecting = false
	switch {
	case errors.Is(err, ErrDisconnected), errors.Is(err, context.Canceled):
		return // tried again once systemd answers
	case err != nil && err.Error() != a.unprotected:
		a.opts.Log.Error("mapped weights may be dropped from memory", "err", err)
	}
	a.protection, a.unprotected = want, ""
	if err != nil {
		a.unprotected = err.Error()
	}
}

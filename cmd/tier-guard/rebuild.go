package main

import (
	"errors"
	"os"
	"slices"
	"time"

	"github.com/tierd/tierd/agent/api/guardwire"
	"github.com/tierd/tierd/agent/guard"
)

// retired is a unit's start whose files are closed as soon as the hot thread goes by a table without it: a descriptor that is
// used once more after it was closed may be another file by then, and be that of another tier.
type retired struct {
	unit *watched
	seq  uint64 // of the first table without it
}

// heard turns what tierd says of tiers into what the guard goes by. Idleness is told by the wall clock, and kept by one that
// nobody sets.
func heard(tiers []guardwire.Tier, now time.Time, boot int64) []found {
	var all []found
	for _, t := range tiers {
		f := found{cgroup: t.Cgroup, main: t.MainPID, gpu: t.GPU, tier: guard.Tier{
			Name: t.Tier, Unit: t.Unit, Priority: t.Priority, Pinned: t.Pinned, Demand: t.Demand, Charge: t.Charge,
			Loading: t.Loading, Ending: t.Ending, Busy: t.Busy,
		}}
		if !t.Busy {
			f.tier.Idle = time.Duration(boot)
			if !t.IdleSince.IsZero() {
				f.tier.Idle -= now.Sub(t.IdleSince)
			}
		}
		all = append(all, f)
	}
	return all
}

// wanted are the units to be watched: what tierd said last, and while it is silent those too that have come up since.
func (k *keeper) wanted() []found {
	all := k.heard
	if !k.silent {
		return all
	}
	all = slices.Clone(all)
	for _, d := range k.discovered {
		if !slices.ContainsFunc(all, func(f found) bool { return f.tier.Unit == d.tier.Unit }) {
			all = append(all, d)
		}
	}
	return all
}

// rebuild hands the hot thread another table if there is anything new in it.
func (k *keeper) rebuild() {
	t := &table{seq: k.table.seq + 1, stale: k.silent}
	t.lines, t.pace = k.opts.over(k.spoken, k.total)
	for _, f := range k.wanted() {
		if len(t.units) == guard.MaxTiers {
			break
		}
		w, err := k.unit(f)
		k.unwatched(f.tier.Unit, err)
		if err != nil {
			continue
		}
		f.tier.Main = w.main
		if k.silent && w.unheard {
			f.tier.Busy, f.tier.Loading = true, false // nobody tells what this start of it does
		}
		t.tiers, t.units = append(t.tiers, f.tier), append(t.units, w)
	}
	if t.equal(k.table) {
		return
	}
	for _, w := range k.table.units {
		if !slices.Contains(t.units, w) {
			k.retired = append(k.retired, retired{w, t.seq})
		}
	}
	k.table = t
	k.hot.hand(t)
	k.status()
}

// unit is the one that is open already if it is still this start of the unit.
func (k *keeper) unit(f found) (*watched, error) {
	for _, w := range k.table.units {
		if w.unit == f.tier.Unit && w.cgroup == f.cgroup && w.onGPU == f.gpu && w.same(k.opts.root, f.main) {
			return w, nil
		}
	}
	w, err := openUnit(k.opts.root, f.tier.Unit, f.cgroup, f.main)
	if err != nil {
		return nil, err
	}
	w.onGPU, w.unheard = f.gpu, k.silent && !(f.kept && w.main == f.main)
	return w, nil
}

// unwatched says once why a unit cannot be watched. One that has no cgroup is not up, and nothing is wrong with that.
func (k *keeper) unwatched(unit string, err error) {
	text := ""
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		text = err.Error()
	}
	if text != "" && k.complained[unit] != text {
		k.log.Error("the guard cannot stop a tier: its unit's files cannot be opened", "unit", unit, "err", text)
	}
	k.complained[unit] = text
}

func (k *keeper) closeRetired() {
	seen := k.hot.seen.Load()
	k.retired = slices.DeleteFunc(k.retired, func(r retired) bool {
		if r.seq > seen {
			return false
		}
		r.unit.close()
		return true
	})
}

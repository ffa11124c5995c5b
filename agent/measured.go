package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/tierd/tierd/agent/budget"
	"github.com/tierd/tierd/units"
)

const (
	measuredName = "measured.json" // in the state directory
	maxMeasured  = 256             // runs that are remembered, the last to be seen
	maxMeasuring = 1 << 20         // bytes of the file
)

// peak is the most that a run took; under another key, how long its load did.
type peak struct {
	Bytes uint64    `json:"bytes,omitempty"`
	Load  float64   `json:"load_seconds,omitempty"`
	Seen  time.Time `json:"seen"`
}

// measured is what earlier runs took: memory at most, by units.Unit.MeasureKey, and time to load, by loadKey. Nothing depends
// on it but estimates. It belongs to the loop.
type measured struct {
	peaks map[string]peak
	file  keeper
}

// loadMeasured reads what an earlier tierd has left. A file that cannot be read costs the learned figures, and no more.
func loadMeasured(dir string) (map[string]peak, error) {
	file, err := os.Open(filepath.Join(dir, measuredName))
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]peak{}, nil
	}
	if err != nil {
		return map[string]peak{}, fmt.Errorf("cannot read what earlier runs took: %w", err)
	}
	defer file.Close()
	peaks := map[string]peak{}
	if err := json.NewDecoder(io.LimitReader(file, maxMeasuring)).Decode(&peaks); err != nil {
		return map[string]peak{}, fmt.Errorf("cannot read what earlier runs took: %s: %w", file.Name(), err)
	}
	if peaks == nil { // the file says null
		peaks = map[string]peak{}
	}
	return peaks, nil
}

// saveMeasured replaces the file in one step.
func saveMeasured(dir string, peaks map[string]peak) error {
	return replaceFile(dir, measuredName, peaks)
}

// note takes in what a run was seen to take, and tells whether that is news: one part in fifty is none.
func (m *measured) note(key string, took units.Bytes, now time.Time) bool {
	if key == "" || took == 0 {
		return false
	}
	old, known := m.peaks[key]
	if known && uint64(took) <= old.Bytes+old.Bytes/50 {
		return false
	}
	m.peaks[key] = peak{Bytes: uint64((took + units.MiB - 1) / units.MiB * units.MiB), Seen: now}
	m.forget()
	return true
}

// forget drops the runs that were seen the longest ago.
func (m *measured) forget() {
	if len(m.peaks) <= maxMeasured {
		return
	}
	keys := make([]string, 0, len(m.peaks))
	for k := range m.peaks {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int { return m.peaks[a].Seen.Compare(m.peaks[b].Seen) })
	for _, k := range keys[:len(keys)-maxMeasured] {
		delete(m.peaks, k)
	}
}

// forPlan is what a plan may use.
func (a *Agent) forPlan() map[string]units.Bytes {
	known := make(map[string]units.Bytes, len(a.measured.peaks))
	for k, p := range a.measured.peaks {
		if p.Bytes > 0 {
			known[k] = units.Bytes(p.Bytes)
		}
	}
	return known
}

// sample looks at what the tiers hold that run now.
func (a *Agent) sample() {
	cgroups := a.cgroups()
	if len(cgroups) == 0 {
		return
	}
	a.spawn(func(context.Context) {
		r := a.readRoom(cgroups)
		a.post(func() { a.measure(r) })
	})
}

// measure learns from a look at the room. Of weights that are mapped the page cache may hold any part; they count in whole.
func (a *Agent) measure(r room) {
	news := false
	for name, held := range r.held {
		u := a.unit(name)
		if s := a.seen[name]; !running(s) || s.Hash != u.Hash || u.Charge.Weights == 0 {
			continue // of another definition, or nothing is known that it could correct
		}
		took := held + u.Charge.Mapped
		if u.GPU {
			took += budget.Held(a.gpu.snapshot, "", name)
		}
		if a.measured.note(u.MeasureKey(), took, time.Now()) {
			news = news || took > u.Charge.Estimate()
		}
	}
	if news {
		a.save()
	}
}

// outgrew notes that a unit broke its own limit: the next start counts with a tenth more.
func (a *Agent) outgrew(u units.Unit) {
	if a.measured.note(u.MeasureKey(), u.Charge.Total()+u.Charge.Total()/10, time.Now()) {
		a.save()
	}
}

// save keeps the figures for a later tierd.
func (a *Agent) save() {
	peaks := maps.Clone(a.measured.peaks)
	a.keep(&a.measured.file, a.opts.StateDir, "what tiers took", func(dir string) error { return saveMeasured(dir, peaks) })
}

// corrected tells whether a unit's charge is below what a run took, so that the plan has to be made anew. A unit that runs
// is no other one because of that: the hash leaves it out.
func (a *Agent) corrected() bool {
	if a.plan == nil {
		return false
	}
	return slices.ContainsFunc(a.plan.Units, func(u units.Unit) bool {
		p, known := a.measured.peaks[u.MeasureKey()]
		took := units.Bytes(p.Bytes)
		return known && took != u.Charge.Measured && took > u.Charge.Estimate()
	})
}

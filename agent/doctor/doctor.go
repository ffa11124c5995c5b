// Package doctor says what is wrong with a host and its tiers, why that matters, and what mends it.
//
// It is pure: Check is handed what others have found out, and Look reads the files of whatever file system it is given.
// Nothing is started, and nobody is asked.
package doctor

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/budget"
	"github.com/tierd/tierd/rocm"
	"github.com/tierd/tierd/rocm/quirks"
	"github.com/tierd/tierd/units"
)

// Severity is how bad a finding is.
type Severity string

// The severities, the worst first.
const (
	Error   Severity = "error"   // tiers will not run, or will take the host down
	Warning Severity = "warning" // it works, and goes wrong sooner or later, or wastes much
	Note    Severity = "note"    // to be known
	OK      Severity = "ok"      // was looked at, and is as it should be
)

var severities = []Severity{Error, Warning, Note, OK}

// Finding is one thing that was found out. All texts are one line, without a full stop.
type Finding struct {
	ID       string   `json:"id"` // stays the same over versions: "ttm-pages-limit"
	Severity Severity `json:"severity"`
	What     string   `json:"what"`          // is wrong
	Why      string   `json:"why,omitempty"` // it matters
	Fix      string   `json:"fix,omitempty"` // the command or the line that mends it; "" when there is nothing to do
	Source   string   `json:"source"`        // who found it out
}

// Facts are what Check goes by. What is missing in them is not checked.
type Facts struct {
	Snapshot rocm.Snapshot
	Config   string        // the name of tiers.toml; "": nobody looked for it
	Plan     *units.Plan   // nil: it cannot be used
	Faults   []units.Fault // of tiers.toml
	Quirks   quirks.Quirks
	Files    *Files       // of the host; nil: nobody looked
	Status   *api.Status  // as tierd says; nil: it does not answer, or nobody asked
	Silent   *api.Error   // why it does not answer; nil: it does, or nobody asked
	Guard    *api.Guard   // the same
	Clients  []ClientFile // that the user applied; none: there are none, or nobody looked
}

// Check looks at all facts, and returns what it found with the worst first.
func Check(f Facts) []Finding {
	r := &report{Facts: f}
	r.gpu, r.why = f.Snapshot.TierGPU("")
	r.pool = budget.GPUOf(f.Snapshot, "")
	for _, check := range []func(*report){
		(*report).checkUnseen,
		(*report).checkGPU,
		(*report).checkSeveralGPUs,
		(*report).checkDevices,
		(*report).checkCarveOut,
		(*report).checkPagesLimit,
		(*report).checkPagePool,
		(*report).checkParameters,
		(*report).checkSpelling,
		(*report).checkKernel,
		(*report).checkIOMMU,
		(*report).checkCgroup,
		(*report).checkPressure,
		(*report).checkLeak,
		(*report).checkClients,
		(*report).checkSwap,
		(*report).checkZswap,
		(*report).checkGuard,
		(*report).checkKillers,
		(*report).checkConfig,
		(*report).checkUnits,
		(*report).checkBuilds,
		(*report).checkModes,
		(*report).checkDaemon,
		(*report).checkStatus,
		(*report).checkPorts,
		(*report).checkApplied,
	} {
		check(r)
	}
	slices.SortStableFunc(r.found, func(a, b Finding) int {
		return cmp.Compare(slices.Index(severities, a.Severity), slices.Index(severities, b.Severity))
	})
	return r.found
}

// report is one pass over the facts.
type report struct {
	Facts
	gpu   *rocm.GPU // that tiers use; nil: none
	why   string    // it is that one, or none
	pool  *budget.GPU
	found []Finding
}

func (r *report) add(f Finding) { r.found = append(r.found, f) }

// fine notes that something was looked at and is as it should be.
func (r *report) fine(id, source, format string, args ...any) {
	r.add(Finding{ID: id, Severity: OK, What: fmt.Sprintf(format, args...), Source: source})
}

// gpuUnits are the units of the plan that load onto the GPU: those of the default mode when it names any, else all.
func (r *report) gpuUnits() []units.Unit {
	if r.Plan == nil {
		return nil
	}
	onGPU := func(list []units.Unit) []units.Unit {
		return slices.DeleteFunc(slices.Clone(list), func(u units.Unit) bool { return !u.GPU })
	}
	if mode, err := r.Plan.Mode(""); err == nil {
		if list := onGPU(mode); len(list) > 0 {
			return list
		}
	}
	return onGPU(r.Plan.Units)
}

// defaultMode sums up the mode that `tierctl up` starts; nil when there is none.
func (r *report) defaultMode() *budget.Mode {
	if r.Plan == nil {
		return nil
	}
	want, err := r.Plan.Mode("")
	if err != nil {
		return nil
	}
	m := budget.OfMode(r.host(), want)
	return &m
}

func (r *report) host() budget.Host { return budget.HostOf(r.Snapshot, r.Plan.Config.Host, "") }

// amount is a number of bytes as Bytes; 0 when it is not known.
func amount(n *uint64) units.Bytes {
	if n == nil {
		return 0
	}
	return units.Bytes(*n)
}

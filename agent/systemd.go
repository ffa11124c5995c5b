package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tierd/tierd/units"
)

// Systemd is all that the agent asks of the service manager. Every call is bounded by its context, and by a limit of
// the adapter's own for each message; Start and Stop last as long as systemd's job.
type Systemd interface {
	// Define loads a unit without starting it, in place of an earlier definition that is not running. A unit that runs is
	// left alone, with ErrRunning.
	Define(ctx context.Context, u units.Unit) error
	// Adopt takes a reference to a unit that is loaded already, so that it stays loaded when it stops.
	Adopt(ctx context.Context, name string) error
	// Release gives the reference back and forgets a failure: systemd drops the unit when it is not running.
	Release(ctx context.Context, name string) error
	// Reset forgets a failure and keeps the unit.
	Reset(ctx context.Context, name string) error
	// Start waits for systemd's job. With RestartMode=direct that job spans every retry.
	Start(ctx context.Context, name string) error
	// StartBeside starts a unit whose siblings run on: what it requires, and what conflicts with it, is left as it is. As
	// soon as systemd starts one of them anew, by itself too, the others end.
	StartBeside(ctx context.Context, name string) error
	Stop(ctx context.Context, name string) error
	// Set changes properties of a loaded unit, such as a slice, until the next boot or its next definition.
	Set(ctx context.Context, name string, props []units.Property) error
	// List tells of the units that are named or that carry our fields, after it has read again what depth says.
	List(ctx context.Context, names []string, depth Depth) ([]UnitStatus, error)
	// Version is the manager's own ("262"), empty until the bus was reached.
	Version() string
	// Changed carries hints that something may be different. A true one means: read everything again.
	Changed() <-chan bool
}

// Depth is how much List asks systemd again.
type Depth int

// The depths, each with what those before it read.
const (
	ReadChanged Depth = iota // units of which a signal came
	ReadListed               // and those whose state in the manager's list is another than before: one message when nothing is
	ReadAll                  // every unit
)

// ErrRunning says that a unit runs and that its definition therefore stays.
var ErrRunning = errors.New("the unit is running")

// JobError is a job that did not end as "done". What became of the unit says more than that.
type JobError struct{ What, Unit, Result string }

func (e *JobError) Error() string {
	return fmt.Sprintf("systemd's job to %s %s ended: %s", e.What, e.Unit, e.Result)
}

// ErrDisconnected says that the bus went away during a call: what became of the job is for the next List to tell.
var ErrDisconnected = errors.New("the connection to systemd was lost")

// UnitStatus is what systemd says of one unit.
type UnitStatus struct {
	Name         string
	LoadState    string // "loaded", "masked", "not-found", ...
	ActiveState  string
	SubState     string
	Result       string // of the service: "success", "exit-code", "timeout", ...
	StatusText   string // the shim's last STATUS=
	ExecCode     int    // how the main process ended: 1 exited, 2 killed, 3 dumped (CLD_* of sigaction(2))
	ExecStatus   int    // its exit status or signal
	MainPID      int
	Restarts     int
	Since        time.Time // of the last change of state
	MemoryNow    *uint64   // bytes in its cgroup; nil without a memory controller
	DropIns      []string
	Masked       bool // an administrator's link to /dev/null, also while an earlier definition is still loaded
	Held         bool // this connection holds a reference
	Invocation   string
	Job          uint32 // systemd's number of the job that waits for it or is at work; 0 for none. No signal tells of it
	Tier         string // Tier, Variant, Hash and Port are the fields that we put into LogExtraFields
	Variant      string
	Hash         string
	Port         int
	FragmentPath string
	Memory       units.Bytes // the charge that its command line names
	MemoryMin    units.Bytes // what of its memory is kept from reclaim
	MemoryMax    units.Bytes // the most that it may take; units.Infinity for no limit
	Slice        string
}

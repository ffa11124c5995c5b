// Package agent keeps the tiers as they should be. It owns every piece of changing state, in one goroutine: facts come
// in on channels, slow work runs in goroutines that the loop starts and waits for, and decisions are pure functions.
package agent

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/budget"
	"github.com/tierd/tierd/units"
)

// resync is how often everything is read again although systemd reported nothing: signals are hints and may be lost.
const resync = time.Minute

// Options is what an Agent is made of. Nothing in it may change afterwards.
type Options struct {
	Systemd    Systemd
	Log        *slog.Logger
	ConfigPath string
	Version    string // of tierd, for Status
	// Host reads what units.MakePlan needs to know; it is called at every reading of the configuration.
	Host   func(context.Context) (units.Host, error)
	Kernel Kernel
	// FS is rooted at "/": where models lie. nil: nobody looks whether they have changed.
	FS fs.FS
	// StateDir is where the figures are kept that were learned from earlier runs; "": they are forgotten at the end.
	StateDir string
	// RunDir is where a switch that is at work is noted for the tierd after this one; "": it is not.
	RunDir string
	// Root is where proc is found: "/", or a tree in tests.
	Root string
}

// Agent is the daemon's core. Its methods may be called from any goroutine; they are answered while Run runs.
type Agent struct {
	opts  Options
	inbox chan func()   // everything that reaches the loop: requests and results
	ready chan struct{} // closed when there is something to tell: systemd was asked, tiers.toml was read
	ended chan struct{} // closed when Run returns

	events *eventLog

	// What follows belongs to the loop.
	ctx      context.Context // ends with Run; every goroutine of the loop's runs under it
	children sync.WaitGroup
	started  time.Time

	plan       *units.Plan // in force; nil until a tiers.toml could be used
	configured bool        // tiers.toml was read at least once
	configHash string
	configErr  string
	file       configFile
	warnings   []string
	parsed     []units.Fault // those of them that the text of tiers.toml alone gives
	reloading  bool
	planned    string // systemd's version that the plan was made for

	seen         map[string]UnitStatus
	states       map[string]verdict
	problems     map[string]string // by unit: why the step that it needs failed
	tried        map[string]string // by unit: the last step tried since everything was read again
	locks        map[string]bool   // units that a step or a change works on
	freed        chan struct{}     // closed and replaced whenever a lock is given back
	stepping     bool
	systemdErr   error
	observing    bool
	again        bool
	depth        Depth
	readAll      time.Time     // when everything was last read
	lastRead     time.Time     // when the last reading ended
	hinted       bool          // a reading waits for hintPause to pass
	observations uint64        // finished
	asked        uint64        // begun
	learned      chan struct{} // closed and replaced after each observation

	admitted     map[string]admission
	adopted      bool // what ran before tierd is in admitted
	drains       map[string]*drain
	line         []*asker                  // shims that wait for their answer, the first to ask first
	judging      bool                      // the room is being looked at
	judgeAgain   bool                      // and has to be once more
	judgeTimer   bool                      // or will be after a while
	beside       map[string]bool           // units that a change starts while another variant serves on
	waysOut      map[string]wayOut         // by tier: the switches that an earlier tierd has left
	twins        map[string]twin           // by tier with two variants up and no change at work
	leaves       map[string]bool           // by unit, while a change starts it: whether others may give way for it
	giving       map[string]string         // by unit that is told to give way: for which tier
	gave         map[string]string         // by unit that has, since it was up last: the sentence
	refusals     map[string]budget.Verdict // by unit, the last one since it was let in
	use          map[string]use            // by tier
	wishes       map[string]*wish          // by tier: what requests wait for
	setbacks     map[string]setback        // by unit
	idleAfter    map[string]time.Time      // by tier: not stopped for idleness before that
	alarm        alarm
	gpu          gpuView
	measured     measured
	chosen       choices
	chosenFile   keeper
	correcting   bool              // the plan is being made anew for what was measured
	correctAfter time.Time         // and not again before then
	stale        map[string]string // by running unit: that its model's files are others by now

	protecting  bool                   // the slices are being set
	protection  map[string]units.Bytes // by slice, what was tried last
	unprotected string                 // why that failed

	guard guardState

	counts   counts
	changes  []*change
	changeID int

	table        api.Table
	tableNew     chan struct{} // closed and replaced with each table
	gateway      gatewayState
	gatewayKnown bool // what the last event said of it
}

// New makes an agent that does nothing until Run.
func New(opts Options) *Agent {
	return &Agent{
		opts:      opts,
		inbox:     make(chan func()),
		ready:     make(chan struct{}),
		ended:     make(chan struct{}),
		events:    newEventLog(),
		seen:      map[string]UnitStatus{},
		states:    map[string]verdict{},
		problems:  map[string]string{},
		tried:     map[string]string{},
		locks:     map[string]bool{},
		freed:     make(chan struct{}),
		learned:   make(chan struct{}),
		admitted:  map[string]admission{},
		drains:    map[string]*drain{},
		beside:    map[string]bool{},
		twins:     map[string]twin{},
		leaves:    map[string]bool{},
		giving:    map[string]string{},
		gave:      map[string]string{},
		refusals:  map[string]budget.Verdict{},
		use:       map[string]use{},
		wishes:    map[string]*wish{},
		setbacks:  map[string]setback{},
		idleAfter: map[string]time.Time{},
		measured:  measured{peaks: map[string]peak{}},
		stale:     map[string]string{},
		counts:    newCounts(),
		tableNew:  make(chan struct{}),
		guard:     newGuardState(),
	}
}

// errShutdown is why work ends when tierd does: units stay as they are.
var errShutdown = errors.New("tierd is ending")

// Run keeps the tiers until ctx ends, and returns when all that it started has ended. By itself it starts only what requests
// wait for, and stops only what gives way or is idle.
func (a *Agent) Run(ctx context.Context) error {
	defer close(a.ended)
	work, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	a.ctx = work
	a.started = time.Now()
	a.table.Seq = uint64(a.started.UnixMilli()) // grows over restarts, so that a gateway never takes an old table for new
	tick := time.NewTicker(resync)
	defer tick.Stop()

	a.recall()
	a.alarm = newAlarm()
	a.observe(ReadAll) // the configuration is read after it: what a unit may have depends on systemd's version
	for {
		select {
		case <-ctx.Done():
			cancel(errShutdown)
			a.finish()
			return nil
		case f := <-a.inbox:
			f()
		case all := <-a.opts.Systemd.Changed():
			a.hint(all)
		case <-a.alarm.timer.C:
			a.alarm.at = time.Time{}
		case <-tick.C:
			clear(a.tried)
			if a.unprotected != "" {
				a.protection = nil
			}
			a.observe(ReadListed)
			a.sample()
			a.lookAtModels()
		}
		a.announce()
		a.takeUp()
		rested := a.comeBack()
		a.grant()
		a.settlePressed()
		idle := a.stopIdle()
		a.converge()
		a.settleTwins()
		a.protect()
		a.publish()
		unasked := a.orderGuard()
		a.watchGPU()
		a.correct()
		a.alarm.set(sooner(sooner(idle, rested), sooner(unasked, a.forecast())))
	}
}

// recall takes up what an earlier tierd has left. What cannot be read is said, and does without.
func (a *Agent) recall() {
	warn := func(cost string, err error) {
		if err != nil {
			a.opts.Log.Warn(cost, "err", err)
		}
	}
	var err error
	a.measured.peaks, err = loadMeasured(a.opts.StateDir)
	warn("earlier runs teach nothing", err)
	a.waysOut, err = loadWaysOut(a.opts.RunDir)
	warn("a switch of an earlier tierd may not be taken back", err)
	a.guard.rests, err = loadRests(a.opts.RunDir)
	warn("tiers that gave way to memory pressure may start at once", err)
	for tier, r := range a.guard.rests {
		if a.rests(tier) {
			a.gave[r.Unit] = r.words()
		}
	}
	a.chosen, err = loadChosen(a.opts.StateDir, bootID(a.opts.Root))
	warn("tiers come up in their default variants", err)
}

// announce opens the agent for requests once both the units and the configuration were read, well or not.
func (a *Agent) announce() {
	select {
	case <-a.ready:
	default:
		if a.configured && (a.observations > 0 || a.systemdErr != nil) {
			close(a.ready)
		}
	}
}

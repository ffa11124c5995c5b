package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/units"
)

// fakeSystemd is the service manager as far as the agent can tell: units in a map, jobs that take time, references that
// die with the connection. What must never be asked of it is noted as a wrong.
type fakeSystemd struct {
	hints
	mu      sync.Mutex
	units   map[string]*fakeUnit
	fail    map[string]error       // by operation, "define", or by operation and unit, "start tier-coder.service"
	ends    map[string]int         // by unit: the exit status with which its process ends while loading
	slow    map[string]bool        // units that load for ever
	again   map[string]bool        // units that are started again after they ended by themselves
	mins    map[string]units.Bytes // by cgroup that the kernel counts the memory of: what it protects
	load    time.Duration
	calls   []string
	admit   func(ctx context.Context, unit string) api.AdmitAnswer // what a shim asks; nil: none does
	drain   func(unit string)                                      // what it does before it ends the engine; nil: nothing
	wrongs  []string
	version string
	room    units.Bytes // for all units; 0: any
}

type fakeUnit struct {
	UnitStatus
	gpu     bool
	hangup  func() // ends the shim's question
	queued  bool   // its start waits until units that it conflicts with have ended
	loading bool   // was let in
	stuck   bool   // and loads for ever
	told    bool   // a job of systemd's ends it, so that Restart= does not hold
	life    int    // grows at every start and stop, so that a job learns that another one took over
}

func newFakeSystemd() *fakeSystemd {
	return &fakeSystemd{hints: newHints(), units: map[string]*fakeUnit{}, fail: map[string]error{}, ends: map[string]int{},
		slow: map[string]bool{}, again: map[string]bool{}, mins: map[string]units.Bytes{}, load: time.Second, version: "262"}
}

func (f *fakeSystemd) Version() string      { return f.version }
func (f *fakeSystemd) Changed() <-chan bool { return f.ch }

// begin notes a call and says whether it is to fail.
func (f *fakeSystemd) begin(op, unit string) error {
	f.calls = append(f.calls, strings.TrimSpace(op+" "+unit))
	if err := f.fail[op+" "+unit]; err != nil {
		return err
	}
	return f.fail[op]
}

func (f *fakeSystemd) Define(_ context.Context, u units.Unit) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.begin("define", u.Name); err != nil {
		return err
	}
	old := f.units[u.Name]
	masked := old != nil && old.Masked
	if masked {
		return errors.New(maskedReason(u.Name))
	}
	if old != nil && running(old.UnitStatus) {
		f.mustKnow(old, "define")
		return ErrRunning
	}
	if old != nil && old.queued {
		return errors.New("unit " + u.Name + " already exists: it has a job")
	}
	f.units[u.Name] = &fakeUnit{gpu: u.GPU, UnitStatus: UnitStatus{
		Name: u.Name, LoadState: "loaded", ActiveState: "inactive", SubState: "dead", Result: "success", Held: true,
		Tier: u.Tier, Variant: u.Variant, Hash: u.Hash, Port: u.Port, Memory: u.Memory, Slice: "tier-cpu.slice",
		MemoryMax: u.MemoryMax(),
	}}
	if u.GPU {
		f.units[u.Name].Slice = "tier-gpu.slice"
	}
	f.give(false)
	return nil
}

// mustKnow notes as wrong what is done to a running unit, unless it began so lately that nobody can have heard of it: that is
// what the adapter looks again for.
func (f *fakeSystemd) mustKnow(u *fakeUnit, op string) {
	if time.Since(u.Since) > hintPause {
		f.wrongs = append(f.wrongs, op+" of "+u.Name+" while it is "+u.ActiveState)
	}
}

func (f *fakeSystemd) Adopt(_ context.Context, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.begin("adopt", name); err != nil {
		return err
	}
	u := f.units[name]
	if u == nil {
		return errors.New("no such unit")
	}
	u.Held = true
	return nil
}

func (f *fakeSystemd) Release(_ context.Context, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.begin("release", name); err != nil {
		return err
	}
	if u := f.units[name]; u != nil {
		if running(u.UnitStatus) {
			f.mustKnow(u, "release")
		}
		masked := u.Masked
		if u.Held = false; u.queued {
			return nil
		}
		delete(f.units, name)
		if masked {
			f.units[name] = &fakeUnit{UnitStatus: UnitStatus{Name: name, LoadState: "masked", ActiveState: "inactive", Masked: true}}
		}
	}
	f.give(false)
	return nil
}

func (f *fakeSystemd) Reset(_ context.Context, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.begin("reset", name); err != nil {
		return err
	}
	if u := f.units[name]; u != nil && u.ActiveState == "failed" {
		f.set(u, "inactive", "dead", "success", 0)
	}
	return nil
}

// set is a change of state with its signal.
func (f *fakeSystemd) set(u *fakeUnit, active, sub, result string, status int) {
	u.ActiveState, u.SubState, u.Result, u.ExecStatus = active, sub, result, status
	u.ExecCode = 0
	if status != 0 {
		u.ExecCode = cldExited
	}
	u.Since = time.Now()
	f.give(false)
}

// Set takes the limit of a unit or the protection of a slice.
func (f *fakeSystemd) Set(_ context.Context, name string, props []units.Property) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.begin("set", fmt.Sprintf("%s %s=%v", name, props[0].Name, props[0].Value)); err != nil {
		return err
	}
	amount := units.Bytes(props[0].Value.(uint64))
	if u := f.units[name]; u != nil {
		if running(u.UnitStatus) {
			f.mustKnow(u, "limit")
		}
		u.MemoryMax = amount
		return nil
	}
	f.mins[cgroupOfSlice(name)] = amount / pageSize * pageSize
	return nil
}

func (f *fakeSystemd) Start(ctx context.Context, name string) error {
	return f.order(ctx, "start", name, func(u *fakeUnit) bool {
		f.conflict(u)
		if u.ActiveState == "active" {
			return false
		}
		f.enqueue(u)
		return true
	})
}

// order begins a start in a way of its own, and waits for its job if that says that there is one.
func (f *fakeSystemd) order(ctx context.Context, op, name string, begin func(*fakeUnit) bool) error {
	f.mu.Lock()
	if err := f.begin(op, name); err != nil {
		f.mu.Unlock()
		return err
	}
	u := f.units[name]
	if u == nil || u.LoadState != "loaded" {
		f.mu.Unlock()
		return errors.New("unit not found")
	}
	begun := begin(u)
	f.mu.Unlock()
	if !begun {
		return nil
	}
	return f.wait(ctx, name, "activating", "start")
}

// enqueue begins a unit's life once those that it conflicts with have ended: Conflicts= with an order. The job does not end
// with whoever made it.
func (f *fakeSystemd) enqueue(u *fakeUnit) {
	if !f.ending(u) {
		f.boot(u)
		return
	}
	if u.queued {
		return
	}
	u.queued = true
	time.AfterFunc(10*time.Millisecond, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if u.queued {
			u.queued = false
			f.enqueue(u)
		}
	})
}

func (f *fakeSystemd) StartBeside(ctx context.Context, name string) error {
	return f.order(ctx, "start-beside", name, func(u *fakeUnit) bool {
		if u.ActiveState == "active" {
			return false
		}
		if n := f.upOf(u.Tier); n > 1 && !running(u.UnitStatus) {
			f.wrongs = append(f.wrongs, fmt.Sprintf("%s is started beside %d variants", name, n))
		}
		f.boot(u)
		return true
	})
}

// upOf counts the variants of a tier that are up and not on their way out.
func (f *fakeSystemd) upOf(tier string) (n int) {
	for _, u := range f.units {
		if u.Tier == tier && running(u.UnitStatus) && u.ActiveState != "deactivating" {
			n++
		}
	}
	return n
}

// conflict is what Conflicts= does at the start of a unit.
func (f *fakeSystemd) conflict(u *fakeUnit) {
	for name, o := range f.units {
		if o != u && o.Tier == u.Tier {
			f.halt(name)
		}
	}
}

// boot begins a unit's life; also by the hand of an administrator.
func (f *fakeSystemd) boot(u *fakeUnit) {
	if u.ActiveState == "activating" && u.SubState != "auto-restart" {
		return
	}
	u.life++
	life := u.life
	u.MainPID, u.Invocation = 1000+life, fmt.Sprint(life)
	f.set(u, "activating", "start", "success", 0)
	u.loading, u.stuck, u.told = false, false, false
	ctx, hangup := context.WithCancel(context.Background())
	u.hangup = hangup
	go f.live(ctx, u, life)
}

// live is the shim of a unit: it asks for admission, and then its engine loads.
func (f *fakeSystemd) live(ctx context.Context, u *fakeUnit, life int) {
	answer := api.AdmitAnswer{OK: true}
	f.mu.Lock()
	admit := f.admit
	f.mu.Unlock()
	if admit != nil {
		answer = admit(ctx, u.Name)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if u.life != life {
		return
	}
	if !answer.OK {
		u.StatusText = answer.Message
		f.set(u, "failed", "failed", "exit-code", 75)
		return
	}
	for other, o := range f.units {
		if o.gpu && u.gpu && o.loading && o.ActiveState == "activating" && o != u {
			f.wrongs = append(f.wrongs, u.Name+" loads while "+other+" does")
		}
	}
	u.loading = true
	f.mustFit()
	if u.stuck = f.slow[u.Name]; u.stuck {
		return
	}
	time.AfterFunc(f.load, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if u.life != life {
			return
		}
		if status := f.ends[u.Name]; status != 0 {
			f.fall(u, fmt.Sprintf("the engine ended with %d", status), status)
			return
		}
		u.StatusText = "Serving"
		f.set(u, "active", "running", "success", 0)
	})
}

// ending tells whether another unit of its tier is on its way out.
func (f *fakeSystemd) ending(u *fakeUnit) bool {
	for _, o := range f.units {
		if o != u && o.Tier == u.Tier && o.ActiveState == "deactivating" {
			return true
		}
	}
	return false
}

// mustFit notes as wrong when more is in memory, or on its way there, than there is room for.
func (f *fakeSystemd) mustFit() {
	var sum units.Bytes
	var names []string
	for name, u := range f.units {
		if running(u.UnitStatus) && (u.loading || u.ActiveState == "active") {
			sum += u.Memory
			names = append(names, name)
		}
	}
	if f.room > 0 && sum > f.room {
		slices.Sort(names)
		f.wrongs = append(f.wrongs, fmt.Sprintf("%s in %s: %v", sum, f.room, names))
	}
}

// wait is a job: it lasts while the unit is in a state.
func (f *fakeSystemd) wait(ctx context.Context, name, state, what string) error {
	for {
		f.mu.Lock()
		u := f.units[name]
		now := ""
		if u != nil {
			now = u.ActiveState
		}
		if u != nil && u.queued && what == "start" {
			now = state
		}
		f.mu.Unlock()
		switch {
		case now == state:
		case what == "start" && now != "active":
			return &JobError{"start", name, "failed"}
		default:
			return nil
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (f *fakeSystemd) Stop(ctx context.Context, name string) error {
	f.mu.Lock()
	if err := f.begin("stop", name); err != nil {
		f.mu.Unlock()
		return err
	}
	f.halt(name)
	if u := f.units[name]; u != nil {
		u.told = true
	}
	f.mu.Unlock()
	return f.wait(ctx, name, "deactivating", "stop")
}

// halt ends a unit's life in order; also by the hand of an administrator.
func (f *fakeSystemd) halt(name string) {
	u := f.units[name]
	if u != nil {
		u.queued = false
	}
	if u == nil || !running(u.UnitStatus) || u.ActiveState == "deactivating" {
		return
	}
	served, waits := u.ActiveState == "active", u.SubState == "auto-restart"
	u.die()
	life := u.life
	if waits { // there is nothing to kill: systemd forgets the restart
		f.set(u, "inactive", "dead", "success", 0)
		if !u.Held {
			delete(f.units, name)
		}
		return
	}
	f.set(u, "deactivating", "stop-sigterm", "success", 0)
	down := func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if u.life == life {
			u.MainPID = 0
			f.set(u, "inactive", "dead", "success", 0)
			if !u.Held {
				delete(f.units, name)
			}
		}
	}
	if f.drain == nil || !served {
		time.AfterFunc(100*time.Millisecond, down)
		return
	}
	go func() {
		f.drain(name)
		time.AfterFunc(100*time.Millisecond, down)
	}()
}

// die ends the unit's processes.
func (u *fakeUnit) die() {
	u.life++
	u.loading = false
	if u.hangup != nil {
		u.hangup()
	}
}

// by is a deed of somebody else's.
func (f *fakeSystemd) by(deed func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	deed()
	f.give(false)
}

// crash ends a unit's process from outside.
func (f *fakeSystemd) crash(name string) {
	if u := f.units[name]; u != nil && running(u.UnitStatus) {
		u.die()
		f.fall(u, "the engine died", 70)
	}
}

// fall is the end of a unit by itself, with Restart= where that is wanted: a transaction of its own, Conflicts= included.
func (f *fakeSystemd) fall(u *fakeUnit, words string, status int) {
	u.StatusText, u.loading = words, false
	if !f.again[u.Name] {
		f.set(u, "failed", "failed", "exit-code", status)
		return
	}
	f.set(u, "activating", "auto-restart", "exit-code", status)
	life := u.life
	time.AfterFunc(2*time.Second, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if u.life == life && u.SubState == "auto-restart" {
			f.conflict(u)
			f.enqueue(u)
		}
	})
}

// disconnect is the end of tierd's connection: its references go, and with them what does not run and did not fail.
func (f *fakeSystemd) disconnect() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, u := range f.units {
		u.Held = false
		if !running(u.UnitStatus) && !u.queued && u.ActiveState != "failed" { // a job holds it, too
			delete(f.units, name)
		}
	}
	f.give(true)
}

func (f *fakeSystemd) List(_ context.Context, names []string, _ Depth) ([]UnitStatus, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.begin("list", ""); err != nil {
		return nil, err
	}
	f.calls = f.calls[:len(f.calls)-1] // of no interest
	var list []UnitStatus
	for name, u := range f.units {
		if u.Tier != "" || slices.Contains(names, name) {
			list = append(list, u.UnitStatus)
		}
	}
	return list, nil
}

// state is a unit's ActiveState, "" when it is not loaded.
func (f *fakeSystemd) state(name string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if u := f.units[name]; u != nil {
		return u.ActiveState
	}
	return ""
}

// did takes the calls made since the last time, without those that only load definitions unless all are wanted.
func (f *fakeSystemd) did(ops ...string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []string
	for _, c := range f.calls {
		op, _, _ := strings.Cut(c, " ")
		if slices.Contains(ops, op) {
			list = append(list, c)
		}
	}
	f.calls = nil
	return list
}

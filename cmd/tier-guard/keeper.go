package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"runtime/debug"
	"slices"
	"time"

	"github.com/tierd/tierd/agent/api/guardwire"
	"github.com/tierd/tierd/agent/guard"
)

const (
	tickEvery     = time.Second     // what has to be seen to now and then, while there is anything
	tickLong      = 5 * time.Second // once tierd has been silent for longer than a restart takes
	longSilence   = time.Minute
	discoverEvery = 5 * time.Second // while tierd is silent
	tidyAfter     = 2 * time.Second // a table
)

// keeper does all that may wait, allocate and fail: it hears what tierd says, opens the files of units, hands tables to the hot
// thread, and tells what that did.
type keeper struct {
	ctx    context.Context
	log    *slog.Logger
	opts   options
	total  uint64 // bytes of memory that the host has
	hot    *hot
	link   *link
	notify *notifier
	proof  *proof
	kept   kept

	table      *table // the newest that was handed over
	heard      []found
	spoken     *guardwire.Table // the last that tierd said; nil: it never did
	untidy     <-chan time.Time // when what tables took is given back; nil: nothing was taken
	silent     bool             // not a word since the connection was made, or there is none
	quiet      time.Time        // since when
	discovered []found
	looked     time.Time // when
	retired    []retired
	complained map[string]string // by unit: why it cannot be watched

	started     time.Time
	last        *guardwire.Event
	disarmedWhy string // by the proof; "" also before the first has ended
	lostWhy     string // a tier could not be signalled
}

// retired is a unit's start whose files are closed as soon as the hot thread goes by a table without it: a descriptor that is
// used once more after it was closed may be another file by then, and be that of another tier.
type retired struct {
	unit *watched
	seq  uint64 // of the first table without it
}

// run goes on until the context ends.
func (k *keeper) run() {
	k.tick()
	for {
		select {
		case <-k.ctx.Done():
			k.keep()
			return
		case t := <-k.hot.told:
			k.tell(t)
		case o := <-k.link.orders:
			k.obey(o)
		case <-k.hot.ticks:
			k.tick()
		case why := <-k.proof.results:
			k.proven(why)
		case <-k.untidy:
			k.tidy()
		}
	}
}

// tick is what has to be seen to now and then; it comes once a second at most.
func (k *keeper) tick() {
	k.closeRetired()
	if err := k.link.dial(); err != nil {
		k.log.Debug("tierd is not there", "err", err)
	}
	k.complain(k.link.flush())
	if k.silent && time.Since(k.looked) >= discoverEvery {
		k.discovered, k.looked = discover(k.opts.root), time.Now()
	}
	k.rebuild()
	if k.kept.due() {
		k.keep()
	}
	k.proof.again()
	k.hot.ticked.Store(int64(k.pace()))
}

// pace is how often tick has to come; 0: only with news. With tierd there and the guard armed nobody need wake up for it.
func (k *keeper) pace() time.Duration {
	switch {
	case len(k.retired) > 0, k.link.connected() && len(k.link.queue) > 0, k.kept.waits():
		return tickEvery
	case k.silent && time.Since(k.quiet) < longSilence:
		return tickEvery
	case k.silent, !k.proof.proven: // silent also where a frozen tierd's socket takes the connection
		return tickLong
	}
	return 0
}

// obey takes in what tierd says.
func (k *keeper) obey(o order) {
	switch {
	case o.from != k.link.conn: // of a connection that was given up
		return
	case o.err != nil:
		k.link.hangUp()
		if k.silent && !errors.Is(o.err, errClosed) {
			k.log.Info("tierd cannot be understood", "err", o.err)
		}
		k.fallSilent(o.err)
		k.rebuild()
		k.hot.ticked.Store(int64(k.pace()))
	case o.Table != nil:
		if k.silent {
			k.log.Info("tierd speaks", "tiers", len(o.Table.Tiers))
		}
		w := word{Wall: time.Now(), Boot: boottime(), Table: o.Table}
		k.spoken, k.silent = o.Table, false
		k.heard = heard(o.Table.Tiers, w.Wall, w.Boot)
		k.rebuild()
		if k.untidy == nil {
			k.untidy = time.After(tidyAfter)
		}
		k.kept.put(w)
		k.hot.ticked.Store(int64(k.pace()))
	case o.Ask == "state":
		s := k.state()
		k.complain(k.link.send(guardwire.Word{State: &s}))
		k.tidy()
	case o.Ask == "trace":
		ring, err := k.hot.recent()
		if err == nil {
			err = k.link.sendTrace(ring)
		}
		k.complain(err)
		k.tidy()
	}
}

// tidy gives back to the kernel what an answer, a proof or tables took. Go would keep it for the next one, and what it keeps is locked
// with all else. Since that stops every goroutine for a moment, it is for times when memory is not short.
func (k *keeper) tidy() {
	k.untidy = nil
	if !k.table.near(k.hot.counts.available.Load()) {
		debug.FreeOSMemory()
	}
}

func (k *keeper) fallSilent(why error) {
	if !k.silent {
		k.log.Info("tierd is silent: the guard goes by what it knows", "err", why)
		k.silent, k.quiet = true, time.Now()
	}
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

func (k *keeper) complain(err error) {
	if err != nil && !errors.Is(err, errClosed) {
		k.log.Warn("cannot tell tierd", "err", err)
	}
	if !k.link.connected() && !k.silent { // it was given up, and has to be dialled again
		k.fallSilent(err)
		k.hot.ticked.Store(int64(k.pace()))
	}
}

// keep writes down what tierd said last. Where that cannot be done the guard works on, and only one that comes after it knows less.
func (k *keeper) keep() {
	if err := k.kept.write(); err != nil {
		k.log.Warn("cannot keep what tierd says for a guard that is started again", "err", err)
	}
}

// runAll runs the keeper with the threads that it serves, and returns when all of them have ended. The sampler is left alone:
// it may be stuck in a read of a GPU that hangs.
func (k *keeper) runAll() {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		k.hot.run()
		k.hot.trace.end()
	}()
	written, first := make(chan struct{}), k.table
	go func() {
		defer close(written)
		k.hot.trace.run(first, k.log)
	}()
	go k.hot.act.reaper.run()
	go wakeOnStall(k.hot.trigger, k.hot.woken)
	go newSampler(k.opts.root, k.hot).run(k.hot.gpu)
	k.run()
	k.hot.end()
	<-ended
	<-written
	close(k.hot.gpu)
	close(k.hot.act.reaper.pids)
	k.link.hangUp()
	for _, w := range k.table.units {
		w.close()
	}
	for _, r := range k.retired {
		r.unit.close()
	}
}

package main

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/tierd/tierd/agent/api/guardwire"
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

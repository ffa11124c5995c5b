package agent

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/units"
)

// deed is one thing that somebody does, drawn before the bubble of time begins.
type deed struct {
	what  string
	tier  string
	unit  string
	wait  time.Duration
	other bool
}

func (d deed) String() string { return fmt.Sprintf("%s %s %s %v", d.what, d.tier, d.unit, d.wait) }

var (
	anyTier = rapid.SampledFrom([]string{"orch", "coder", "util"})
	anyUnit = rapid.SampledFrom([]string{orchA, orchB, coder, util})
	anyWait = rapid.SampledFrom([]time.Duration{0, time.Millisecond, 50 * time.Millisecond, 500 * time.Millisecond, 2 * time.Second, time.Minute})
	anyDeed = rapid.Custom(func(t *rapid.T) deed {
		return deed{
			what: rapid.SampledFrom([]string{
				"start", "stop", "restart", "switch", "switch", "switch by drain", "up", "down", "abort", "crash", "systemctl start", "systemctl stop",
				"start evict", "start evict", "busy", "idle", "ensure", "ensure", "ensure", "hang up", "gateway comes", "gateway goes", "wait long", "tierd restarts",
				"edit", "garbage", "reload", "fails", "works", "slow", "quick", "falls again", "bus lost", "boot",
				"guard comes", "guard goes", "guard asks", "guard stops", "guard kills", "guard refuses", "guard allows",
			}).Draw(t, "what"),
			tier: anyTier.Draw(t, "tier"), unit: anyUnit.Draw(t, "unit"), wait: anyWait.Draw(t, "wait"), other: rapid.Bool().Draw(t, "other"),
		}
	})
)

// modelConfig is the bed's, with tiers that stop when they are idle.
var modelConfig = strings.NewReplacer("priority = 90", "priority = 90\nidle_stop = \"5m\"", "priority = 50", "priority = 50\nidle_stop = \"90s\"").Replace(bedConfig)

// do does it; what a request is answered does not matter here.
func (b *bed) do(d deed) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	f := b.systemd
	variant := map[bool]string{false: "a", true: "b"}[d.other && d.tier == "orch"]
	mode := map[bool]string{false: "full", true: "small"}[d.other]
	switch d.what {
	case "start", "stop", "restart":
		_, _ = b.Act(ctx, d.tier, api.TierRequest{Action: d.what})
	case "start evict":
		_, _ = b.Act(ctx, d.tier, api.TierRequest{Action: "start", Evict: true})
	case "busy":
		b.Report(api.GatewayReport{InFlight: map[string]int{d.tier: 1}})
	case "idle":
		b.Report(api.GatewayReport{Idle: map[string]float64{d.tier: 90}})
	case "ensure":
		b.calls = append(b.calls, b.ensure(d.tier))
	case "hang up":
		if len(b.calls) > 0 {
			b.calls[int(d.wait)%len(b.calls)].hangUp(nil)
		}
	case "gateway comes":
		if b.poller == nil {
			b.poller = poll(b)
		}
	case "gateway goes":
		b.leave()
	case "wait long":
		b.after(10 * time.Minute)
	case "switch":
		_, _ = b.Act(ctx, d.tier, api.TierRequest{Action: "switch", Variant: variant})
	case "switch by drain":
		_, _ = b.Act(ctx, d.tier, api.TierRequest{Action: "switch", Variant: variant, Drain: true})
	case "up", "down":
		_, _ = b.Stack(ctx, api.StackRequest{Action: d.what, Mode: mode})
	case "boot":
		_, _ = b.Stack(ctx, api.StackRequest{Action: "up", Boot: true})
	case "abort":
		if list, err := b.Changes(); err == nil && len(list) > 0 {
			_ = b.AbortChange(list[len(list)-1].ID)
		}
	case "crash":
		f.by(func() { f.crash(d.unit) })
	case "systemctl start":
		f.by(func() {
			u := f.units[d.unit]
			if u == nil || running(u.UnitStatus) || u.LoadState != "loaded" {
				return
			}
			f.conflict(u)
			f.enqueue(u)
		})
	case "systemctl stop":
		f.by(func() { f.halt(d.unit) })
	case "tierd restarts":
		b.leave()
		b.guard = nil
		b.end()
		b.run()
	case "edit":
		b.write(strings.ReplaceAll(modelConfig, "4K", map[bool]string{false: "8K", true: "16K"}[d.other]))
	case "garbage":
		b.write("garbage")
	case "reload":
		_, _, _ = b.Reload(ctx, d.other)
	case "fails":
		f.by(func() {
			op := []string{"define", "adopt", "release", "start", "stop", "reset", "list"}[int(d.wait)%7]
			f.fail[op] = errors.New("the bus said boo")
		})
	case "works":
		f.by(func() { clear(f.fail); clear(f.ends) })
	case "slow":
		f.by(func() { f.slow[d.unit] = true })
	case "quick":
		f.by(func() { clear(f.slow); f.ends[d.unit] = 66 })
	case "falls again":
		f.by(func() { f.again[d.unit] = d.other })
	case "bus lost":
		f.disconnect()
	case "guard comes":
		b.guard = b.guarded()
	case "guard goes", "guard asks", "guard stops", "guard kills", "guard refuses", "guard allows":
		b.guardDoes(d)
	}
	b.after(d.wait)
}

// guardDoes is a deed of the guard's, if it is there.
func (b *bed) guardDoes(d deed) {
	if b.guard == nil {
		return
	}
	switch d.what {
	case "guard goes":
		b.guard.hangUp()
		b.guard = nil
	case "guard asks":
		b.guard.tells("ask", d.unit, "short")
		b.systemd.press(d.unit)
	case "guard stops":
		b.guard.tells("stop", d.unit, "short")
		b.systemd.press(d.unit)
	case "guard kills":
		b.guard.tells("kill", d.unit, "short")
		b.systemd.slay(d.unit)
	case "guard refuses":
		b.guard.tells("refuse", "", "short")
	case "guard allows":
		b.guard.tells("allow", "", "enough")
	}
}

// leave is the end of a gateway.
func (b *bed) leave() {
	if b.poller != nil {
		b.poller.cancel()
		b.poller = nil
	}
}

// check says what is not as it must be once everything works again and time has passed.
func (b *bed) check() (wrongs []string) {
	b.systemd.by(func() {
		clear(b.systemd.fail)
		clear(b.systemd.ends)
		for _, u := range b.systemd.units { // an abort ends what loads for ever, but not the way back of a switch
			if u.stuck && u.ActiveState == "activating" && u.SubState == "start" {
				b.systemd.set(u, "active", "running", "success", 0)
			}
		}
		clear(b.systemd.slow)
		clear(b.systemd.again)
	})
	b.write(modelConfig)
	b.guardDoes(deed{what: "guard goes"})
	b.after(time.Minute)
	list, err := b.Changes()
	if err != nil {
		return []string{err.Error()}
	}
	for _, c := range list {
		_ = b.AbortChange(c.ID) // one that waits for a slow unit would wait for ever
	}
	b.after(time.Hour)
	b.leave()
	for i, c := range b.calls {
		select {
		case err := <-c.answer:
			var known *api.Error
			if err != nil && !errors.As(err, &known) && !errors.Is(err, context.Canceled) {
				wrongs = append(wrongs, fmt.Sprintf("call %d of Ensure says %v", i, err))
			}
		default:
			wrongs = append(wrongs, fmt.Sprintf("call %d of Ensure is never answered", i))
			c.hangUp(nil)
		}
	}
	if list, err = b.Changes(); err != nil {
		return []string{err.Error()}
	}
	for _, c := range list {
		if !c.Done() {
			wrongs = append(wrongs, fmt.Sprintf("change %s (%s) never ends: %+v", c.ID, c.Summary, c.Tasks))
		}
		for _, t := range c.Tasks {
			if t.State == "todo" || t.State == "doing" {
				wrongs = append(wrongs, fmt.Sprintf("change %s (%s) is %s with a task %+v", c.ID, c.Summary, c.State, t))
			}
		}
	}
	b.systemd.by(func() { b.systemd.give(true) })
	if _, _, err := b.Reload(context.Background(), false); err != nil {
		wrongs = append(wrongs, "the reload: "+err.Error())
	}
	b.after(2 * time.Minute)
	wrongs = append(wrongs, b.systemd.wrongs...)
	status, err := b.Status(context.Background())
	if err != nil {
		return append(wrongs, err.Error())
	}
	b.systemd.mu.Lock()
	defer b.systemd.mu.Unlock()
	for _, tier := range status.Tiers {
		if n := b.systemd.upOf(tier.Name); n > 1 {
			wrongs = append(wrongs, fmt.Sprintf("%d variants of %s are up for ever", n, tier.Name))
		}
		for _, v := range tier.Variants {
			u := b.systemd.units[v.Unit]
			switch {
			case u == nil || u.LoadState != "loaded":
				wrongs = append(wrongs, v.Unit+" is not loaded")
			case !u.Held:
				wrongs = append(wrongs, v.Unit+" is not held")
			case (v.State == api.Ready) != (u.ActiveState == "active"):
				wrongs = append(wrongs, fmt.Sprintf("%s is %s and shown as %s", v.Unit, u.ActiveState, v.State))
			case !running(u.UnitStatus) && u.Hash != b.unit(v.Unit).Hash:
				wrongs = append(wrongs, v.Unit+" is stopped and has an old definition")
			}
		}
	}
	return wrongs
}

// aSwitchingDeed is what may happen around switches of one tier.
var aSwitchingDeed = rapid.Custom(func(t *rapid.T) deed {
	d := anyDeed.Draw(t, "any")
	d.what = rapid.SampledFrom([]string{
		"switch", "switch", "switch", "switch by drain", "abort", "crash", "systemctl start", "systemctl stop", "start evict", "up",
		"ensure", "busy", "idle", "guard comes", "guard asks", "guard kills", "guard kills", "gateway comes", "wait long", "tierd restarts", "tierd restarts", "fails", "works", "slow", "quick", "falls again", "stop", "start", "bus lost",
	}).Draw(t, "deed")
	d.tier = "orch"
	d.unit = rapid.SampledFrom([]string{orchA, orchB}).Draw(t, "variant")
	if d.what == "start evict" || d.what == "start" {
		d.tier = rapid.SampledFrom([]string{"orch", "coder"}).Draw(t, "started")
	}
	return d
})

// TestWhateverHappens lets users, administrators, crashes, restarts and a failing bus do anything in any order. Never is a
// third variant started beside two, or a running unit defined, nor do units that load or run pass the budget, both variants
// of a switch counted; every change and every call of Ensure ends; and afterwards no tier is up twice, and every unit is
// loaded as planned and shown as it is.
func TestWhateverHappens(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		happens(t, r, rapid.SliceOfN(anyDeed, 1, 25).Draw(r, "deeds"), rapid.SampledFrom([]uint64{125, 75, 35}).Draw(r, "GiB"))
	})
}

// TestWhateverHappensInASwitch is the same for one tier with two variants, which begins by being up. In 125 GiB both fit with
// the coder, in 105 with or without the coder one of them, in 53 both alone, in 45 only one.
func TestWhateverHappensInASwitch(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		deeds := append([]deed{{what: "start", tier: "orch", wait: 2 * time.Second}}, rapid.SliceOfN(aSwitchingDeed, 1, 15).Draw(r, "deeds")...)
		happens(t, r, deeds, rapid.SampledFrom([]uint64{125, 105, 53, 45}).Draw(r, "GiB"))
	})
}

func happens(t *testing.T, r *rapid.T, deeds []deed, size uint64) {
	var wrongs []string
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, filepath.Join(t.TempDir(), "tiers.toml"))
		b.write(modelConfig)
		b.has(size)
		b.systemd.room = units.Bytes(size)*gib - 10*gib
		b.run()
		for _, d := range deeds {
			b.do(d)
		}
		wrongs = b.check()
		b.end()
	})
	if len(wrongs) > 0 {
		slices.Sort(wrongs)
		r.Fatalf("%s", strings.Join(slices.Compact(wrongs), "\n"))
	}
}

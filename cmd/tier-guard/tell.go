package main

import (
	"fmt"
	"log/slog"
	"syscall"
	"time"

	"github.com/tierd/tierd/agent/api/guardwire"
	"github.com/tierd/tierd/agent/guard"
)

// tell puts into words what the hot thread has done, for the journal and for tierd.
func (k *keeper) tell(t told) {
	if t.errno != 0 {
		k.cannot(t)
		return
	}
	e := event(t)
	k.say(level(&t.Decision), e)
}

func event(t told) guardwire.Event {
	return guardwire.Event{
		Time: t.wall, Kind: t.Kind(), Tier: t.Victim.Name, Unit: t.Victim.Unit, Text: string(t.AppendText(nil)),
		Available: t.Available, DryRun: t.dryRun,
	}
}

// level: what costs somebody a tier is a warning, and what nobody can do anything about an error.
func level(d *guard.Decision) slog.Level {
	switch d.Act {
	case guard.Alarm:
		return slog.LevelError
	case guard.Ask, guard.Stop, guard.Kill:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// cannot is for what was decided and refused by the kernel: the guard is not armed against this tier.
func (k *keeper) cannot(t told) {
	why := fmt.Sprintf("cannot signal tier %s: %v", t.Victim.Name, t.errno)
	if t.errno == syscall.EPERM {
		why += "; tier-guard.service needs CAP_KILL (systemctl cat tier-guard)"
	}
	k.lostWhy = why
	k.say(slog.LevelError, guardwire.Event{Time: t.wall, Kind: "disarmed", Tier: t.Victim.Name, Unit: t.Victim.Unit, Text: why, Available: t.Available})
}

// proven takes in what came of a proof.
func (k *keeper) proven(why error) {
	k.proof.running, k.proof.proven = false, why == nil
	before, first := k.disarmedWhy, k.proof.tries == 0
	k.proof.tries++
	k.disarmedWhy = ""
	e := guardwire.Event{Time: time.Now(), Kind: "armed", Available: k.hot.counts.available.Load(), DryRun: k.table.pace.DryRun}
	if why == nil {
		e.Text = fmt.Sprintf("armed: a child of its own was ended as a tier would be, and a look takes %s", k.proof.look.Round(time.Microsecond))
		k.say(slog.LevelInfo, e)
	} else {
		e.Kind, e.Text = "disarmed", oneLine(why)
		k.disarmedWhy = e.Text
		if first || before != e.Text {
			k.say(slog.LevelError, e)
		}
	}
	k.status()
	k.tidy()
}

// say is for both. What tierd cannot be told now it is told later.
func (k *keeper) say(at slog.Level, e guardwire.Event) {
	attrs := []any{"kind", e.Kind}
	if e.Tier != "" {
		attrs = append(attrs, "tier", e.Tier, "unit", e.Unit)
	}
	if e.DryRun {
		attrs = append(attrs, "dry_run", true)
	}
	k.log.Log(k.ctx, at, e.Text, attrs...)
	k.last = &e
	k.link.add(e)
	k.complain(k.link.flush())
}

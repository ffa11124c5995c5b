package main

import (
	"context"
	cryptorand "crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/bench"
	"github.com/tierd/tierd/units"
)

// benchRun is one call of tierctl bench.
type benchRun struct {
	app     *app
	options benchOptions
	names   []string
	plan    bench.Plan
	given   *bench.Bandwidth // by --bandwidth
	before  *bench.Report
	read    func(free uint64) float64 // bytes a second, by a test in some of the free memory
	memory  *bench.Bandwidth
	looked  bool // memory is what there was to find out
}

// freshRandom makes prompts that no earlier call had.
func freshRandom() *rand.Rand {
	var seed [32]byte
	cryptorand.Read(seed[:])
	return rand.New(rand.NewChaCha8(seed))
}

// whole reads a whole number from 1 to most.
func whole(text string, most int) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		return 0, fmt.Errorf("%q is not a number from 1 to %d", text, most)
	}
	return n, nil
}

// writable tells early what would keep a file from being written in the end. It leaves nothing behind.
func writable(file string) error {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		if f, err = os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644); err == nil {
			err = os.Remove(file)
		}
	}
	if err != nil {
		return fmt.Errorf("cannot save the report: %w", err)
	}
	return f.Close()
}

// measure measures the tiers one after the other. An error is one that came before all measuring.
func (r *benchRun) measure(ctx context.Context) (bench.Report, error) {
	c := r.app.client()
	status, err := c.Status(ctx)
	if err != nil {
		return bench.Report{}, err
	}
	tiers, err := onlyKnown(status.Tiers, r.names)
	if err != nil {
		return bench.Report{}, err
	}
	if status.Gateway == "absent" {
		return bench.Report{}, &failure{status: exitFailed, message: "no request can come in: the gateway is not connected", hint: "systemctl status tier-gateway"}
	}
	report := bench.Report{
		Schema: bench.Schema, Time: r.app.now(), Tierd: status.Version, Tokens: r.plan.Tokens, Runs: r.plan.Runs, Tiers: []bench.Tier{},
	}
	facts := r.look(ctx, status)
	report.Machine = facts.snapshot.Platform.CPU
	show := r.app.newProgress()
	defer func() { show.close() }()
	for _, t := range tiers {
		if ctx.Err() != nil {
			break
		}
		if len(r.names) == 0 && t.State != api.Ready {
			continue
		}
		if now, err := r.raise(ctx, c, t); err != nil {
			report.Tiers = append(report.Tiers, skippedTier(t, err.Error()))
		} else {
			report.Tiers = append(report.Tiers, r.one(ctx, facts, now, t.Name, show))
		}
	}
	if len(report.Tiers) == 0 && ctx.Err() == nil {
		return report, &failure{status: exitFailed, message: "no tier is up", hint: "tierctl up, or tierctl bench TIER --start"}
	}
	return report, nil
}

func skippedTier(t api.Tier, why string) bench.Tier {
	return bench.Tier{Tier: t.Name, Variant: t.Variant, Engine: t.Engine, Model: t.Model, Context: t.Context, Skipped: why, Points: []bench.Point{}}
}

// raise sees to it that the tier is up, as far as the flags allow, and returns how everything is then.
func (r *benchRun) raise(ctx context.Context, c control, t api.Tier) (api.Status, error) {
	if t.State != api.Ready && t.Engine != units.KindRemote {
		if !r.options.start {
			return api.Status{}, fmt.Errorf("it is %s; --start has it started", t.State)
		}
		if err := r.room(ctx, c, t); err != nil {
			return api.Status{}, err
		}
		id, err := c.Act(ctx, t.Name, api.TierRequest{Action: "start", Evict: r.options.evict})
		if err != nil {
			return api.Status{}, err
		}
		changes, err := r.app.wait(ctx, c, []string{id})
		for _, ch := range changes {
			err = errors.Join(err, endOf(ch))
		}
		if err != nil {
			return api.Status{}, err
		}
	}
	return r.settled(ctx, c, t.Name)
}

// settled is the status once the tier is idle, or after a while all the same.
func (r *benchRun) settled(ctx context.Context, c control, tier string) (api.Status, error) {
	until := time.NewTimer(r.app.settle)
	defer until.Stop()
	for {
		status, err := c.Status(ctx)
		t, ok := byName(status.Tiers, tier)
		if err != nil || !ok || t.State != api.Ready || t.Engine == units.KindRemote || !t.IdleSince.IsZero() {
			return status, err
		}
		select {
		case <-ctx.Done():
			return status, ctx.Err()
		case <-until.C:
			return status, nil
		case <-time.After(tick):
		}
	}
}

// room asks whether the tier fits beside those that are up. A tier that starts on demand has others give way without being
// told to, which nobody should find out afterwards.
func (r *benchRun) room(ctx context.Context, c control, t api.Tier) error {
	if r.options.evict || t.Start != "demand" {
		return nil
	}
	b, err := c.Budget(ctx, "")
	if err != nil {
		return err
	}
	refusal := func(left uint64) error {
		return fmt.Errorf("it takes %s and %s are left, so other tiers would have to give way; --evict lets them", size(t.Memory), size(left))
	}
	if b.RAM.Size == nil || b.Free == nil {
		return errors.New("whether it fits beside the other tiers is not known; --evict lets them give way")
	}
	left := less(*b.RAM.Size, b.Reserve, b.RAM.Promised)
	if now := less(*b.Free, b.Pending, b.KeepFree); now < left {
		left = now
	}
	if t.Memory > left {
		return refusal(left)
	}
	return nil
}

// less takes amounts away, down to nothing.
func less(n uint64, amounts ...uint64) uint64 {
	for _, a := range amounts {
		n -= min(n, a)
	}
	return n
}

// one measures a tier that is up.
func (r *benchRun) one(ctx context.Context, f *benchFacts, now api.Status, name string, show progress) bench.Tier {
	t, ok := byName(now.Tiers, name)
	switch {
	case !ok || t.State != api.Ready:
		return skippedTier(t, "it is not up any more")
	case t.Engine == units.KindRemote:
		return skippedTier(t, "a server elsewhere answers for it")
	case t.PortError != "":
		return skippedTier(t, t.PortError)
	case t.IdleSince.IsZero():
		return skippedTier(t, "it has requests in flight, which measuring would disturb; ask again when it is idle")
	}
	s := r.subject(f, t)
	for _, other := range now.Tiers {
		if other.Name != name && other.State == api.Ready && other.IdleSince.IsZero() && other.Engine != units.KindRemote {
			s.Tier.Notes = append(s.Tier.Notes, fmt.Sprintf("%s has requests in flight, and both share the memory", other.Name))
		}
	}
	s.Up = func(ctx context.Context) error { return r.stillUp(ctx, t) }
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: mostStreams} // without a proxy from the environment
	defer transport.CloseIdleConnections()
	s.Client.HTTP = transport
	lines := benchLines(r.plan, name)
	return r.plan.Measure(ctx, s, func(step bench.Step) {
		lines.step(step, r.plan.Runs)
		show.update(lines.change)
	})
}

// stillUp asks whether the tier is as it was.
func (r *benchRun) stillUp(ctx context.Context, was api.Tier) error {
	now, err := r.app.client().Status(ctx)
	if err != nil {
		return err
	}
	if t, ok := byName(now.Tiers, was.Name); !ok || t.State != api.Ready || t.Variant != was.Variant || !t.Since.Equal(was.Since) {
		return errors.New("it is not up any more as it was")
	}
	return nil
}

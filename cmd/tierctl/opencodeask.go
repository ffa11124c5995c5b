package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/opencode"
)

// Bounds of a request to a model. A tier of 70B on the CPU works a prompt of 300 tokens off in 15 s, and writes two tokens a second.
const (
	askReady = 3 * time.Minute
	// askPause is between two requests to a tier that is being loaded, where the gateway says nothing of it.
	askPause = 5 * time.Second
)

// askModels asks each model of a file: those of tiers that are ready all at once, then with cold the others one by one, since one
// may have to give way to the next.
func (a *app) askModels(ctx context.Context, models []opencode.Model, tiers []opencode.Tier, status *api.Status, key string, cold bool) []opencode.Asked {
	transport := &http.Transport{} // a proxy would be elsewhere
	defer transport.CloseIdleConnections()
	prober := opencode.Prober{Transport: transport, Key: key, Limit: askReady}
	asked := make([]opencode.Asked, len(models))
	var late []int
	ready := 0
	var all sync.WaitGroup
	begin := a.now()
	for i, m := range models {
		t, left := tierOf(m, tiers, status)
		switch {
		case left == "":
			ready++
			all.Go(func() { asked[i] = prober.Ask(ctx, m, t.Tools) })
		case cold && t.Name != "":
			late = append(late, i)
		default:
			asked[i] = opencode.Asked{Tier: m.Tier, Model: m.Ref, URL: m.BaseURL, LeftOut: left}
		}
	}
	if ready > 0 {
		fmt.Fprintf(a.stderr, "Asking %s for a word and a tool call.\n", count(ready, "model"))
	}
	all.Wait()
	for _, i := range late {
		t, _ := tierOf(models[i], tiers, status)
		fmt.Fprintf(a.stderr, "Asking the model of tier %s, which is loaded for this.\n", t.Name)
		asked[i] = a.askCold(ctx, prober, models[i], t)
	}
	a.markLoaded(ctx, asked, begin)
	return asked
}

// tierOf finds the tier of a model, and why it is not to be asked without --cold; "" when it is ready. One without a name is not to
// be asked at all.
func tierOf(m opencode.Model, tiers []opencode.Tier, status *api.Status) (t opencode.Tier, left string) {
	i := slices.IndexFunc(tiers, func(t opencode.Tier) bool { return t.Name == m.Tier })
	if i < 0 {
		return opencode.Tier{}, "there is no such tier any more"
	}
	t = tiers[i]
	if status == nil {
		return t, "tierd does not answer, so it is not known whether it is up; --cold asks it"
	}
	for _, now := range status.Tiers {
		switch {
		case now.Name != m.Tier || now.State == api.Ready:
		case now.State == api.Blocked: // --cold would be refused
			return opencode.Tier{}, "it is blocked, and no request starts it; tierctl status says why"
		case now.State == api.Failed:
			return t, "it has failed; --cold has it tried again"
		default:
			return t, fmt.Sprintf("it is %s; --cold asks it", now.State)
		}
	}
	return t, ""
}

// askCold asks a tier that is not ready. The gateway holds the request while it loads, for as long as it may, and then says when to
// ask again; that goes on for as long as a load may take.
func (a *app) askCold(ctx context.Context, p opencode.Prober, m opencode.Model, t opencode.Tier) opencode.Asked {
	p.Limit += t.Hold
	until := time.Now().Add(t.Load + p.Limit)
	for {
		asked := p.Ask(ctx, m, t.Tools)
		asked.Loaded = asked.Status == http.StatusOK
		again := max(asked.Again, askPause)
		if asked.Status != http.StatusServiceUnavailable || time.Now().Add(again).After(until) || !a.starting(ctx, m.Tier) {
			return asked
		}
		select {
		case <-ctx.Done():
			return asked
		case <-time.After(again):
		}
	}
}

// starting tells whether a tier is being loaded.
func (a *app) starting(ctx context.Context, tier string) bool {
	status, err := a.client().Status(ctx)
	return err == nil && slices.ContainsFunc(status.Tiers, func(t api.Tier) bool { return t.Name == tier && t.State == api.Starting })
}

// markLoaded finds tiers that had gone between the look at them and the request, and so were loaded for it after all.
func (a *app) markLoaded(ctx context.Context, asked []opencode.Asked, begin time.Time) {
	status, err := a.client().Status(ctx)
	if err != nil {
		return
	}
	for i := range asked {
		for _, t := range status.Tiers {
			if t.Name == asked[i].Tier && asked[i].LeftOut == "" && t.State == api.Ready && t.Since.After(begin) {
				asked[i].Loaded = true
			}
		}
	}
}

package agent

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tierd/tierd/agent/api"
)

// gatewayGrace is how long the gateway may be away between two polls of the table before it counts as absent.
const gatewayGrace = 2 * time.Second

// ownersAge is how long it is believed who holds a port.
const ownersAge = 30 * time.Second

// gatewayState is what is known of the gateway.
type gatewayState struct {
	polls    int       // calls of Table that wait now
	last     time.Time // end of the last one
	reported time.Time // when it last said what is in flight
	since    time.Time // when it came, or came back after it was gone
	report   api.GatewayReport
	owners   map[int]string // who holds a port that the gateway could not open
	looked   time.Time      // when that was last found out
}

func (g gatewayState) connected(now time.Time) bool {
	return g.polls > 0 || !g.last.IsZero() && now.Sub(g.last) < gatewayGrace
}

// hear notes that the gateway is there.
func (g *gatewayState) hear(now time.Time) {
	if !g.connected(now) {
		g.since = now
	}
	g.last = now
}

// Table returns the routes once their Seq differs from after, or as they are when ctx ends.
func (a *Agent) Table(ctx context.Context, after uint64) (api.Table, error) {
	if _, err := inLoop(ctx, a, func() (bool, error) {
		if a.observations == 0 { // a table from no knowledge would cut off what runs
			return false, a.unavailable()
		}
		a.gateway.hear(time.Now())
		a.gateway.polls++
		return true, nil
	}); err != nil {
		return api.Table{}, err
	}
	defer func() {
		_, _ = inLoop(context.WithoutCancel(ctx), a, func() (bool, error) {
			a.gateway.polls--
			a.gateway.last = time.Now()
			return true, nil
		})
	}()
	for {
		var next chan struct{}
		t, err := inLoop(context.WithoutCancel(ctx), a, func() (api.Table, error) { next = a.tableNew; return a.table, nil })
		if err != nil || t.Seq != after {
			return t, err
		}
		select {
		case <-next:
		case <-ctx.Done():
			return t, nil
		case <-a.ended:
			return t, errEnded
		}
	}
}

// Report takes in what the gateway says of its listeners and requests. Who holds a port that it could not open is looked
// up beside the loop, since that walks all of proc.
func (a *Agent) Report(report api.GatewayReport) {
	_, _ = inLoop(context.Background(), a, func() (bool, error) {
		a.gateway.hear(time.Now())
		a.gateway.report = report
		a.noteUse(report)
		a.checkDrains()
		var failed []int
		for _, l := range report.Listeners {
			if l.Error == "" {
				delete(a.gateway.owners, l.Port)
				continue
			}
			failed = append(failed, l.Port)
		}
		unknown := slices.ContainsFunc(failed, func(port int) bool { return a.gateway.owners[port] == "" })
		if age := time.Since(a.gateway.looked); len(failed) > 0 && (age > ownersAge || unknown && age > gatewayGrace) {
			a.gateway.looked = time.Now()
			a.spawn(func(context.Context) {
				owners := portOwners(a.opts.Root, failed)
				a.post(func() { a.notePorts(owners) })
			})
		}
		return true, nil
	})
}

func (a *Agent) notePorts(owners map[int]string) {
	if a.gateway.owners == nil {
		a.gateway.owners = map[int]string{}
	}
	for port, owner := range owners {
		if old, known := a.gateway.owners[port]; known && old == owner {
			continue
		}
		a.gateway.owners[port] = owner
		text := a.portError(port)
		a.opts.Log.Warn("the gateway cannot open a port", "port", port, "err", text)
		a.events.add(api.Event{Kind: "gateway", Text: text})
	}
}

// portError says why a port is not open, "" when it is.
func (a *Agent) portError(port int) string {
	for _, l := range a.gateway.report.Listeners {
		if l.Port != port || l.Error == "" {
			continue
		}
		if owner := a.gateway.owners[port]; owner != "" {
			return fmt.Sprintf("port %d is held by %s", port, owner)
		}
		return fmt.Sprintf("port %d cannot be opened: %s", port, l.Error)
	}
	return ""
}

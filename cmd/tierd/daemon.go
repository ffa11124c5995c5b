package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/tierd/tierd/agent"
	"github.com/tierd/tierd/agent/api"
)

// core is the agent, as far as the daemon drives it.
type core interface {
	agent.Control
	Run(ctx context.Context) error
	ServeGuard(ctx context.Context, l net.Listener) error
	Summary(ctx context.Context) (agent.Summary, error)
}

// daemon joins the agent to its sockets, to signals and to systemd.
type daemon struct {
	core    core
	log     *slog.Logger
	notify  *notifier
	sockets sockets
	hangup  <-chan os.Signal
	root    string // where etc and proc are: "/" but in tests
}

// run lasts until ctx ends or a part fails. The sockets end first, then the agent that they ask.
func (d *daemon) run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	core := begin(ctx, stop, "keep the tiers", d.core.Run)
	server := agent.NewServer(d.core, d.log, d.root)
	control := begin(ctx, stop, "serve the control socket", func(ctx context.Context) error {
		return server.Serve(ctx, d.sockets.control)
	})
	admission := agent.NewAdmission(d.core, d.log, d.root)
	admit := begin(ctx, stop, "serve the admission socket", func(ctx context.Context) error {
		return admission.Serve(ctx, d.sockets.admit)
	})
	guard := begin(ctx, stop, "serve the guard's socket", func(ctx context.Context) error {
		if d.sockets.guard == nil {
			return nil
		}
		return d.core.ServeGuard(ctx, d.sockets.guard)
	})
	d.attend(ctx)
	d.notify.send("STOPPING=1\nSTATUS=Ending; tiers run on")
	return errors.Join(control.end(), admit.end(), guard.end(), core.end())
}

// part is something that runs beside the others, with an end of its own.
type part struct {
	cancel context.CancelFunc
	ended  chan error
}

// begin starts a part. One that ends by itself with an error makes the whole daemon end: systemd starts it afresh.
func begin(ctx context.Context, stop context.CancelCauseFunc, what string, run func(context.Context) error) part {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p := part{cancel: cancel, ended: make(chan error, 1)}
	go func() {
		err := run(ctx)
		if err != nil {
			err = fmt.Errorf("cannot %s: %w", what, err)
			stop(err)
		}
		p.ended <- err
	}()
	return p
}

func (p part) end() error {
	p.cancel()
	return <-p.ended
}

// attend tells systemd how things are and reloads when asked to, until ctx ends.
func (d *daemon) attend(ctx context.Context) {
	events, unsubscribe := d.core.Subscribe()
	defer unsubscribe()
	var beat <-chan time.Time
	if every := d.notify.watchdog(); every > 0 {
		ticker := time.NewTicker(every / 2)
		defer ticker.Stop()
		beat = ticker.C
	}
	state := "READY=1" // sent along with the first answer of the agent
	for {
		if s, err := d.core.Summary(ctx); err == nil {
			// An agent that does not answer feeds no watchdog.
			d.notify.send(state + "\nWATCHDOG=1\nSTATUS=" + inWords(s))
			state = ""
		} else if ctx.Err() == nil {
			d.log.Warn("the agent does not answer", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-beat:
		case _, open := <-events:
			if !open {
				events = nil
			}
		case <-d.hangup:
			d.notify.send(reloading())
			d.reload(ctx)
			state = "READY=1"
		}
	}
}

func (d *daemon) reload(ctx context.Context) {
	result, _, err := d.core.Reload(ctx, false)
	if err != nil {
		d.log.Error("cannot use tiers.toml; the one before stays in force", "err", err)
		return
	}
	d.log.Info("read tiers.toml again", "changed", result.Changed, "removed", result.Removed, "restart_pending", result.Pending)
}

// inWords is the line in `systemctl status tierd`.
func inWords(s agent.Summary) string {
	count := map[api.State]int{}
	for _, t := range s.Tiers {
		count[t]++
	}
	text := fmt.Sprintf("%d tiers", len(s.Tiers))
	if len(s.Tiers) == 1 {
		text = "1 tier"
	}
	for _, state := range []api.State{api.Ready, api.Starting, api.Draining, api.Stopping, api.Failed, api.Blocked} {
		if n := count[state]; n > 0 {
			text += fmt.Sprintf(", %d %s", n, state)
		}
	}
	if s.ConfigError != "" {
		text += "; tiers.toml has a fault, see tierctl status"
	}
	return text
}

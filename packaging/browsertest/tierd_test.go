//go:build browser

// Package browsertest looks at the gateway's page with a real browser: the real gateway serves it, tierd's real server
// answers the gateway, and only what that server is told is made up.
package browsertest

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tierd/tierd/agent"
	"github.com/tierd/tierd/agent/api"
)

// script is what tierd says. Its methods are those that the gateway and the page ask for.
type script struct {
	agent.Control

	mu     sync.Mutex
	table  api.Table
	status api.Status
	budget api.Budget
	events []api.Event
	wishes []string      // tiers that requests wait for
	fresh  chan struct{} // closed at each change
}

// change edits what tierd says from now on. A table that differs gets a new number.
func (s *script) change(edit func(*script)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.table.Routes = slices.Clone(s.table.Routes)
	s.status.Tiers = slices.Clone(s.status.Tiers)
	edit(s)
	s.table.Seq++
	close(s.fresh)
	s.fresh = make(chan struct{})
}

// tier edits a tier wherever it is told of.
func (s *script) tier(name string, edit func(*api.Route, *api.Tier)) {
	s.change(func(s *script) {
		i := slices.IndexFunc(s.table.Routes, func(r api.Route) bool { return r.Tier == name })
		r, t := &s.table.Routes[i], &s.status.Tiers[i]
		edit(r, t)
		t.State, t.Status, t.Reason, t.Model = r.State, r.Status, r.Reason, r.Model
		s.events = append(s.events, api.Event{
			Seq: uint64(len(s.events) + 1), Time: time.Now(), Kind: "tier", Tier: name, State: r.State, Text: fmt.Sprintf("%s is %s", name, r.State),
		})
	})
}

func (s *script) Table(ctx context.Context, after uint64) (api.Table, error) {
	for {
		s.mu.Lock()
		table, fresh := s.table, s.fresh
		s.mu.Unlock()
		if table.Seq > after {
			return table, nil
		}
		select {
		case <-fresh:
		case <-ctx.Done():
			return api.Table{}, ctx.Err()
		}
	}
}

func (s *script) Report(api.GatewayReport) {}

func (s *script) Status(context.Context) (api.Status, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status, nil
}

func (s *script) Budget(context.Context, string) (api.Budget, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.budget, nil
}

func (s *script) Events(after uint64) []api.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.events, func(e api.Event) bool { return e.Seq > after })
	if i < 0 {
		return nil
	}
	return slices.Clone(s.events[i:])
}

// Subscribe wakes the follower at each change; what is new it reads by Events.
func (s *script) Subscribe() (<-chan api.Event, func()) {
	wake, stop := make(chan api.Event), make(chan struct{})
	changed := func() chan struct{} {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.fresh
	}
	go func() {
		for fresh := changed(); ; {
			select {
			case <-fresh:
			case <-stop:
				return
			}
			fresh = changed() // before the follower reads, so that it misses nothing
			select {
			case wake <- api.Event{}:
			case <-stop:
				return
			}
		}
	}()
	return wake, sync.OnceFunc(func() { close(stop) })
}

// serve answers on a control socket until the returned function is called.
func (s *script) serve(t *testing.T, socket string) (stop func()) {
	t.Helper()
	root := t.TempDir()
	passwd := fmt.Sprintf("tier-gateway:x:%d:%d::/:/bin/false\n", os.Getuid(), os.Getgid())
	if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"passwd", "group"} {
		if err := os.WriteFile(filepath.Join(root, "etc", file), []byte(passwd), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	_ = os.Remove(socket)
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := agent.NewServer(s, slog.New(slog.DiscardHandler), root).Serve(ctx, l); err != nil {
			t.Error(err)
		}
	}()
	stop = sync.OnceFunc(func() { cancel(); <-ended })
	t.Cleanup(stop)
	return stop
}

package main

import (
	"context"
	"encoding/json"
	"iter"
	"time"

	"github.com/tierd/tierd/agent/api"
)

// control is what tierctl asks of the daemon. *api.Client is the real one.
type control interface {
	Status(ctx context.Context) (api.Status, error)
	Modes(ctx context.Context) ([]api.Mode, error)
	Plan(ctx context.Context, mode string) (api.Plan, error)
	Budget(ctx context.Context, mode string) (api.Budget, error)
	Host(ctx context.Context) (json.RawMessage, error)
	Guard(ctx context.Context) (api.Guard, error)
	GuardTrace(ctx context.Context) ([]json.RawMessage, error)
	Act(ctx context.Context, tier string, req api.TierRequest) (change string, err error)
	Stack(ctx context.Context, req api.StackRequest) (change string, err error)
	Reload(ctx context.Context, restart bool) (result api.ConfigResult, change string, err error)
	Changes(ctx context.Context) ([]api.Change, error)
	Change(ctx context.Context, id string) (api.Change, error)
	WaitChange(ctx context.Context, id string, timeout time.Duration) (api.Change, error)
	Abort(ctx context.Context, id string) error
	Events(ctx context.Context, after uint64) iter.Seq2[api.Event, error]
}

func (a *app) client() control { return a.dial(a.socket) }

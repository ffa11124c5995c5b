package agent

import (
	"context"

	"github.com/tierd/tierd/agent/api"
)

// await waits until f, which runs in the loop after each reading of the units, says that it is done.
func (a *Agent) await(ctx context.Context, f func() bool) error {
	for {
		var next chan struct{}
		done, err := inLoop(ctx, a, func() (bool, error) { next = a.learned; return f(), nil })
		if err != nil || done {
			return err
		}
		select {
		case <-next:
		case <-ctx.Done():
			return ctx.Err()
		case <-a.ended:
			return errEnded
		}
	}
}

// settle waits for a reading of all units that began after the call.
func (a *Agent) settle(ctx context.Context) error { return a.settled(ctx, ReadAll) }

// settled waits for a reading that began after the call. After a job ReadListed will do: systemd signals what has changed of
// a unit before it signals the end of its job, and should that be lost, the list shows it.
func (a *Agent) settled(ctx context.Context, depth Depth) error {
	var from uint64
	if _, err := inLoop(ctx, a, func() (bool, error) {
		from = a.asked
		a.observe(depth)
		return true, nil
	}); err != nil {
		return err
	}
	var failed error
	err := a.await(ctx, func() bool {
		if a.systemdErr != nil && !a.observing {
			failed = a.unavailable()
			return true
		}
		return a.observations > from
	})
	if err == nil {
		err = failed
	}
	return err
}

// unavailable is the error for a request that needs systemd while it does not answer.
func (a *Agent) unavailable() error {
	if a.systemdErr == nil {
		return nil
	}
	return &api.Error{Kind: api.KindUnavailable, Message: "systemd does not answer: " + a.systemdErr.Error()}
}

package agent

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"

	"github.com/tierd/tierd/agent/api"
)

func asGateway(t *testing.T) (*api.Client, *fakeControl, func() error) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root and the gateway's user may ask, and this user is neither")
	}
	s, control := newTestServer(t)
	path, end := serve(t, s)
	c := api.New(path)
	t.Cleanup(c.Close)
	return c, control, end
}

// waitsFor calls Ensure for a tier that never comes, and returns once the agent has heard of it.
func waitsFor(t *testing.T, ctx context.Context, c *api.Client, control *fakeControl) <-chan error {
	t.Helper()
	answer := make(chan error, 1)
	go func() { answer <- c.Ensure(ctx, "slow") }()
	eventually(t, "the wish reaches the agent", func() bool { return slices.Contains(control.notes(), "waits for slow") })
	return answer
}

func TestARequestThatHangsUpIsHeardOfWhileItWaits(t *testing.T) {
	c, control, _ := asGateway(t)
	ctx, cancel := context.WithCancel(context.Background())
	answer := waitsFor(t, ctx, c, control)
	cancel()
	if err := <-answer; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	eventually(t, "the agent hears of its end", func() bool { return slices.Contains(control.notes(), "gone slow") })
}

func TestARefusalKeepsItsTimeOverTheSocket(t *testing.T) {
	c, control, _ := asGateway(t)
	control.err = &api.Error{Kind: api.KindBudget, Class: api.ClassRefused, Message: "no room", RetryAfter: 4.5, Budget: &api.Budget{Words: "w"}}
	var e *api.Error
	if err := c.Ensure(context.Background(), "coder"); !errors.As(err, &e) || e.Kind != api.KindBudget || e.RetryAfter != 4.5 || e.Budget == nil {
		t.Errorf("got %+v", err)
	}
}

func TestTierdsEndIsToldToWhoWaitsForATier(t *testing.T) {
	c, control, end := asGateway(t)
	answer := waitsFor(t, context.Background(), c, control)
	if err := end(); err != nil {
		t.Error(err)
	}
	if err := <-answer; !api.Unavailable(err) {
		t.Errorf("got %v", err)
	}
}

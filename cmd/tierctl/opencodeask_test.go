package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"syscall"
	"testing"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/opencode"
)

// TestWhoIsAsked: --cold asks whoever has a name still.
func TestWhoIsAsked(t *testing.T) {
	tiers := []opencode.Tier{{Name: "orch"}}
	for _, tt := range []struct {
		rule   string
		model  string
		status *api.Status
		cold   bool
		left   string
	}{
		{"one that is ready", "orch", stateOf(api.Ready), true, ""},
		{"one that is stopped, with --cold", "orch", stateOf(api.Stopped), true, "it is stopped; --cold asks it"},
		{"one that has failed, with --cold", "orch", stateOf(api.Failed), true, "it has failed; --cold has it tried again"},
		{"not one that no request starts", "orch", stateOf(api.Blocked), false, "it is blocked, and no request starts it; tierctl status says why"},
		{"not one that is gone", "coder", stateOf(api.Ready), false, "there is no such tier any more"},
		{"one of which nobody knows, with --cold", "orch", nil, true, "tierd does not answer, so it is not known whether it is up; --cold asks it"},
	} {
		tier, left := tierOf(opencode.Model{Tier: tt.model}, tiers, tt.status)
		if left != tt.left || (tier.Name != "") != tt.cold {
			t.Errorf("%s: %q, %q", tt.rule, tier.Name, left)
		}
	}
}

func stateOf(s api.State) *api.Status {
	return &api.Status{Tiers: []api.Tier{{Name: "orch", State: s}}}
}

// TestHintsOfTheSystemsErrors: what the system says alone is no remedy.
func TestHintsOfTheSystemsErrors(t *testing.T) {
	for _, tt := range []struct {
		rule string
		err  error
		hint string
	}{
		{"a folder of somebody else's", notYours(fmt.Errorf("cannot make d: %w", fs.ErrPermission)), "it has to be yours, and for you to read and write (chown, chmod u+rwX); nothing was written"},
		{"a file system that is read-only", notYours(fmt.Errorf("cannot make d: %w", syscall.EROFS)), "name a file elsewhere by --to, and a folder for what is kept by XDG_STATE_HOME; nothing was written"},
		{"another fault is not of rights", notYours(errors.New("cannot make d")), ""},
		{"what is refused has its own", notYours(&opencode.Refused{Text: "no", Hint: "mend it"}), "mend it"},
		{"a hub that cannot be reached", pullFailure(fmt.Errorf("cannot reach h: %w", &net.OpError{Op: "dial", Err: errors.New("refused")})),
			"look at the network, or name another hub by HF_ENDPOINT; the same command goes on where this one stopped"},
		{"a hub that fails", pullFailure(errors.New("h answers 502")), "what came is kept; the same command goes on where this one stopped"},
	} {
		if _, hint := describe(tt.err); hint != tt.hint {
			t.Errorf("%s: %q", tt.rule, hint)
		}
	}
}

package gateway

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"

	"github.com/tierd/tierd/agent/api"
)

// ensure has tierd get a tier ready, until ctx ends: that is when the table says that it is, or when nobody waits for it any
// more. tierd's answer that it is ready is good only with the table; one that it will not be ends all the waits.
func (h *hold) ensure(ctx context.Context, t *heldTier, tier string) {
	for pause := firstPause; ; pause = min(pause*2, lastPause) {
		err := h.control.Ensure(ctx, tier)
		if h.settled(ctx, t, err) {
			return
		}
		wait(ctx, pause)
	}
}

// settled takes in an answer, and tells whether there is no more to ask.
func (h *hold) settled(ctx context.Context, t *heldTier, err error) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if ctx.Err() != nil {
		return true
	}
	answer, said := errors.AsType[*api.Error](err)
	switch {
	case err == nil:
		t.trouble, t.denied = "", ""
		return false
	case said && answer.Kind != api.KindUnavailable:
		t.trouble = ""
		if answer.Message != t.denied { // a client may ask again every few milliseconds
			t.denied = answer.Message
			h.log.Info("tierd will not have a tier ready that requests wait for", "tier", t.route.Tier, "requests", t.queue.Waiting(), "err", err)
		}
		h.fail(t, denied(t.route, answer))
		h.settle(t)
		return true
	}
	if t.trouble == "" {
		h.log.Warn("cannot have a tier made ready yet; tries again", "tier", t.route.Tier, "err", err)
	}
	t.trouble = "tierd does not answer"
	if said {
		t.trouble = answer.Message
	}
	return false
}

// denied is the failure for tierd's no.
func denied(r api.Route, e *api.Error) *failure {
	if e.Kind == api.KindNotFound {
		return notFound("model_not_found", "There is no tier %q any more.", r.Tier)
	}
	f := &failure{status: http.StatusServiceUnavailable, kind: "service_unavailable_error", code: codeNotReady, retryAfter: retryAbsent}
	switch e.Kind {
	case api.KindBudget:
		f.code = "no_room"
	case api.KindConfig:
		f.code = "tier_blocked"
	}
	if e.RetryAfter > 0 {
		f.retryAfter = int(math.Ceil(e.RetryAfter))
	}
	hint := "`tierctl status` says more."
	if e.Hint != "" {
		hint = "Hint: " + e.Hint
	}
	f.message = fmt.Sprintf("Tier %q cannot be used now%s. %s", r.Tier, because(e.Message), hint)
	return f
}

// because adds a reason to a sentence, unless OpenCode would take the words for something else: it matches on the text of
// errors, and takes these for a prompt that is too long or for a quota.
func because(reason string) string {
	reason = strings.TrimRight(reason, ". ")
	low := strings.ToLower(reason)
	for _, word := range []string{"context", "too many tokens", "rate limit", "token limit", "too long"} {
		if strings.Contains(low, word) {
			return ""
		}
	}
	if reason == "" {
		return ""
	}
	return ": " + reason
}

package gateway

import (
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/tierd/tierd/agent/api"
)

// codeNotReady is the code of an error for a tier that takes no request now.
const codeNotReady = "tier_not_ready"

// clientTries is how often OpenCode asks before it gives up: within as many waits the tier should be there.
const clientTries = 5

// tooLong is the failure of a request that has waited for as long as it may.
func (t *heldTier) tooLong(waited time.Duration) *failure {
	if t.ready() {
		return &failure{
			status: http.StatusServiceUnavailable, kind: "service_unavailable_error", code: "tier_busy", retryAfter: retryBusy,
			message: fmt.Sprintf("Tier %q is busy: this request has waited %s for its turn, as long as it may%s.",
				t.route.Tier, waited.Round(time.Second), others(t.queue.Waiting())),
		}
	}
	f := notReady(t.route)
	f.message += fmt.Sprintf(" This request has waited %s, as long as it may%s.", waited.Round(time.Second), because(t.trouble))
	return f
}

// others says how many wait beside a request.
func others(n int) string {
	switch n {
	case 0:
		return ""
	case 1:
		return "; another one waits"
	}
	return fmt.Sprintf("; %d others wait", n)
}

// retryLoading is how long a client should wait so that its attempts last until a load has ended, in seconds: a fifth of
// what is left, since each attempt is held as well. Of a short hold that is too little: a fifth of ever less never gets
// there, so that the next attempt should find the tier ready while it is held. A load that takes longer than earlier ones
// did may take any time.
func retryLoading(r api.Route, now time.Time) int {
	rest := r.ReadyBy.Sub(now).Seconds()
	if r.ReadyBy.IsZero() || rest <= 0 {
		return retryStarting
	}
	wait := rest / clientTries
	if r.Hold < rest/3 {
		wait = max(wait, rest-r.Hold/2)
	}
	return max(int(math.Ceil(wait)), retryBroken)
}

func queueFull(t *heldTier) *failure {
	return &failure{
		status: http.StatusServiceUnavailable, kind: "service_unavailable_error", code: "queue_full", retryAfter: retryBusy,
		message: fmt.Sprintf("%d requests wait for tier %q already, as many as may.", t.queue.Waiting(), t.route.Tier),
	}
}

func stopping(tier string) *failure {
	return &failure{
		status: http.StatusServiceUnavailable, kind: "service_unavailable_error", code: "gateway_stopping", retryAfter: retryBroken,
		message: fmt.Sprintf("The gateway is being stopped or restarted, and tier %q is not ready for this request. Ask again.", tier),
	}
}

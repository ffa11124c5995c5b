package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tierd/tierd/agent/api"
)

// errorHeader marks an answer as the gateway's own; an engine's error never carries it. Its value is the code.
const errorHeader = "X-Tierd-Error"

// failure is an error that a client gets as OpenAI's error object.
type failure struct {
	status     int
	kind       string // OpenAI's `type`
	code       string
	message    string
	retryAfter int // seconds; 0: no such header
}

func (f *failure) Error() string { return f.message }

// object is the error object of OpenAI and vLLM, since clients show its `message` to their users.
func (f *failure) object() json.RawMessage {
	o := struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    string  `json:"code"`
	}{Message: f.message, Type: f.kind, Code: f.code}
	if f.code == "model_not_found" {
		param := "model"
		o.Param = &param
	}
	text, _ := json.Marshal(o) // of strings alone
	return text
}

// write sends the failure.
func (f *failure) write(w http.ResponseWriter) {
	w.Header().Set(errorHeader, f.code)
	if f.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(f.retryAfter))
	}
	writeJSON(w, f.status, map[string]json.RawMessage{"error": f.object()})
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	body, err := json.Marshal(value)
	if err != nil { // only strings, numbers and lists of them are ever handed in
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	body = append(body, '\n')
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body) // an error here means that the client is gone
}

func badRequest(format string, args ...any) *failure {
	return &failure{status: http.StatusBadRequest, kind: "invalid_request_error", code: "bad_request", message: fmt.Sprintf(format, args...)}
}

func notFound(code, format string, args ...any) *failure {
	return &failure{status: http.StatusNotFound, kind: "invalid_request_error", code: code, message: fmt.Sprintf(format, args...)}
}

func unknownModel(name string, v *view, who caller) *failure {
	return notFound("model_not_found", "The model %q does not exist; tierd has %s.", name, strings.Join(v.names(who), ", "))
}

func forbidden(format string, args ...any) *failure {
	return &failure{status: http.StatusForbidden, kind: "invalid_request_error", code: "forbidden", message: fmt.Sprintf(format, args...)}
}

// Seconds that a client is told to wait. OpenCode gives up after five attempts, so that a load may take five times the
// figure for "starting" before the client's user sees an error.
const (
	retryStarting = 20
	retryLeaving  = 10
	retryAbsent   = 30
	retryBroken   = 2
	retryBusy     = 10
)

// notReady says why a tier takes no request, and which command helps.
func notReady(r api.Route) *failure {
	f := &failure{status: http.StatusServiceUnavailable, kind: "service_unavailable_error", code: codeNotReady, retryAfter: retryAbsent}
	switch r.State {
	case api.Starting:
		f.retryAfter = retryLoading(r, time.Now())
		f.message = fmt.Sprintf("Tier %q is starting%s. `tierctl status` shows its progress.", r.Tier, because(r.Status))
	case api.Draining, api.Stopping:
		f.retryAfter = retryLeaving
		if !r.ReadyBy.IsZero() { // another one comes in its place, which takes its time
			f.retryAfter = max(retryLeaving, retryLoading(r, time.Now()))
		}
		f.message = fmt.Sprintf("Tier %q is %s%s. `tierctl status` shows what comes next.", r.Tier, r.State, because(r.Reason))
	case api.Failed:
		f.message = fmt.Sprintf("Tier %q has failed%s. See `journalctl -u %s`; `tierctl start %s` tries again.", r.Tier, because(r.Reason), r.Unit, r.Tier)
	case api.Blocked:
		f.message = fmt.Sprintf("Tier %q cannot be started%s. `tierctl status` says more.", r.Tier, because(r.Reason))
	default:
		f.message = fmt.Sprintf("Tier %q is %s%s. `tierctl start %s` starts it.", r.Tier, r.State, because(r.Reason), r.Tier)
	}
	return f
}

// broken is the answer for a tier that was ready by the table, but whose engine gave no answer.
func broken(r api.Route, err error) *failure {
	return &failure{
		status: http.StatusBadGateway, kind: "server_error", code: "tier_broken", retryAfter: retryBroken,
		message: fmt.Sprintf("Tier %q (%s) gave no answer: %v. `tierctl status` says more.", r.Tier, r.Unit, err),
	}
}

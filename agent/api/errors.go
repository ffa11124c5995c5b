package api

import "net/http"

// ErrorKind is what clients branch on; the message is for people.
type ErrorKind string

// The kinds, with tierctl's exit status for each (STATUS column of its man page).
const (
	KindBadRequest  ErrorKind = "bad-request"   // 400, exit 2
	KindForbidden   ErrorKind = "not-permitted" // 403, exit 4
	KindNotFound    ErrorKind = "not-found"     // 404, exit 2: no such tier, variant, mode or change
	KindMethod      ErrorKind = "method"        // 405, exit 1: the path is there, not for this method
	KindTooLarge    ErrorKind = "too-large"     // 413, exit 1: the request's body is beyond the limit
	KindConflict    ErrorKind = "conflict"      // 409, exit 1: another change holds that tier
	KindBudget      ErrorKind = "budget"        // 409, exit 6: does not fit
	KindConfig      ErrorKind = "configuration" // 422, exit 1: tiers.toml or what it names is at fault
	KindUnit        ErrorKind = "unit"          // 200 within a change, exit 1: the unit failed (as an answer of its own: 500)
	KindAborted     ErrorKind = "aborted"       // within a change, exit 1 (as an answer of its own: 409)
	KindUnavailable ErrorKind = "not-available" // 503, exit 5: tierd or systemd does not answer
	KindInternal    ErrorKind = "internal"      // 500, exit 1
)

// statusOf is the one table from kinds to HTTP statuses. Clients branch on the kind; the status is for those who only
// have curl.
var statusOf = map[ErrorKind]int{
	KindBadRequest:  http.StatusBadRequest,
	KindForbidden:   http.StatusForbidden,
	KindNotFound:    http.StatusNotFound,
	KindMethod:      http.StatusMethodNotAllowed,
	KindTooLarge:    http.StatusRequestEntityTooLarge,
	KindConflict:    http.StatusConflict,
	KindBudget:      http.StatusConflict,
	KindAborted:     http.StatusConflict,
	KindConfig:      http.StatusUnprocessableEntity,
	KindUnit:        http.StatusInternalServerError,
	KindInternal:    http.StatusInternalServerError,
	KindUnavailable: http.StatusServiceUnavailable,
}

// HTTPStatus is the status that an error of this kind is answered with; 500 for a kind that is not in the table.
func (k ErrorKind) HTTPStatus() int {
	if status, ok := statusOf[k]; ok {
		return status
	}
	return http.StatusInternalServerError
}

// Error is a failure as it goes over the socket.
type Error struct {
	Kind    ErrorKind `json:"kind"`
	Message string    `json:"message"`
	Hint    string    `json:"hint,omitempty"` // what to try, a command where there is one
	Class   string    `json:"class,omitempty"`
	Budget  *Budget   `json:"budget,omitempty"` // the sum that does not hold, for KindBudget
	// RetryAfter is in how many seconds the same request may fare better; 0: not known.
	RetryAfter float64 `json:"retry_after,omitempty"`
}

func (e *Error) Error() string { return e.Message }

package main

import (
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

// again is a transport that sends a request once more when a kept connection turned out to be dead: upstream had closed it
// before it saw the request. net/http does so by itself only when it has written nothing yet. A new connection that breaks
// means that upstream died of the request, perhaps, and so does one on which the answer had begun, or that breaks only
// later: to hear that a connection was closed before takes no longer than a round trip.
type again struct {
	http.RoundTripper
	within time.Duration // from the request's last byte
}

// roundTrip is longer than any that a client would put up with.
const roundTrip = 2 * time.Second

// RoundTrip is part of http.RoundTripper.
func (a again) RoundTrip(r *http.Request) (*http.Response, error) {
	reused := false
	var written atomic.Pointer[time.Time] // by the transport's own goroutine
	trace := &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused },
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			if now := time.Now(); info.Err == nil {
				written.Store(&now)
			}
		},
	}
	answer, err := a.RoundTripper.RoundTrip(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
	if err == nil || !reused || r.Context().Err() != nil || r.Body != nil && r.GetBody == nil {
		return answer, err
	}
	if at := written.Load(); at != nil && time.Since(*at) > a.within {
		return nil, err
	}
	second := r.Clone(r.Context())
	if r.GetBody != nil {
		if second.Body, err = r.GetBody(); err != nil {
			return nil, err
		}
	}
	return a.RoundTripper.RoundTrip(second)
}

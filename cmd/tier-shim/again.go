package main

import (
	"net/http"
	"net/http/httptrace"
)

// again is a transport that sends a request once more when a kept connection turned out to be dead: upstream had closed it
// before it saw the request. net/http does so by itself only when it has written nothing yet. A new connection that breaks
// means that upstream died of the request, perhaps, and so does one on which the answer had begun.
type again struct{ http.RoundTripper }

// RoundTrip is part of http.RoundTripper.
func (a again) RoundTrip(r *http.Request) (*http.Response, error) {
	reused := false
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused }}
	answer, err := a.RoundTripper.RoundTrip(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
	if err == nil || !reused || r.Context().Err() != nil || r.Body != nil && r.GetBody == nil {
		return answer, err
	}
	second := r.Clone(r.Context())
	if r.GetBody != nil {
		if second.Body, err = r.GetBody(); err != nil {
			return nil, err
		}
	}
	return a.RoundTripper.RoundTrip(second)
}

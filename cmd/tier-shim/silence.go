package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// errSilent is the cause of a request's end when upstream has yielded nothing for too long.
var errSilent = errors.New("the server went silent")

// silence ends a request to upstream when nothing has come from there for a while: a server may take the connection and
// never read the request, never answer it, or stop in the middle, and none of that is an error to TCP.
type silence struct {
	ctx    context.Context
	length time.Duration
	timer  *time.Timer
}

type silenceKey struct{}

// watchSilence begins to watch. The request must use the context; the caller must call the returned function at its end.
func watchSilence(ctx context.Context, length time.Duration) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	s := &silence{ctx: ctx, length: length, timer: time.AfterFunc(length, func() { cancel(errSilent) })}
	return context.WithValue(ctx, silenceKey{}, s), func() {
		s.timer.Stop()
		cancel(nil)
	}
}

// hearBody lets every piece of an answer begin the wait anew. An upgraded connection may be silent for as long as it likes.
func hearBody(answer *http.Response) error {
	s := answer.Request.Context().Value(silenceKey{}).(*silence)
	if answer.StatusCode == http.StatusSwitchingProtocols {
		s.timer.Stop()
		return nil
	}
	s.timer.Reset(s.length)
	answer.Body = heardBody{answer.Body, s}
	return nil
}

// heardBody is an answer's body.
type heardBody struct {
	io.ReadCloser
	s *silence
}

// Read waits for upstream with the timer running, and for the client without: a client that reads slowly is no silence of
// the server's.
//
// A body that ends when the wait is over did not end by itself: what closes a TLS connection tells the server first, and a
// server that is told may still end its answer in good order.
func (b heardBody) Read(p []byte) (int, error) {
	b.s.timer.Reset(b.s.length)
	n, err := b.ReadCloser.Read(p)
	b.s.timer.Stop()
	if err == io.EOF && context.Cause(b.s.ctx) == errSilent {
		err = errSilent
	}
	return n, err
}

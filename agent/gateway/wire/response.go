package wire

import (
	"errors"
	"net"
	"net/http"
	"strconv"
	"time"
)

// framing is how the end of a body is told.
type framing int

const (
	noBody   framing = iota // by the status or the method
	byLength                // Content-Length
	inChunks
	toTheEnd // of the connection: HTTP/1.0 without a length
)

// Response is the http.ResponseWriter of a request. It sends no byte before a flush, 4 KiB of body, or the handler's end.
// http.NewResponseController finds Flush and the deadline for writes. Its methods are for one goroutine at a time.
type Response struct {
	c      *conn
	body   requestBody // the request's
	method string
	http11 bool
	close  bool // the connection ends with this answer

	header  http.Header
	status  int
	length  int64 // of the body, by the handler's word; -1: not known
	written int64
	pending []byte // of the body, not sent
	frame   framing
	begun   bool // the head is sent
	relayed bool // Relay has sent the end
	aborted bool
	err     error // of writing to the client
}

// Of finds the Response behind a handler's ResponseWriter; nil when there is none.
func Of(w http.ResponseWriter) *Response {
	for {
		switch inner := w.(type) {
		case *Response:
			return inner
		case interface{ Unwrap() http.ResponseWriter }:
			w = inner.Unwrap()
		default:
			return nil
		}
	}
}

// Header implements http.ResponseWriter.
func (w *Response) Header() http.Header {
	if w.header == nil {
		w.header = make(http.Header)
	}
	return w.header
}

// WriteHeader implements http.ResponseWriter. Of several calls the first counts.
func (w *Response) WriteHeader(status int) {
	if w.status != 0 {
		return
	}
	w.status = status
	if text := w.header.Get("Content-Length"); text != "" {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= 0 {
			w.length = n
		}
	}
}

// Write implements http.ResponseWriter.
func (w *Response) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if !bodyAllowed(w.status) {
		return 0, http.ErrBodyNotAllowed
	}
	if w.length >= 0 && w.written+int64(len(p)) > w.length {
		return 0, http.ErrContentLength
	}
	w.written += int64(len(p))
	if w.method == http.MethodHead {
		return len(p), nil
	}
	if len(w.pending)+len(p) <= smallSize {
		w.pending = append(w.pending, p...)
		return len(p), nil
	}
	if err := w.send(p, false); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Flush implements http.Flusher.
func (w *Response) Flush() { _ = w.FlushError() }

// FlushError sends what was written, the head too.
func (w *Response) FlushError() error {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.begun && len(w.pending) == 0 {
		return w.err
	}
	return w.send(nil, false)
}

// SetWriteDeadline is for http.ResponseController. It holds for the rest of the answer.
func (w *Response) SetWriteDeadline(t time.Time) error {
	w.c.ownDeadline = true
	return w.c.raw.SetWriteDeadline(t)
}

// Abort has the connection end so that the client cannot take what it has for a whole answer.
func (w *Response) Abort() { w.aborted = true }

// send writes the head if it is due, what is pending, and p. last: nothing comes after it.
func (w *Response) send(p []byte, last bool) error {
	if w.err != nil {
		return w.err
	}
	out := larges.Get().(*[]byte)
	defer larges.Put(out)
	b := (*out)[:0]
	if !w.begun {
		if w.header["Content-Type"] == nil && w.header["Content-Encoding"] == nil && len(w.pending)+len(p) > 0 {
			sniffed := w.pending
			if len(sniffed) == 0 {
				sniffed = p
			}
			w.Header().Set("Content-Type", http.DetectContentType(sniffed))
		}
		b = append(w.begin(b, w.status, w.length, nil), "\r\n"...)
	}
	size := len(w.pending) + len(p)
	if w.frame == inChunks && size > 0 {
		b = append(strconv.AppendInt(b, int64(size), 16), "\r\n"...)
	}
	if w.frame != noBody {
		b = append(b, w.pending...)
		b = append(b, p...)
	}
	w.pending = w.pending[:0]
	if w.frame == inChunks {
		if size > 0 {
			b = append(b, "\r\n"...)
		}
		if last {
			b = append(b, "0\r\n\r\n"...)
		}
	}
	if len(b) > 0 {
		w.err = w.c.write(b)
	}
	return w.err
}

// finish ends the answer. False: the connection is not used again.
func (w *Response) finish() (keep bool) {
	if w.aborted {
		w.cut()
		return false
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	switch {
	case w.relayed:
	case !w.begun:
		if w.length < 0 && (w.method != http.MethodHead || w.written > 0) {
			w.length = w.written
		}
		w.err = w.send(nil, true)
	case w.frame == inChunks || len(w.pending) > 0:
		w.err = w.send(nil, true)
	}
	if w.err != nil || w.frame == byLength && w.written < w.length {
		return false
	}
	if w.close && !w.body.ended {
		w.c.linger()
	}
	return !w.close
}

// cut ends a connection in the middle of an answer. Where its end would be the answer's, the client has to see a reset.
func (w *Response) cut() {
	if w.begun && w.frame == toTheEnd {
		if linger, ok := w.c.raw.(interface{ SetLinger(int) error }); ok {
			_ = linger.SetLinger(0)
		}
	}
	_ = w.c.raw.Close()
}

// Takeover sends the engine's 101 and ends HTTP on the connection, which is the handler's until it returns. What the client
// has sent already comes first out of the connection. There is no deadline any more.
func (w *Response) Takeover(res *http.Response) (net.Conn, error) {
	if w.begun {
		return nil, errors.New("the answer has begun")
	}
	w.c.disarm()
	w.c.taken = true
	_ = w.c.raw.SetDeadline(time.Time{})
	b := appendStatus(make([]byte, 0, 512), w.http11, res.StatusCode)
	for name, values := range res.Header {
		if !HopByHop(name) && validName(name) && !Listed(res.Header["Connection"], name) {
			b = appendValues(b, name, values)
		}
	}
	b = AppendField(append(b, "Connection: Upgrade\r\n"...), "Upgrade", res.Header.Get("Upgrade"))
	if _, err := w.c.raw.Write(append(b, "\r\n"...)); err != nil {
		return nil, err
	}
	return &takenConn{w.c.raw, w.c.br}, nil
}

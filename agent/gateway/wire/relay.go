package wire

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// ClientError is a failure to send to the client, who has gone or takes nothing.
type ClientError struct{ Err error }

func (e *ClientError) Error() string { return fmt.Sprintf("cannot send to the client: %v", e.Err) }

// Unwrap is for package errors.
func (e *ClientError) Unwrap() error { return e.Err }

// Room before and behind the data of a chunk, so that a chunk is one write: its size, and two line breaks with the last chunk.
const (
	chunkFront = 10
	chunkBack  = 7
)

// Relay sends an engine's answer on: status, end-to-end headers, body and trailers. What comes in is sent on before more is
// waited for. After an error the client has a part of the answer, and the caller has to Abort; a *ClientError is the client's.
// An answer that the handler has begun itself is gone on with: of the engine's then comes only the body.
func (w *Response) Relay(res *http.Response, e *Engine) error {
	small := smalls.Get().(*[]byte)
	defer func() {
		if small != nil {
			smalls.Put(small)
		}
	}()
	b := (*small)[:0]
	if !w.begun {
		b = w.begin(b, res.StatusCode, res.ContentLength, res.Header)
		if w.frame == inChunks {
			for name := range res.Trailer {
				b = AppendField(b, "Trailer", name)
			}
		}
		b = append(b, "\r\n"...)
	} else if len(w.pending) > 0 {
		if err := w.send(nil, false); err != nil {
			return &ClientError{err}
		}
	}
	w.relayed = true
	switch {
	case w.frame == noBody:
		return w.pass(b)
	case w.frame == byLength:
		return w.relayLength(b, res)
	}
	// Of an answer of unknown length the head is not kept back, unless more is there already.
	if len(b) > 0 && e.buffered() == 0 {
		if err := w.pass(b); err != nil {
			return err
		}
		b = nil
		smalls.Put(small) // a stream may last for an hour
		small = nil
	}
	return w.relayStream(b, res)
}

func (w *Response) pass(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if err := w.c.write(b); err != nil {
		w.err = err
		return &ClientError{err}
	}
	return nil
}

// relayLength sends a body of known length, its beginning in one write with the head.
func (w *Response) relayLength(head []byte, res *http.Response) error {
	w.length = res.ContentLength
	if w.length == 0 {
		return w.pass(head)
	}
	b := head
	if int64(cap(b)-len(b)) < w.length {
		large := larges.Get().(*[]byte)
		defer larges.Put(large)
		if cap(*large) > 2*len(head) {
			b = append((*large)[:0], head...)
		} else if err := w.pass(head); err != nil { // a head as large as that goes alone
			return err
		} else {
			b = (*large)[:0]
		}
	}
	for w.written < w.length {
		n, err := res.Body.Read(b[len(b):cap(b)])
		w.written += int64(n)
		b = b[:len(b)+n]
		if err != nil && err != io.EOF {
			_ = w.pass(b)
			return err
		}
		if n > 0 || err == io.EOF {
			if err := w.pass(b); err != nil {
				return err
			}
			b = b[:0]
		}
		if err == io.EOF && w.written < w.length {
			return io.ErrUnexpectedEOF
		}
	}
	return nil
}

// relayStream sends a body of unknown length as it comes in. It reads into a small buffer, since there may be a thousand
// streams of small events, and into a large one once more comes in than fits.
func (w *Response) relayStream(head []byte, res *http.Response) error {
	buffer, size := smalls.Get().(*[]byte), smallSize
	defer func() {
		if size == smallSize {
			smalls.Put(buffer)
		} else {
			larges.Put(buffer)
		}
	}()
	for {
		data := (*buffer)[chunkFront : size-chunkBack]
		n, err := res.Body.Read(data)
		end := err == io.EOF
		if n > 0 || end {
			out := w.chunk(*buffer, n, end && len(res.Trailer) == 0)
			if len(head) > 0 {
				out, head = append(head, out...), nil
			}
			if err := w.pass(out); err != nil {
				return err
			}
		}
		switch {
		case end:
			return w.relayTrailer(res)
		case err != nil:
			return err
		case n == len(data) && size == smallSize:
			smalls.Put(buffer)
			buffer, size = larges.Get().(*[]byte), largeSize
		}
	}
}

// chunk makes a chunk of the n bytes that stand in the buffer behind chunkFront.
func (w *Response) chunk(buffer []byte, n int, last bool) []byte {
	if w.frame != inChunks {
		return buffer[chunkFront : chunkFront+n]
	}
	out := buffer[chunkFront:chunkFront]
	if n > 0 {
		var line [chunkFront]byte
		front := append(strconv.AppendInt(line[:0], int64(n), 16), "\r\n"...)
		start := chunkFront - len(front)
		copy(buffer[start:], front)
		out = append(buffer[start:chunkFront+n], "\r\n"...)
	}
	if last {
		out = append(out, "0\r\n\r\n"...)
	}
	return out
}

// relayTrailer ends a body in chunks that has trailers.
func (w *Response) relayTrailer(res *http.Response) error {
	if w.frame != inChunks || len(res.Trailer) == 0 {
		return nil
	}
	b := append(make([]byte, 0, 256), "0\r\n"...)
	for name, values := range res.Trailer {
		if validName(name) {
			b = appendValues(b, name, values)
		}
	}
	return w.pass(append(b, "\r\n"...))
}

package wire

import (
	"io"
	"strings"
	"time"
)

// requestBody is a request's body, as net/http frames it, with the time that a client gets for it.
type requestBody struct {
	c      *conn
	src    io.ReadCloser
	length int64
	expect bool // the client waits for 100 Continue
	ended  bool
	err    error
}

// Read implements io.Reader. A client that is silent for BodyPause is an error.
func (b *requestBody) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if b.expect {
		b.expect = false
		if err := b.c.write([]byte("HTTP/1.1 100 Continue\r\n\r\n")); err != nil {
			return 0, err
		}
	}
	if b.c.br.Buffered() == 0 {
		b.c.in.readBy(BodyPause)
	}
	n, err := b.src.Read(p)
	if err == io.EOF {
		b.ended = true
		b.c.in.arm()
	}
	b.err = err
	return n, err
}

// Close implements io.Closer. What is unread is the connection's business.
func (b *requestBody) Close() error { return nil }

// settle reads what the handler left of the body, so that the next request can be found behind it. False: the connection
// cannot be used again.
func (b *requestBody) settle() bool {
	switch {
	case b.ended:
		return true
	case b.err != nil, b.expect, b.length > maxLeftOver:
		return false
	}
	buffer := larges.Get().(*[]byte)
	defer larges.Put(buffer)
	end := time.Now().Add(leftOverTime)
	for left := maxLeftOver; left > 0 && time.Now().Before(end); {
		n, err := b.Read(*buffer)
		if err != nil {
			return b.ended
		}
		left -= n
	}
	return false
}

// hasToken looks for a token in a list that commas or spaces separate.
func hasToken(list, token string) bool {
	for part := range strings.FieldsFuncSeq(list, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' }) {
		if strings.EqualFold(part, token) {
			return true
		}
	}
	return false
}

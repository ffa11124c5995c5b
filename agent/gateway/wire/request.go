package wire

import (
	"bufio"
	"io"
	"net/http"
)

// request reads a request's head. The whole head is in the buffer before it is parsed, which bounds its size and its time, and
// lets check see what http.ReadRequest does not tell.
func (c *conn) request() (*http.Request, error) {
	if c.served && c.br.Buffered() < 4 {
		c.in.readBy(HeaderPause)
		if _, err := c.br.Peek(4); err != nil {
			return nil, io.EOF // too little to be a request that was cut off
		}
	}
	if c.post {
		// Old clients send an empty line after a form.
		for n := 0; n < 4; n++ {
			if b, err := c.br.Peek(1); err != nil || b[0] != '\r' && b[0] != '\n' {
				break
			}
			_, _ = c.br.Discard(1)
		}
	}
	h, err := c.wholeHead()
	if err != nil {
		return nil, err
	}
	r, err := http.ReadRequest(c.br)
	if err != nil {
		return nil, err
	}
	c.post = r.Method == http.MethodPost
	return r, h.check(r)
}

// wholeHead waits until the buffer begins with a whole head. At the end of what comes in it leaves the rest to the parser,
// which finds what is wrong with it.
func (c *conn) wholeHead() (head, error) {
	for first := true; ; first = false {
		b, _ := c.br.Peek(c.br.Buffered())
		if h := scanHead(b); h.size > 0 {
			if h.size > MaxHead {
				return h, errLargeHead
			}
			return h, nil
		}
		if len(b) >= MaxHead {
			return head{}, errLargeHead
		}
		if len(b) == c.br.Size() {
			c.enlarge(b)
		}
		if first {
			c.in.readBy(HeaderPause)
		}
		if _, err := c.br.Peek(len(b) + 1); err != nil {
			if isTimeout(err) {
				return head{}, err
			}
			return head{}, nil
		}
	}
}

// enlarge changes to a reader for the largest head, which begins with what the small one holds.
func (c *conn) enlarge(b []byte) {
	c.in.saved = append(append([]byte(nil), b...), c.in.saved...)
	small := c.br
	c.br = bufio.NewReaderSize(c.in, MaxHead+smallSize)
	_, _ = c.br.Peek(len(b))
	putReader(small)
}

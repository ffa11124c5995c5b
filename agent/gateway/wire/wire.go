// Package wire is HTTP/1 between clients, the gateway and engines, with no goroutine between the two ends of a request.
//
// net/http's server and transport hand every request from goroutine to goroutine, which costs more than all else that a
// gateway does. Here one goroutine reads a client's request, writes it to an engine, reads the answer and writes that to the
// client. What a message means is still decided by net/http's own parsers (http.ReadRequest, http.ReadResponse); this
// package adds what net/http's server and transport do around those, and is fuzzed against both for agreement.
package wire

import (
	"bufio"
	"io"
	"sync"
	"time"
)

// Limits on clients.
const (
	HeaderPause  = 10 * time.Second // from the first byte of a request to the end of its head
	IdlePause    = 3 * time.Minute  // between two requests
	BodyPause    = 30 * time.Second // without a byte in the middle of a body
	WritePause   = 5 * time.Minute  // in which a client takes no byte of its answer
	MaxHead      = 64 << 10         // bytes of a request's head
	maxEngine    = 1 << 20          // bytes of an answer's head
	maxLeftOver  = 256 << 10        // bytes of a body that are read although nobody wants them, to keep the connection
	leftOverTime = 5 * time.Second
	lingerTime   = 500 * time.Millisecond
	maxLinger    = 4 << 20 // bytes that are read meanwhile
)

const (
	smallSize = 4 << 10
	largeSize = 32 << 10
)

// Buffers go back to their pools between requests, and between the events of a stream where they can: a thousand idle
// connections must not hold a thousand of each.
var (
	smalls  = sync.Pool{New: func() any { b := make([]byte, smallSize); return &b }}
	larges  = sync.Pool{New: func() any { b := make([]byte, largeSize); return &b }}
	readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, smallSize) }}
)

func getReader(r io.Reader) *bufio.Reader {
	br := readers.Get().(*bufio.Reader)
	br.Reset(r)
	return br
}

// putReader takes back a reader. One that was made for a large head is left to the garbage collector.
func putReader(br *bufio.Reader) {
	if br.Size() == smallSize {
		br.Reset(nil)
		readers.Put(br)
	}
}

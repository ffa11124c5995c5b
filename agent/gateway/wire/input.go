package wire

import (
	"net"
	"sync"
	"time"
)

// watchAfter is when a request begins to be watched for a client that hangs up. Most are answered before, so that they do not
// pay for a second goroutine.
const watchAfter = 5 * time.Millisecond

// past is a deadline that ends a read at once.
var past = time.Unix(1, 0)

// input is what comes in from a client. While a request is being answered nobody reads it, unless the request takes long: then
// a goroutine waits in a read of one byte, to learn that the client has gone. The byte is kept for the next request.
//
// A client that only shuts down its half for sending looks the same as one that has gone, to net/http and to nginx too. It
// gets its answer when that is there before watchAfter; a longer request ends.
type input struct {
	conn  net.Conn
	rest  func() // called when a watch begins: the request takes long
	gone  func() // called when the client has gone while it was watched
	saved []byte // read already, and to be handed out first
	one   [1]byte

	deadline time.Time // for reads, as it is set
	timer    *time.Timer

	mu    sync.Mutex
	state watch
	over  sync.Cond // state has left watching
	err   error     // what the watch ended with
}

type watch int

const (
	unwatched watch = iota
	armed           // the timer runs
	watching        // the read waits
	stopping        // it is being interrupted
)

func newInput(conn net.Conn) *input {
	in := &input{conn: conn}
	in.over.L = &in.mu
	return in
}

// Read implements io.Reader.
func (in *input) Read(p []byte) (int, error) {
	if len(in.saved) > 0 {
		n := copy(p, in.saved)
		in.saved = in.saved[n:]
		return n, nil
	}
	if in.err != nil {
		return 0, in.err
	}
	return in.conn.Read(p)
}

// readBy sets the time by which reads are to end. Setting one costs more than a look at the clock, so that a deadline which
// is no more than a quarter early is left as it is.
func (in *input) readBy(pause time.Duration) {
	now := time.Now()
	left := in.deadline.Sub(now)
	if left <= pause && left >= pause-pause/4 {
		return
	}
	in.deadline = now.Add(pause)
	_ = in.conn.SetReadDeadline(in.deadline)
}

func (in *input) readForever() {
	in.deadline = time.Time{}
	_ = in.conn.SetReadDeadline(in.deadline)
}

// wait waits for a byte with no buffer, and keeps it.
func (in *input) wait() error {
	if len(in.saved) > 0 {
		return nil
	}
	n, err := in.conn.Read(in.one[:])
	if n > 0 {
		in.saved = in.one[:]
		return nil
	}
	return err
}

// arm begins the time after which the client is watched. From here to disarm nobody may read.
func (in *input) arm() {
	in.mu.Lock()
	in.state = armed
	in.mu.Unlock()
	if in.timer == nil {
		in.timer = time.AfterFunc(watchAfter, in.watch)
	} else {
		in.timer.Reset(watchAfter)
	}
}

// watch is the timer's goroutine. One that comes late finds the next request armed, which it then watches a little early.
func (in *input) watch() {
	in.mu.Lock()
	if in.state != armed || len(in.saved) > 0 || in.err != nil {
		in.mu.Unlock()
		return
	}
	in.state = watching
	in.rest()
	in.readForever()
	in.mu.Unlock()
	n, err := in.conn.Read(in.one[:])
	in.mu.Lock()
	defer in.mu.Unlock()
	switch {
	case n > 0:
		in.saved = in.one[:] // the next request, sent early
	case in.state != stopping:
		in.err = err
		in.gone()
	}
	in.state = unwatched
	in.over.Broadcast()
}

// disarm ends the watch. Afterwards the input may be read again.
func (in *input) disarm() {
	in.mu.Lock()
	defer in.mu.Unlock()
	switch in.state {
	case armed:
		in.timer.Stop()
	case watching:
		in.state = stopping
		_ = in.conn.SetReadDeadline(past)
		for in.state == stopping {
			in.over.Wait()
		}
		in.readForever()
	}
	in.state = unwatched
}

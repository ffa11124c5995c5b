package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/tierd/tierd/agent/api/guardwire"
	"golang.org/x/sys/unix"
)

const (
	maxLine   = 256 << 10   // bytes of one line from tierd; a table of 32 tiers has 15 KiB
	maxQueue  = 64          // events that wait for tierd
	sendBound = time.Second // a tierd that takes longer to take a line is not there
)

// order is what came from tierd, or why nothing will any more.
type order struct {
	guardwire.Order
	from *os.File
	err  error
}

// link is the connection with tierd, and what is to be told as soon as there is one. It is the keeper's.
type link struct {
	path   string
	conn   *os.File
	orders chan order
	queue  []guardwire.Event
	lost   int // events that there was no room for
}

func newLink(path string) *link { return &link{path: path, orders: make(chan order, 4)} }

// dial connects if tierd is there. A unix socket answers at once, either way.
func (l *link) dial() error {
	if l.conn != nil {
		return nil
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("cannot make a socket: %w", err)
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: l.path}); err != nil {
		unix.Close(fd)
		return &os.PathError{Op: "connect", Path: l.path, Err: err}
	}
	l.conn = os.NewFile(uintptr(fd), l.path)
	go receive(l.conn, l.orders)
	return nil
}

// receive passes on what comes, until nothing does any more.
func receive(conn *os.File, orders chan<- order) {
	scan := bufio.NewScanner(conn)
	scan.Buffer(make([]byte, 0, 4<<10), maxLine)
	for scan.Scan() {
		o := order{from: conn}
		if err := json.Unmarshal(scan.Bytes(), &o.Order); err != nil {
			orders <- order{from: conn, err: fmt.Errorf("cannot read what tierd says: %w", err)}
			return
		}
		orders <- o
	}
	err := scan.Err()
	if errors.Is(err, bufio.ErrTooLong) {
		err = fmt.Errorf("tierd says a line of more than %d KiB", maxLine>>10)
	}
	orders <- order{from: conn, err: errors.Join(errClosed, err)}
}

var errClosed = errors.New("the connection with tierd has ended")

// connected tells whether there is somebody to tell.
func (l *link) connected() bool { return l.conn != nil }

// hangUp ends the connection; what was queued stays.
func (l *link) hangUp() {
	if l.conn != nil {
		l.conn.Close() // its receiver ends by itself
		l.conn = nil
	}
}

// add queues an event. Where there are too many the oldest go: the newest say how things are.
func (l *link) add(e guardwire.Event) {
	if len(l.queue) == maxQueue {
		l.queue = append(l.queue[:0], l.queue[1:]...)
		l.lost++
	}
	l.queue = append(l.queue, e)
}

// flush sends what is queued. An event is dropped from the queue once it was written as a whole.
func (l *link) flush() error {
	for l.conn != nil && len(l.queue) > 0 {
		if err := l.send(guardwire.Word{Event: &l.queue[0]}); err != nil {
			return err
		}
		l.queue = append(l.queue[:0], l.queue[1:]...)
	}
	return nil
}

// send writes one line. A tierd that is frozen takes none once its socket is full; then the connection is given up.
func (l *link) send(w guardwire.Word) error {
	if l.conn == nil {
		return errClosed
	}
	line, err := json.Marshal(w)
	if err != nil {
		return err
	}
	_ = l.conn.SetWriteDeadline(time.Now().Add(sendBound))
	if _, err := l.conn.Write(append(line, '\n')); err != nil {
		l.hangUp()
		return fmt.Errorf("tierd does not take what it is told: %w", err)
	}
	return nil
}

package wire

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Engine is a connection to an engine, for one request at a time.
type Engine struct {
	raw     net.Conn
	sys     syscall.RawConn // nil: not a socket
	br      *bufio.Reader
	room    int  // bytes that an answer's head may still have
	used    bool // it has given a whole answer
	heard   bool // a byte of the answer to the present request has come
	asking  time.Time
	discard time.Duration // discardTime but in tests
	writing chan error
	wrote   error
	asked   http.Request // its method is what http.ReadResponse has to know

	poll   [1]unix.PollFd
	polled func(fd uintptr) // made once
}

// NewEngine wraps a connection.
func NewEngine(raw net.Conn) *Engine {
	e := &Engine{raw: raw, discard: discardTime}
	if socket, ok := raw.(syscall.Conn); ok {
		e.sys, _ = socket.SyscallConn()
	}
	e.polled = func(fd uintptr) {
		e.poll[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN | unix.POLLRDHUP}
		if n, err := unix.Poll(e.poll[:], 0); err == nil && n == 0 {
			e.poll[0].Revents = 0
		} else {
			e.poll[0].Revents = unix.POLLERR
		}
	}
	return e
}

// engineInput bounds the head of an answer.
type engineInput struct{ *Engine }

var (
	errLargeAnswer = errors.New("the head of its answer is larger than 1 MiB")
	errStatus      = errors.New("its answer has a status below 100")
)

func (in engineInput) Read(p []byte) (int, error) {
	if in.room <= 0 {
		return 0, errLargeAnswer
	}
	n, err := in.raw.Read(p)
	in.room -= n
	if n > 0 {
		in.heard = true
	}
	return n, err
}

// Fit tells whether a kept connection can take a request: the engine has not closed it, and has said nothing unasked, which
// would be taken for the next answer.
func (e *Engine) Fit() bool {
	if e.br != nil && e.br.Buffered() > 0 {
		return false
	}
	if e.sys == nil {
		return true
	}
	return e.sys.Control(e.polled) == nil && e.poll[0].Revents == 0
}

// smallBody is what fits into the buffer of a unix socket whatever the engine does (its default size is 208 KiB).
const smallBody = 64 << 10

// UnreadError is the failure of a request that the engine closed the connection to before it had taken it: whatever became of
// the engine, it was not for that request.
type UnreadError struct{ Err error }

func (e *UnreadError) Error() string { return e.Err.Error() }

// Unwrap is for package errors.
func (e *UnreadError) Unwrap() error { return e.Err }

// Do sends a request, of which head is all up to the empty line, and reads the head of the answer, interim ones left out. The
// request's memory must not change before Done has returned. An *UnreadError says that the request can be sent again.
func (e *Engine) Do(method string, head []byte, body [][]byte) (*http.Response, error) {
	e.heard, e.wrote, e.asking = false, nil, time.Now()
	if e.br == nil {
		e.br = getReader(engineInput{e})
	}
	switch size := total(body); {
	case size <= smallSize:
		for _, part := range body {
			head = append(head, part...)
		}
		_, e.wrote = e.raw.Write(head)
	case size <= smallBody:
		e.wrote = e.write(head, body)
	default:
		// An engine may answer before it has read everything, and stop to read until its answer is taken.
		e.writing = make(chan error, 1)
		go func() { e.writing <- e.write(head, body) }()
	}
	res, err := e.answer(method)
	if err == nil || e.heard {
		return res, err
	}
	return nil, e.unread(err)
}

// discardTime is how long after a request a kept connection may end that the engine was about to close when it came: llama-server
// shuts its half after a stream and throws away what comes then, so that nothing is left unread.
const discardTime = 100 * time.Millisecond

// unread finds out whether an engine that closed the connection without a word had taken the request. It has not when the
// write failed. When all was written, the kernel resets a connection that is closed with something unread in it (true of
// unix sockets and of TCP), and else just ends it.
func (e *Engine) unread(err error) error {
	switch {
	case e.wrote != nil:
		return &UnreadError{e.wrote}
	case e.writing != nil && !e.written(true), errors.Is(err, syscall.ECONNRESET), e.used && time.Since(e.asking) < e.discard:
		return &UnreadError{err}
	}
	return err
}

func (e *Engine) write(head []byte, body [][]byte) error {
	all := make(net.Buffers, 0, 1+len(body))
	all = append(append(all, head), body...)
	_, err := all.WriteTo(e.raw)
	return err
}

func total(parts [][]byte) (size int) {
	for _, part := range parts {
		size += len(part)
	}
	return size
}

// answer reads the head of the answer. After a failed write too: what the engine said before it closed says why.
func (e *Engine) answer(method string) (*http.Response, error) {
	e.room = maxEngine
	e.asked.Method = method
	for {
		res, err := http.ReadResponse(e.br, &e.asked)
		if err != nil {
			if e.room <= 0 {
				err = errLargeAnswer
			}
			return nil, err
		}
		if res.StatusCode < 100 {
			return nil, errStatus
		}
		if res.StatusCode >= 200 || res.StatusCode == http.StatusSwitchingProtocols {
			e.room = int(^uint(0) >> 1)
			return res, nil
		}
	}
}

// Sending tells, after Do, that the engine has not read the whole request yet.
func (e *Engine) Sending() bool { return e.writing != nil }

func (e *Engine) buffered() int { return e.br.Buffered() }

// Done ends a request and tells whether the connection can take another. whole: the answer was read to its end. When it cannot
// it is closed, and nothing of the request's memory is used any more.
func (e *Engine) Done(res *http.Response, whole bool) bool {
	keep := whole && res != nil && !res.Close && e.wrote == nil && e.br.Buffered() == 0
	if e.writing != nil {
		keep = e.written(keep) && keep
	}
	e.used = true
	if !keep {
		e.Close()
	}
	return keep
}

// writeGrace is for the goroutine that writes to say that it is done, when the engine has answered already.
const writeGrace = 5 * time.Millisecond

// written ends the writing of the request and tells whether all of it was written.
func (e *Engine) written(grace bool) bool {
	defer func() { e.writing = nil }()
	if grace {
		pause := time.NewTimer(writeGrace)
		defer pause.Stop()
		select {
		case err := <-e.writing:
			return err == nil
		case <-pause.C: // the engine answers without having read the request
		}
	}
	_ = e.raw.Close()
	<-e.writing
	return false
}

// Rest gives the buffer back until the next request.
func (e *Engine) Rest() {
	if e.br != nil {
		putReader(e.br)
		e.br = nil
	}
}

// Close closes the connection. It may be called while a request is under way, which then fails.
func (e *Engine) Close() error { return e.raw.Close() }

// Join passes bytes both ways between an engine that has changed its protocol and a client, until one of them ends.
func (e *Engine) Join(client net.Conn) {
	done := make(chan struct{}, 2)
	pass := func(to io.Writer, from io.Reader) {
		_, _ = io.Copy(to, from)
		done <- struct{}{}
	}
	go pass(e.raw, client)
	go pass(client, e.br)
	<-done
	_ = client.Close()
	_ = e.raw.Close()
	<-done
}

// takenConn is a client's connection of which some bytes were read already.
type takenConn struct {
	net.Conn
	br *bufio.Reader
}

func (c *takenConn) Read(p []byte) (int, error) { return c.br.Read(p) }

// AppendRequest begins the head of a request to an engine.
func AppendRequest(b []byte, method, uri, host string) []byte {
	b = append(append(b, method...), ' ')
	b = append(append(b, uri...), " HTTP/1.1\r\n"...)
	return AppendField(b, "Host", host)
}

// AppendEnd ends the head of a request with the length of its body.
func AppendEnd(b []byte, method string, body [][]byte) []byte {
	if size := total(body); size > 0 || method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch {
		b = append(strconv.AppendInt(append(b, "Content-Length: "...), int64(size), 10), "\r\n"...)
	}
	return append(b, "\r\n"...)
}

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// idleConnections opens connections on which nothing is asked, half of them after one request, up to the gateway's limit,
// and beyond: who comes then has to be told so.
func (a *abuser) idleConnections() (string, error) {
	var open []net.Conn
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	for i := range a.idle {
		c, err := net.Dial("tcp", a.address)
		if err != nil {
			return "", err
		}
		open = append(open, c)
		if i%2 == 0 {
			if _, err := newSmallAsker(c, i).ask(nil); err != nil {
				return "", fmt.Errorf("connection %d: %w", i, err)
			}
		}
	}
	time.Sleep(a.linger)
	const beyond = 10
	served, refused := 0, 0
	for range spare - goodClients + beyond {
		c, err := net.Dial("tcp", a.address)
		if err != nil {
			return "", err
		}
		open = append(open, c)
		s := newSmallAsker(c, 0)
		if _, err := s.Write(s.request); err != nil {
			return "", err
		}
		switch status, body, err := s.read(); {
		case err != nil:
			return "", fmt.Errorf("a connection about the limit got no answer: %w", err)
		case status == 200:
			served++
		case status == 503 && bytes.Contains(body, []byte("too_many_connections")):
			refused++
		default:
			return "", fmt.Errorf("a connection about the limit got status %d: %s", status, body)
		}
	}
	answers := fmt.Sprintf("%d more served, %d beyond the limit refused by 503", served, refused)
	if refused != beyond {
		return "", errors.New("of connections about the limit, " + answers)
	}
	return answers, nil
}

// slowConn is a connection whose owner is slow until it is told to be quick.
type slowConn struct {
	net.Conn
	step  int           // bytes a read, or a write, at most
	pause time.Duration // after each
	free  int           // bytes that may be written before
	quick atomic.Bool
}

// hurry makes it an ordinary connection, with an ordinary window.
func (c *slowConn) hurry() {
	_ = c.Conn.(*net.TCPConn).SetReadBuffer(1 << 20)
	c.quick.Store(true)
}

func (c *slowConn) Read(p []byte) (int, error) {
	if c.quick.Load() {
		return c.Conn.Read(p)
	}
	time.Sleep(c.pause)
	return c.Conn.Read(p[:min(len(p), c.step)])
}

// slowWriter makes writes slow in place of reads.
type slowWriter struct{ *slowConn }

func (c slowWriter) Read(p []byte) (int, error) { return c.Conn.Read(p) }

func (c slowWriter) Write(p []byte) (int, error) {
	free := min(c.free, len(p))
	written, err := c.Conn.Write(p[:free])
	c.free -= written
	for err == nil && written < len(p) {
		step := c.step
		if c.quick.Load() {
			step = len(p)
		} else {
			time.Sleep(c.pause)
		}
		var n int
		n, err = c.Conn.Write(p[written:min(len(p), written+step)])
		written += n
	}
	return written, err
}

// slow is one slow client. Only what it gets before it is hung up on counts.
type slow struct {
	asker
	*slowConn
}

// hold lets all be slow at the same time. Then some become quick, and must get right answers; the rest hangs up, or waits
// for the gateway to end it.
func (a *abuser) hold(slows []slow, ends func(i int) bool) (string, error) {
	var (
		wait     sync.WaitGroup
		good     = make([]error, len(slows))
		hungUp   atomic.Bool
		early    atomic.Int64
		quickly  = max(len(slows)/20, 1)
		isQuick  = func(i int) bool { return i%(len(slows)/quickly) == 0 }
		atQuick  sync.WaitGroup
		timedOut atomic.Int64
	)
	for i, s := range slows {
		if isQuick(i) {
			atQuick.Add(1)
		}
		wait.Go(func() {
			_, good[i] = s.ask(nil)
			switch {
			case isQuick(i):
				atQuick.Done()
			case ends(i):
				timedOut.Add(1)
			case !hungUp.Load():
				early.Add(1)
			}
		})
	}
	time.Sleep(a.linger)
	for i, s := range slows {
		if isQuick(i) {
			s.hurry()
		}
	}
	atQuick.Wait()
	hungUp.Store(true)
	for i, s := range slows {
		if !isQuick(i) && !ends(i) {
			s.Conn.Close()
		}
	}
	wait.Wait()
	for i, s := range slows {
		s.Conn.Close()
		if err := good[i]; isQuick(i) && err != nil {
			return "", fmt.Errorf("one that became quick: %w", err)
		}
	}
	if n := early.Load(); n > 0 {
		return "", fmt.Errorf("%d of %d were done or ended while they were slow: %w", n, len(slows), errors.Join(good...))
	}
	answers := fmt.Sprintf("%d became quick and got it all", quickly)
	if n := timedOut.Load(); n > 0 {
		answers += fmt.Sprintf(", %d were ended as too slow", n)
	}
	return answers, nil
}

// slowReaders ask for large answers and for streams without pauses, and take a few KiB a second of them.
func (a *abuser) slowReaders() (string, error) {
	slows := make([]slow, a.readers)
	for i := range slows {
		c, err := a.dialSlow()
		if err != nil {
			return "", err
		}
		c.step, c.pause = 512, 50*time.Millisecond
		if i%2 == 0 {
			slows[i] = slow{newLargeAsker(c, 8<<20), c}
		} else {
			slows[i] = slow{newStreamAsker(c, 30_000, 0), c}
		}
	}
	return a.hold(slows, func(int) bool { return false })
}

// slowWriters send a byte now and then, of the header or of a body that is said to have 5 MiB.
func (a *abuser) slowWriters() (string, error) {
	slows := make([]slow, a.writers)
	for i := range slows {
		c, err := a.dialSlow()
		if err != nil {
			return "", err
		}
		c.step, c.pause = 1, 100*time.Millisecond
		if i%2 == 1 {
			c.free = 64 << 10
			slows[i] = slow{newUploadAsker(slowWriter{c}), c}
		} else {
			slows[i] = slow{newSmallAsker(slowWriter{c}, i), c}
		}
	}
	// A header has to be there in some seconds; a body may take as long as it likes, if only it does not stand still.
	return a.hold(slows, func(i int) bool { return a.patient && i%2 == 0 })
}

// dialSlow connects with a small window, so that what is not read stays with the gateway and the engine.
func (a *abuser) dialSlow() (*slowConn, error) {
	c, err := net.Dial("tcp", a.address)
	if err != nil {
		return nil, err
	}
	return &slowConn{Conn: c}, c.(*net.TCPConn).SetReadBuffer(64 << 10)
}

// largeAsker asks for one large answer and checks its every byte.
type largeAsker struct {
	*httpAsker
	size int
}

func newLargeAsker(c net.Conn, size int) *largeAsker {
	return &largeAsker{newHTTPAsker(c, fmt.Sprintf("%s?bytes=%d", largePath, size), []byte(`{"model":"coder"}`)), size}
}

func (a *largeAsker) ask(latencies []int64) ([]int64, error) {
	res, err := a.send()
	if err != nil {
		return latencies, err
	}
	got := 0
	for piece := make([]byte, len(pattern)); ; {
		n, err := io.ReadFull(res.Body, piece)
		if !bytes.Equal(piece[:n], pattern[:n]) {
			return latencies, fmt.Errorf("bytes %d to %d are wrong", got, got+n)
		}
		got += n
		if err == io.EOF || err == io.ErrUnexpectedEOF && got == a.size {
			break
		}
		if err != nil {
			return latencies, fmt.Errorf("after %d bytes: %w", got, err)
		}
	}
	if got != a.size {
		return latencies, fmt.Errorf("got %d of %d bytes", got, a.size)
	}
	return latencies, nil
}

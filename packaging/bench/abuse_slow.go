package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
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

// hurry gives it an ordinary window, and some MiB a second: more would be a load of its own on a few cores.
func (c *slowConn) hurry() {
	_ = c.Conn.(*net.TCPConn).SetReadBuffer(1 << 20)
	c.quick.Store(true)
}

func (c *slowConn) Read(p []byte) (int, error) {
	if c.quick.Load() {
		time.Sleep(2 * time.Millisecond)
		return c.Conn.Read(p[:min(len(p), 8<<10)])
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

// slow is one slow client.
type slow struct {
	asker
	*slowConn
	fate  fate
	done  chan struct{} // closed with the end of its request
	err   error
	early bool // it was over before anybody hung up
}

// fate is what becomes of a slow client in the end.
type fate int

const (
	hangsUp fate = iota
	hurries      // and must get what it asked for
	ends         // by the gateway, which gives it up
)

// fateOf has two of forty hurry, one of each kind of slow client.
func fateOf(i int) fate {
	if i%40 < 2 {
		return hurries
	}
	return hangsUp
}

// hold lets all be slow at the same time, and then each meet its fate. They hurry one after the other.
func (a *abuser) hold(slows []*slow) (string, error) {
	var hungUp atomic.Bool
	for _, s := range slows {
		s.done = make(chan struct{})
		go func() {
			defer close(s.done)
			_, s.err = s.ask(nil)
			s.early = !hungUp.Load()
		}()
	}
	time.Sleep(a.linger)
	for _, s := range slows {
		if s.fate == hurries {
			s.hurry()
			<-s.done
		}
	}
	hungUp.Store(true)
	for _, s := range slows {
		if s.fate == hangsUp {
			s.Conn.Close()
		}
	}
	for _, s := range slows {
		<-s.done
	}
	return judgeSlow(slows)
}

func judgeSlow(slows []*slow) (string, error) {
	counts := map[fate]int{}
	for _, s := range slows {
		s.Conn.Close()
		counts[s.fate]++
		switch {
		case s.fate == hurries && s.err != nil:
			return "", fmt.Errorf("one that hurried: %w", s.err)
		case s.fate == hangsUp && s.early:
			return "", fmt.Errorf("one was over while it was slow: %v", s.err)
		case s.fate == ends && s.err == nil:
			return "", errors.New("one that was too slow was served")
		}
	}
	answers := fmt.Sprintf("%d hurried and got it all", counts[hurries])
	if n := counts[ends]; n > 0 {
		answers += fmt.Sprintf(", %d were given up as too slow", n)
	}
	return answers, nil
}

// slowReaders ask for large answers and for streams without pauses, and take a few KiB a second of them.
func (a *abuser) slowReaders() (string, error) {
	slows := make([]*slow, a.readers)
	for i := range slows {
		c, err := a.dialSlow()
		if err != nil {
			return "", err
		}
		c.step, c.pause = 512, 50*time.Millisecond
		slows[i] = &slow{asker: newLargeAsker(c, 4<<20), slowConn: c, fate: fateOf(i)}
		if i%2 == 1 {
			slows[i].asker = newStreamAsker(c, 15_000, 0)
		}
	}
	return a.hold(slows)
}

// slowWriters send a byte now and then, of the header or of a body that is said to have 5 MiB.
func (a *abuser) slowWriters() (string, error) {
	slows := make([]*slow, a.writers)
	for i := range slows {
		c, err := a.dialSlow()
		if err != nil {
			return "", err
		}
		c.step, c.pause = 1, 100*time.Millisecond
		slows[i] = &slow{asker: newSmallAsker(slowWriter{c}, i), slowConn: c, fate: fateOf(i)}
		switch {
		case i%2 == 1:
			c.free = 64 << 10
			slows[i].asker = newUploadAsker(slowWriter{c})
		case a.patient && slows[i].fate == hangsUp:
			// A header has to be there in some seconds; a body may take as long as it likes, if only it does not stand still.
			slows[i].fate = ends
		}
	}
	return a.hold(slows)
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

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// statuses counts answers by status; 0 is a connection that ended without one.
type statuses struct {
	mu     sync.Mutex
	counts map[int]int
}

func (s *statuses) add(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counts == nil {
		s.counts = map[int]int{}
	}
	s.counts[status]++
}

func (s *statuses) String() string {
	var words []string
	for _, status := range slices.Sorted(maps.Keys(s.counts)) {
		name := fmt.Sprint(status)
		if status == 0 {
			name = "none"
		}
		words = append(words, fmt.Sprintf("%d × %s", s.counts[status], name))
	}
	return strings.Join(words, ", ")
}

// parallel does n things, some at a time, and returns the first error.
func parallel(n int, do func(i int) error) error {
	const workers = 16
	next := make(chan int)
	errs := make(chan error, workers)
	for range workers {
		go func() {
			var first error
			for i := range next {
				if err := do(i); err != nil && first == nil {
					first = fmt.Errorf("number %d: %w", i, err)
				}
			}
			errs <- first
		}()
	}
	for i := range n {
		next <- i
	}
	close(next)
	var all []error
	for range workers {
		all = append(all, <-errs)
	}
	return errors.Join(all...)
}

// cutBodies sends a body to its middle. Half of the clients still wait for the answer, which has to be 400; the others
// are gone.
func (a *abuser) cutBodies() (string, error) {
	var seen statuses
	err := parallel(a.cut, func(i int) error {
		c, err := net.Dial("tcp", a.address)
		if err != nil {
			return err
		}
		defer c.Close()
		h := newHTTPAsker(c, uploadPath, uploadBody())
		size := len(h.head) + len(h.body)*(i+1)/(a.cut+1)
		if _, err := c.Write(slices.Concat(h.head, h.body)[:size]); err != nil {
			return err
		}
		if i%2 == 0 {
			return nil
		}
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			return err
		}
		_ = c.SetReadDeadline(time.Now().Add(patience))
		res, err := http.ReadResponse(h.in, h.request)
		if err != nil {
			return err
		}
		seen.add(res.StatusCode)
		if res.StatusCode != http.StatusBadRequest {
			return fmt.Errorf("status %d for half a body", res.StatusCode)
		}
		return nil
	})
	return seen.String(), err
}

// longHeaders sends 1 MiB of header: as one line, as many, and as the request's path.
func (a *abuser) longHeaders() (string, error) {
	const size = 1 << 20
	one := "GET /v1/models HTTP/1.1\r\nHost: localhost\r\nX-Long: " + strings.Repeat("a", size) + "\r\n\r\n"
	line := "X-Many: " + strings.Repeat("b", 100) + "\r\n"
	many := "GET /v1/models HTTP/1.1\r\nHost: localhost\r\n" + strings.Repeat(line, size/len(line)) + "\r\n"
	path := "GET /" + strings.Repeat("c", size) + " HTTP/1.1\r\nHost: localhost\r\n\r\n"
	var seen statuses
	err := parallel(a.headers, func(i int) error {
		sent := []string{one, many, path}[i%3]
		got, err := a.exchange([]byte(sent))
		if err != nil {
			return err
		}
		if len(got) != 1 || got[0].status != http.StatusRequestHeaderFieldsTooLarge && got[0].status != http.StatusRequestURITooLong {
			return fmt.Errorf("answers %v for a header of 1 MiB that begins with %.20q", got, sent)
		}
		seen.add(got[0].status)
		return nil
	})
	return seen.String(), err
}

// randomBytes sends what is no request at all.
func (a *abuser) randomBytes() (string, error) {
	return a.feed(a.random/2, func(random *rand.Rand) []byte {
		sent := make([]byte, 1+random.IntN(4<<10))
		for i := range sent {
			sent[i] = byte(random.Uint32())
		}
		return sent
	})
}

// mutatedRequests sends what was a request before it was spoiled.
func (a *abuser) mutatedRequests() (string, error) { return a.feed(a.random-a.random/2, mutated) }

// feed sends streams and looks at what comes back: nothing, or answers that are whole and blame the client. Each stream is
// made by a generator with a seed of its own, so that one which is told of can be made again.
func (a *abuser) feed(n int, make func(*rand.Rand) []byte) (string, error) {
	var seen statuses
	err := parallel(n, func(i int) error {
		sent := make(rand.New(rand.NewPCG(uint64(n), uint64(i))))
		got, err := a.exchange(sent)
		if err != nil {
			return fmt.Errorf("%w; it was sent %q", err, sent)
		}
		if len(got) == 0 {
			seen.add(0)
		}
		for _, one := range got {
			seen.add(one.status)
			if err := one.check(sent); err != nil {
				return fmt.Errorf("%w; it was sent %q", err, sent)
			}
		}
		return nil
	})
	return seen.String(), err
}

// answered is one answer on a connection.
type answered struct {
	status int
	body   []byte
}

// check wants an answer that belongs to what was sent.
func (r answered) check(sent []byte) error {
	switch {
	case r.status == http.StatusOK:
		if len(r.body) == len(smallBody) {
			id := r.body[idAt:][:idLength]
			if !bytes.Contains(sent, id) && !bytes.Equal(id, noID) {
				return fmt.Errorf("it got another request's answer: %q", r.body)
			}
		}
		return nil
	case r.status >= 400 && r.status < 500, r.status == http.StatusNotImplemented, r.status == http.StatusHTTPVersionNotSupported:
		return nil
	}
	return fmt.Errorf("status %d: %s", r.status, r.body)
}

// exchange sends bytes on a connection of their own and reads every answer to the connection's end. It ends its own side
// when nothing has come for a pause and no answer is under way: the gateway waits for more. That it goes away without an answer
// is fine.
func (a *abuser) exchange(sent []byte) ([]answered, error) {
	c, err := net.Dial("tcp", a.address)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	go func() { _, _ = c.Write(sent) }() // the answer may come before it has all been taken
	var all bytes.Buffer
	end := time.Now().Add(patience)
	for waits := true; waits; {
		_ = c.SetReadDeadline(time.Now().Add(a.pause))
		_, err = all.ReadFrom(c)
		if waits = isTimeout(err); waits {
			// To close in the middle of an answer would cut it.
			_, broken := readAnswers(all.Bytes())
			waits = broken != nil && time.Now().Before(end)
		}
	}
	if isTimeout(err) {
		_ = c.(*net.TCPConn).CloseWrite()
		_ = c.SetReadDeadline(time.Now().Add(patience))
		_, err = all.ReadFrom(c)
	}
	if isTimeout(err) {
		return nil, fmt.Errorf("the gateway still holds a connection %v after the client's end of it", patience)
	}
	return readAnswers(all.Bytes())
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

// patience is more than the gateway gives a client to send a header.
const patience = 20 * time.Second

// readAnswers reads what came on one connection.
func readAnswers(all []byte) ([]answered, error) {
	var list []answered
	in := bufio.NewReader(bytes.NewReader(all))
	for {
		if _, err := in.Peek(1); err != nil {
			return list, nil
		}
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			return list, fmt.Errorf("what came back is no answer: %w: %.200q", err, all)
		}
		body, err := io.ReadAll(res.Body)
		if err != nil {
			return list, fmt.Errorf("an answer is not whole: %w: %.200q", err, all)
		}
		if res.StatusCode != http.StatusContinue {
			list = append(list, answered{res.StatusCode, body})
		}
	}
}

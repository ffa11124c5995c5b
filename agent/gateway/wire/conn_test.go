package wire

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// onPipe has a server serve a pipe, whose time is synctest's.
func onPipe(s *Server) (client net.Conn, closed chan error) {
	client, server := net.Pipe()
	l := newOneListener(server)
	go s.Serve(l)
	closed = make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, client)
		closed <- err
	}()
	l.Close()
	return client, closed
}

func TestAClientHasABoundedTime(t *testing.T) {
	for rule, c := range map[string]struct {
		sent  []string // one after the other, with `every` between them
		every time.Duration
		after time.Duration // from the last one to the end
	}{
		"for its first byte":             {nil, 0, HeaderPause},
		"for the rest of a head":         {[]string{"GET / HTTP/1.1\r\n", "Host: a\r\n"}, 4 * time.Second, HeaderPause - 4*time.Second},
		"between requests":               {[]string{string(lines("GET / HTTP/1.1", "Host: a"))}, 0, IdlePause},
		"between the bytes of a body":    {[]string{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n", "abc", "def"}, 25 * time.Second, BodyPause},
		"for the head of a later one":    {[]string{string(lines("GET / HTTP/1.1", "Host: a")), "GET / HT"}, time.Minute, HeaderPause},
		"for a later one's first letter": {[]string{string(lines("GET / HTTP/1.1", "Host: a")), "G"}, time.Second, HeaderPause},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
				if _, err := io.Copy(io.Discard, r.Body); err != nil {
					panic(http.ErrAbortHandler)
				}
			})
			client, closed := onPipe(s)
			for i, text := range c.sent {
				if i > 0 {
					time.Sleep(c.every)
				}
				if _, err := io.WriteString(client, text); err != nil {
					t.Fatalf("%s: %v", rule, err)
				}
			}
			start := time.Now()
			<-closed
			// A deadline may have been set a quarter early, see input.readBy.
			if took := time.Since(start); took > c.after+time.Second || took < c.after-c.after/4-time.Second {
				t.Errorf("%s: the end came after %v, want %v", rule, took, c.after)
			}
		})
	}
}

func TestAClientThatHangsUpEndsItsContext(t *testing.T) {
	arrived, ended := make(chan struct{}), make(chan error, 1)
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		close(arrived)
		<-r.Context().Done()
		ended <- context.Cause(r.Context())
	})
	c := dialTCP(t, listen(t, s))
	c.Write(lines("POST / HTTP/1.1", "Host: a", "Content-Length: 3", "", "abc")[:])
	<-arrived
	c.Close()
	select {
	case err := <-ended:
		if !errors.Is(err, ErrClientGone) {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(patience):
		t.Fatal("the request goes on for nobody")
	}
}

func TestARequestSentDuringALongOneIsNotLost(t *testing.T) {
	first, letGo := make(chan *Response, 1), make(chan struct{})
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/1" {
			first <- Of(w)
			<-letGo
		}
		io.WriteString(w, r.URL.Path)
	})
	c := dialTCP(t, listen(t, s))
	c.Write(lines("GET /1 HTTP/1.1", "Host: a"))
	in := (<-first).c.in
	waitFor(t, "the client is watched", func() bool { in.mu.Lock(); defer in.mu.Unlock(); return in.state == watching })
	c.Write(lines("GET /2 HTTP/1.1", "Host: a"))
	waitFor(t, "the watch has ended with a byte", func() bool { in.mu.Lock(); defer in.mu.Unlock(); return in.state == unwatched })
	close(letGo)
	br := bufio.NewReader(c)
	for _, want := range []string{"/1", "/2"} {
		res, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(res.Body); err != nil || string(body) != want {
			t.Fatalf("got %q, %v; want %q", body, err, want)
		}
	}
}

// A watch that nothing came of must leave the connection as it was.
func TestAWatchedConnectionIsUsedAgain(t *testing.T) {
	var in *input
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		in = Of(w).c.in
		waitFor(t, "the client is watched", func() bool { in.mu.Lock(); defer in.mu.Unlock(); return in.state == watching })
	})
	c := dialTCP(t, listen(t, s))
	br := bufio.NewReader(c)
	for range 3 {
		c.Write(lines("GET / HTTP/1.1", "Host: a"))
		if res, err := http.ReadResponse(br, nil); err != nil || res.StatusCode != 200 {
			t.Fatal(res, err)
		}
	}
}

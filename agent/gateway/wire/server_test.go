package wire

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// listen has a server listen on TCP, and returns its address.
func listen(t *testing.T, s *Server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(l)
	t.Cleanup(func() { l.Close(); s.Close() })
	return l.Addr().String()
}

func dialTCP(t *testing.T, at string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c.(*net.TCPConn)
}

var dateLine = regexp.MustCompile(`Date: [^\r]*GMT\r\n`)

func TestAnswersAreFramedForTheirClient(t *testing.T) {
	handlers := map[string]http.HandlerFunc{
		"short": func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Content-Type"] = nil
			io.WriteString(w, "short")
		},
		"flushed": func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "a")
			w.(http.Flusher).Flush()
			io.WriteString(w, "b")
		},
		"empty": func(w http.ResponseWriter, r *http.Request) {},
		"length": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "5")
			io.WriteString(w, "12345")
		},
		"none": func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(204) },
		"odd":  func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(299) },
	}
	for _, c := range []struct{ request, want string }{
		{"GET /short HTTP/1.1", "HTTP/1.1 200 OK\nContent-Type: text/plain; charset=utf-8\nContent-Length: 5\n\nshort"},
		{"HEAD /short HTTP/1.1", "HTTP/1.1 200 OK\nContent-Length: 5\n\n"},
		{"GET /short HTTP/1.0", "HTTP/1.0 200 OK\nContent-Type: text/plain; charset=utf-8\nContent-Length: 5\n\nshort"},
		{"GET /flushed HTTP/1.1", "HTTP/1.1 200 OK\nContent-Type: text/plain; charset=utf-8\nTransfer-Encoding: chunked\n\n1\na\n1\nb\n0\n\n"},
		{"GET /flushed HTTP/1.0", "HTTP/1.0 200 OK\nContent-Type: text/plain; charset=utf-8\n\nab"},
		{"HEAD /flushed HTTP/1.1", "HTTP/1.1 200 OK\n\n"},
		{"GET /empty HTTP/1.1", "HTTP/1.1 200 OK\nContent-Length: 0\n\n"},
		{"GET /length HTTP/1.1", "HTTP/1.1 200 OK\nContent-Type: text/plain; charset=utf-8\nContent-Length: 5\n\n12345"},
		{"GET /none HTTP/1.1", "HTTP/1.1 204 No Content\n\n"},
		{"GET /odd HTTP/1.1", "HTTP/1.1 299 status code 299\nContent-Length: 0\n\n"},
	} {
		s := newServer(t, func(w http.ResponseWriter, r *http.Request) { handlers[r.URL.Path[1:]](w, r) })
		got := string(exchangeBytes(t, through(t, s), lines(c.request, "Host: a")))
		if !dateLine.MatchString(got) {
			t.Errorf("%s: no date in %q", c.request, got)
		}
		got = strings.ReplaceAll(dateLine.ReplaceAllString(got, ""), "\r\n", "\n")
		if got != c.want {
			t.Errorf("%s:\n%q, want\n%q", c.request, got, c.want)
		}
	}
}

func TestAConnectionIsKeptOrClosed(t *testing.T) {
	for rule, c := range map[string]struct {
		request []string
		kept    bool
		says    string
	}{
		"HTTP/1.1 is kept":                     {[]string{"GET / HTTP/1.1", "Host: a"}, true, ""},
		"unless the client wants to close":     {[]string{"GET / HTTP/1.1", "Host: a", "Connection: close"}, false, "Connection: close"},
		"HTTP/1.0 is closed":                   {[]string{"GET / HTTP/1.0"}, false, ""},
		"unless the client wants to keep it":   {[]string{"GET / HTTP/1.0", "Connection: keep-alive"}, true, "Connection: keep-alive"},
		"an answer without a length ends it":   {[]string{"GET /flush HTTP/1.0", "Connection: keep-alive"}, false, ""},
		"a handler may end it":                 {[]string{"GET /close HTTP/1.1", "Host: a"}, false, "Connection: close"},
		"a small body that nobody read":        {[]string{"POST /unread HTTP/1.1", "Host: a", "Content-Length: 3", "", "abc"}, true, ""},
		"a body that was waited with":          {[]string{"POST /unread HTTP/1.1", "Host: a", "Content-Length: 3", "Expect: 100-continue"}, false, "Connection: close"},
		"a body larger than worth reading":     {[]string{"POST /unread HTTP/1.1", "Host: a", "Content-Length: 3000000"}, false, "Connection: close"},
		"less than the length that was told":   {[]string{"GET /short HTTP/1.1", "Host: a"}, false, ""},
		"a panic":                              {[]string{"GET /panic HTTP/1.1", "Host: a"}, false, ""},
		"an answer that was broken off, early": {[]string{"GET /abort HTTP/1.1", "Host: a"}, false, ""},
	} {
		s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/flush":
				w.(http.Flusher).Flush()
			case "/close":
				w.Header().Set("Connection", "close")
			case "/short":
				w.Header().Set("Content-Length", "5")
				io.WriteString(w, "123")
			case "/panic":
				panic("on purpose")
			case "/abort":
				panic(http.ErrAbortHandler)
			case "/unread":
			default:
				io.Copy(io.Discard, r.Body)
			}
		})
		request := append(lines(c.request...), lines("GET /second HTTP/1.1", "Host: a")...)
		if len(c.request) > 4 && c.request[len(c.request)-1] == "abc" {
			request = append(request[:len(request)-len(lines("GET /second HTTP/1.1", "Host: a"))-4], lines("GET /second HTTP/1.1", "Host: a")...)
		}
		got := string(exchangeBytes(t, through(t, s), request))
		if kept := strings.Count(got, "HTTP/1.") == 2; kept != c.kept || !strings.Contains(got, c.says) {
			t.Errorf("%s: kept %v: %q", rule, kept, got)
		}
	}
}

func TestWhatIsNoRequestIsRefused(t *testing.T) {
	for rule, c := range map[string]struct {
		request []byte
		want    string
	}{
		"a head that is too large":          {lines("GET / HTTP/1.1", "Host: a", "X: "+strings.Repeat("a", MaxHead)), "431"},
		"a line that never ends":            {[]byte(strings.Repeat("a", 2*MaxHead)), "431"},
		"no host":                           {lines("GET / HTTP/1.1"), "400"},
		"two hosts":                         {lines("GET / HTTP/1.1", "Host: a", "Host: a"), "400"},
		"a host that is none":               {lines("GET / HTTP/1.1", "Host: a/b"), "400"},
		"a name with a space":               {lines("GET / HTTP/1.1", "Host: a", "Content-Length : 1", "", "a"), "400"},
		"a value with a control character":  {lines("GET / HTTP/1.1", "Host: a", "X: \x01"), "400"},
		"an unknown coding":                 {lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: gzip"), "501"},
		"two codings":                       {lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), "501"},
		"HTTP/2":                            {lines("PRI * HTTP/2.0", "", "SM"), "505"},
		"an unknown expectation":            {lines("POST / HTTP/1.1", "Host: a", "Expect: more", "Content-Length: 1", "", "a"), "417"},
		"both ways to tell a length":        {lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "Content-Length: 5", "", "0"), "400"},
		"two lengths":                       {lines("POST / HTTP/1.1", "Host: a", "Content-Length: 1", "Content-Length: 2", "", "ab"), "400"},
		"a negative length":                 {lines("POST / HTTP/1.1", "Host: a", "Content-Length: -1"), "400"},
		"a header over two lines":           {lines("GET / HTTP/1.1", "Host: a", "X: 1", "\t2"), "400"},
		"TLS":                               {[]byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\n"), "400"},
		"a head that was cut off":           {[]byte("GET / HTTP/1.1\r\nHos"), "400"},
		"nothing":                           {nil, ""},
		"no request of HTTP/0.9":            {lines("GET /"), "400"},
		"and the bytes after it are no new": {append(lines("GET / HTTP/1.1"), lines("GET / HTTP/1.1", "Host: a")...), "400"},
	} {
		s := newServer(t, func(w http.ResponseWriter, r *http.Request) { t.Errorf("%s: it was handed on", rule) })
		got := strings.Join(statuses(exchangeBytes(t, through(t, s), c.request)), " ")
		if got != c.want {
			t.Errorf("%s: got %q, want %q", rule, got, c.want)
		}
	}
}

func TestALargeHeadIsReadWhole(t *testing.T) {
	var rec recorder
	large := strings.Repeat("x", MaxHead-200)
	sent := append(lines("POST /1 HTTP/1.1", "Host: a", "X: "+large, "Content-Length: 3", "", "abc")[:], nil...)
	sent = append(sent[:len(sent)-4], lines("GET /2 HTTP/1.1", "Host: a", "", "GET /3 HTTP/1.1", "Host: a")...)
	got := exchangeBytes(t, through(t, newServer(t, rec.ServeHTTP)), sent)
	if len(rec.requests) != 3 || rec.requests[0].Body != "abc" || len(rec.requests[0].Header[1]) != len(large)+2 {
		t.Fatalf("%d requests, answers %.300q", len(rec.requests), got)
	}
}

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

func TestAClientThatWaitsToSendIsToldToGoOn(t *testing.T) {
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		fmt.Fprint(w, string(body), err)
	})
	c := dialTCP(t, listen(t, s))
	c.Write(lines("POST / HTTP/1.1", "Host: a", "Expect: 100-continue", "Content-Length: 3"))
	br := bufio.NewReader(c)
	if res, err := http.ReadResponse(br, nil); err != nil || res.StatusCode != 100 {
		t.Fatal(res, err)
	}
	io.WriteString(c, "abc")
	res, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, _ := io.ReadAll(res.Body); res.StatusCode != 200 || string(body) != "abc<nil>" || res.Close {
		t.Errorf("%d %q, closes: %v", res.StatusCode, body, res.Close)
	}
}

func TestAShutdownEndsWhatHasNoRequestAndWaitsForTheRest(t *testing.T) {
	arrived, letGo := make(chan struct{}), make(chan struct{})
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/long" {
			close(arrived)
			<-letGo
		}
	})
	at := listen(t, s)
	idleOne, busyOne := dialTCP(t, at), dialTCP(t, at)
	idleOne.Write(lines("GET / HTTP/1.1", "Host: a"))
	in := bufio.NewReader(idleOne)
	if res, err := http.ReadResponse(in, nil); err != nil || res.Close {
		t.Fatal(res, err)
	}
	busyOne.Write(lines("GET /long HTTP/1.1", "Host: a"))
	<-arrived
	ended := make(chan error, 1)
	go func() { ended <- s.Shutdown(t.Context()) }()
	if _, err := in.ReadByte(); err != io.EOF {
		t.Errorf("the idle connection: %v", err)
	}
	select {
	case err := <-ended:
		t.Fatalf("it ended before its request: %v", err)
	default:
	}
	close(letGo)
	if res, err := http.ReadResponse(bufio.NewReader(busyOne), nil); err != nil || !res.Close {
		t.Errorf("the request in flight: %+v, %v", res, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestAShutdownHasABound(t *testing.T) {
	arrived, ended := make(chan struct{}), make(chan struct{})
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
		close(ended)
	})
	dialTCP(t, listen(t, s)).Write(lines("GET / HTTP/1.1", "Host: a"))
	<-arrived
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	s.Close()
	<-ended
}

func TestAnAnswerWithoutALengthIsCutByAReset(t *testing.T) {
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "half")
		w.(http.Flusher).Flush()
		Of(w).Abort()
	})
	c := dialTCP(t, listen(t, s))
	c.Write(lines("GET / HTTP/1.0"))
	if body, err := io.ReadAll(c); err == nil {
		t.Errorf("ended cleanly with %q", body)
	}
}

// A wrapper, as one that counts would be.
type wrapped struct{ http.ResponseWriter }

func (w wrapped) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func TestTheResponseIsFoundBehindAWrapper(t *testing.T) {
	inner := &Response{}
	if Of(wrapped{wrapped{inner}}) != inner || Of(nil) != nil {
		t.Error("it is not")
	}
}

func TestAHandlersOwnDeadlineHoldsForItsAnswerAlone(t *testing.T) {
	failed := make(chan error, 1)
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/late" {
			http.NewResponseController(w).SetWriteDeadline(past)
			io.WriteString(w, "too late")
			failed <- http.NewResponseController(w).Flush()
		} else if r.URL.Path == "/soon" {
			http.NewResponseController(w).SetWriteDeadline(time.Now().Add(patience))
		}
	})
	got := exchangeBytes(t, through(t, s), lines("GET /soon HTTP/1.1", "Host: a", "", "GET / HTTP/1.1", "Host: a", "", "GET /late HTTP/1.1", "Host: a"))
	if err := <-failed; !isTimeout(err) || strings.Count(string(got), "200 OK") != 2 {
		t.Errorf("%v, %q", err, got)
	}
}

func TestTheMemoryOfACrowdIsGivenBackOnce(t *testing.T) {
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {})
	at := listen(t, s)
	var all []net.Conn
	for range crowd + 20 {
		all = append(all, dialTCP(t, at))
	}
	most := func() (most, now int) { s.mu.Lock(); defer s.mu.Unlock(); return s.most, len(s.conns) }
	waitFor(t, "all are connected", func() bool { most, _ := most(); return most == crowd+20 })
	for _, c := range all {
		c.Close()
	}
	waitFor(t, "all have gone", func() bool { _, now := most(); return now == 0 })
	if most, _ := most(); most != (crowd+20)/8 {
		t.Errorf("counts from %d on", most)
	}
}

func TestAClientThatSendsTooMuchCanReadWhy(t *testing.T) {
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) { t.Error("it was handed on") })
	at := listen(t, s)
	for range 20 {
		c := dialTCP(t, at)
		go c.Write(lines("GET / HTTP/1.1", "Host: a", "X: "+strings.Repeat("a", 1<<20)))
		if res, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || res.StatusCode != 431 {
			t.Fatal(res, err)
		}
	}
}

package wire

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
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

package wire

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// throughNetHTTP has net/http's server serve one connection to its end.
func throughNetHTTP(h http.Handler) func(net.Conn) {
	return func(c net.Conn) {
		closed := make(chan struct{})
		server := &http.Server{
			Handler: h, MaxHeaderBytes: MaxHead, DisableGeneralOptionsHandler: true, ErrorLog: log.New(io.Discard, "", 0),
			ConnState: func(_ net.Conn, state http.ConnState) {
				if state == http.StateClosed {
					close(closed)
				}
			},
		}
		l := newOneListener(c)
		go server.Serve(l)
		<-closed
		l.Close()
	}
}

// seeds are byte streams that have been read in two ways by some pair of programs.
var seeds = [][]byte{
	lines("GET / HTTP/1.1", "Host: a"),
	lines("GET /a HTTP/1.1", "Host: a", "", "POST /b HTTP/1.1", "Host: b", "Content-Length: 3", "", "abcGET /c HTTP/1.1", "Host: c"),
	lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "", "3", "abc", "0", "", "GET /next HTTP/1.1", "Host: a"),
	lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "", "3;ext=\"a\"", "abc", "0", "X-Trailer: 1", "", "GET /next HTTP/1.1", "Host: a"),
	lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "Content-Length: 3", "", "0"),
	lines("POST / HTTP/1.1", "Host: a", "Content-Length: 3", "Content-Length: 3", "", "abc"),
	lines("POST / HTTP/1.1", "Host: a", "Content-Length: 3", "Content-Length: 4", "", "abcd"),
	lines("POST / HTTP/1.1", "Host: a", "Content-Length: +3", "", "abc"),
	lines("POST / HTTP/1.1", "Host: a", "Content-Length: 3, 3", "", "abc"),
	lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: xchunked", "", "0"),
	lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "Transfer-Encoding: identity", "", "0"),
	lines("POST / HTTP/1.0", "Transfer-Encoding: chunked", "Content-Length: 3", "", "abc"),
	[]byte("GET / HTTP/1.1\nHost: a\n\nGET /2 HTTP/1.1\nHost: a\n\n"),
	lines("GET / HTTP/1.1", "Host: a", "X: one", " two"),
	lines("GET / HTTP/1.1", "Host : a"),
	lines("GET / HTTP/1.1", "Host: a", "X : 1"),
	lines("GET / HTTP/1.1"),
	lines("GET / HTTP/1.1", "Host: a", "Host: b"),
	lines("GET / HTTP/1.1", "Host:"),
	lines("GET / HTTP/1.1", "Host: a b"),
	lines("GET http://other/x HTTP/1.1", "Host: a"),
	lines("GET http://other/x HTTP/1.1"),
	lines("CONNECT a:1 HTTP/1.1", "Host: a"),
	lines("CONNECT a:1 HTTP/1.1"),
	lines("OPTIONS * HTTP/1.1", "Host: a"),
	lines("GET / HTTP/1.0", "Connection: keep-alive", "", "GET /2 HTTP/1.0"),
	lines("GET / HTTP/1.1", "Host: a", "Connection: close", "", "GET /2 HTTP/1.1", "Host: a"),
	lines("POST / HTTP/1.1", "Host: a", "Expect: 100-continue", "Content-Length: 3", "", "abc"),
	lines("POST / HTTP/1.1", "Host: a", "Expect: nonsense", "Content-Length: 3", "", "abc"),
	lines("POST / HTTP/1.1", "Host: a", "Content-Length: 30", "", "cut off"),
	lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "", "30", "cut off"),
	lines("GET / HTTP/2.0", "Host: a"),
	lines("PRI * HTTP/2.0", "", "SM"),
	lines("GET / HTTP/1.2", "Host: a"),
	lines("GET / HTTP/0.9"),
	lines("GET /", "Host: a"),
	lines("GET  / HTTP/1.1", "Host: a"),
	lines("G@T / HTTP/1.1", "Host: a"),
	lines("GET / HTTP/1.1", "Host: a", "X: a\x00b"),
	lines("GET / HTTP/1.1", "Host: a", "X: a\rb"),
	lines("GET / HTTP/1.1", "Host: a", ": b"),
	lines("GET / HTTP/1.1", " X: folded first", "Host: a"),
	lines("POST / HTTP/1.1", "Host: a", "Content-Length: 2", "", "ab\r\nGET /2 HTTP/1.1", "Host: a"),
	[]byte("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
	[]byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
	[]byte("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n"),
	[]byte("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n"),
	[]byte("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\tchunked \r\n\r\n3 \r\nabc\r\n0\r\n\r\n"),
	lines("GET / HTTP/1.1", "Host: a", "Upgrade: websocket", "Connection: Upgrade"),
}

// stricter tells that a byte stream holds something that net/http's server hands on and this one refuses, by intent; see
// head.check.
func stricter(sent []byte) bool {
	return slices.ContainsFunc([]string{"\n ", "\n\t", "PRI", "ransfer-"}, func(mark string) bool {
		if mark == "ransfer-" { // Content-Length beside Transfer-Encoding
			lower := bytes.ToLower(sent)
			return bytes.Contains(lower, []byte("transfer-encoding")) && bytes.Contains(lower, []byte("content-length"))
		}
		return bytes.Contains(sent, []byte(mark))
	})
}

// compareServers feeds the bytes to both servers and returns how they differ.
func compareServers(t testing.TB, sent []byte) string {
	var ours, theirs recorder
	got := exchangeBytes(t, through(t, newServer(t, ours.ServeHTTP)), sent)
	want := exchangeBytes(t, throughNetHTTP(&theirs), sent)
	switch {
	case !reflect.DeepEqual(ours.requests, theirs.requests):
		return "requests\n" + texts(ours.requests) + "instead of\n" + texts(theirs.requests)
	case !slices.Equal(statuses(got), statuses(want)):
		return "statuses " + strings.Join(statuses(got), " ") + " instead of " + strings.Join(statuses(want), " ")
	}
	return ""
}

func texts(requests []seen) (all string) {
	for _, r := range requests {
		all += fmt.Sprintf("  %+v\n", r)
	}
	return all
}

func TestAgreementWithNetHTTP(t *testing.T) {
	for _, sent := range seeds {
		if diff := compareServers(t, sent); diff != "" && !stricter(sent) {
			t.Errorf("%q: %s", sent, diff)
		}
	}
}

// FuzzAgreement holds the server to net/http's: the same requests with the same bodies reach the handler, and the same statuses
// come back. Where it is stricter by intent it may only refuse: it must see a beginning of what net/http sees.
func FuzzAgreement(f *testing.F) {
	for _, seed := range seeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		if len(sent) > MaxHead/2 {
			return // the limits of both are near, not equal
		}
		if !stricter(sent) {
			if diff := compareServers(t, sent); diff != "" {
				t.Fatalf("%q: %s", sent, diff)
			}
			return
		}
		var ours, theirs recorder
		exchangeBytes(t, through(t, newServer(t, ours.ServeHTTP)), sent)
		exchangeBytes(t, throughNetHTTP(&theirs), sent)
		if len(ours.requests) > len(theirs.requests) || !reflect.DeepEqual(ours.requests, theirs.requests[:len(ours.requests)]) && len(ours.requests) > 0 {
			t.Fatalf("%q: requests\n%sinstead of the first of\n%s", sent, texts(ours.requests), texts(theirs.requests))
		}
	})
}

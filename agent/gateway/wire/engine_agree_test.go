package wire

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"reflect"
	"testing"
	"time"
)

// heard is what came of an answer.
type heard struct {
	Failed  bool
	Status  int
	Header  http.Header
	Length  int64
	Body    string
	Broken  bool
	Trailer http.Header
}

func hear(res *http.Response, err error) heard {
	if err != nil || res.StatusCode < 100 { // http.Transport lets those pass, on which its server would panic
		return heard{Failed: true}
	}
	h := heard{Status: res.StatusCode, Header: res.Header, Length: res.ContentLength}
	if res.StatusCode == http.StatusSwitchingProtocols {
		return h // what follows is no longer HTTP
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	h.Body, h.Broken = string(body), err != nil
	if len(res.Trailer) > 0 {
		h.Trailer = res.Trailer
	}
	return h
}

// scripted is an engine that reads one request and says these bytes.
func scripted(t testing.TB, says []byte) net.Conn {
	client, server := pair(t)
	go func() {
		defer server.Close()
		if r, err := http.ReadRequest(bufio.NewReader(server)); err == nil {
			io.Copy(io.Discard, r.Body)
			server.Write(says)
		}
	}()
	client.SetDeadline(time.Now().Add(patience))
	return client
}

// compareEngines has the bytes read by an Engine and by http.Transport.
func compareEngines(t testing.TB, method string, says []byte) (ours, theirs heard) {
	conn := scripted(t, says)
	defer conn.Close()
	e := NewEngine(conn)
	head := AppendEnd(AppendRequest(nil, method, "/", "engine"), method, nil)
	ours = hear(e.Do(method, head, nil))

	transport := &http.Transport{
		DisableCompression: true, MaxResponseHeaderBytes: maxEngine,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return scripted(t, says), nil },
	}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequest(method, "http://engine/", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := transport.RoundTrip(r)
	theirs = hear(res, err)
	if err == nil {
		res.Body.Close()
	}
	return ours, theirs
}

var answers = [][]byte{
	lines("HTTP/1.1 200 OK", "Content-Length: 3", "", "abc"),
	lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "", "3", "abc", "0"),
	lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "Trailer: X-Sum", "", "3", "abc", "0", "X-Sum: 1"),
	lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "", "3", "abc"),
	lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "Content-Length: 3", "", "3", "abc", "0"),
	lines("HTTP/1.1 200 OK", "Transfer-Encoding: gzip, chunked", "", "3", "abc", "0"),
	lines("HTTP/1.1 200 OK", "Content-Length: 3", "Content-Length: 4", "", "abcd"),
	lines("HTTP/1.1 200 OK", "Content-Length: 10", "", "abc"),
	lines("HTTP/1.1 200 OK", "", "to the end"),
	lines("HTTP/1.0 200 OK", "", "to the end"),
	lines("HTTP/1.1 204 No Content"),
	lines("HTTP/1.1 304 Not Modified", "Content-Length: 10"),
	lines("HTTP/1.1 100 Continue", "", "HTTP/1.1 103 Early Hints", "Link: x", "", "HTTP/1.1 200 OK", "Content-Length: 0"),
	lines("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket", "", "bytes"),
	lines("HTTP/1.1 200"),
	lines("HTTP/1.1 2000 OK"),
	lines("HTTP/1.1 -20 OK"),
	lines("HTTP/2.0 200 OK", "Content-Length: 0"),
	lines("HTTP/1.1 200 OK", "X Y: 1", "Content-Length: 0"),
	lines("HTTP/1.1 200 OK", "X: 1", " folded", "Content-Length: 0"),
	lines("HTTP/1.1 200 OK", "no colon"),
	lines("ICY 200 OK"),
	[]byte("HTTP/1.1 200 OK\nContent-Length: 3\n\nabc"),
	[]byte("HTTP/1.1 200 OK\r\nConte"),
	[]byte("\x00\x01"),
	nil,
}

func TestAgreementWithTransport(t *testing.T) {
	for _, method := range []string{"GET", "HEAD"} {
		for _, says := range answers {
			if ours, theirs := compareEngines(t, method, says); !reflect.DeepEqual(ours, theirs) {
				t.Errorf("%s %q:\n%+v instead of\n%+v", method, says, ours, theirs)
			}
		}
	}
}

// FuzzAnswers holds Engine to http.Transport.
func FuzzAnswers(f *testing.F) {
	for _, says := range answers {
		f.Add(says, false)
	}
	f.Fuzz(func(t *testing.T, says []byte, head bool) {
		method := "GET"
		if head {
			method = "HEAD"
		}
		if ours, theirs := compareEngines(t, method, says); !reflect.DeepEqual(ours, theirs) {
			t.Fatalf("%s %q:\n%+v instead of\n%+v", method, says, ours, theirs)
		}
	})
}

package wire

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// playing has a function play the engine of a connection.
func playing(t *testing.T, play func(c net.Conn, in *bufio.Reader)) *Engine {
	t.Helper()
	client, server := pair(t)
	t.Cleanup(func() { client.Close(); server.Close() })
	client.SetDeadline(time.Now().Add(patience))
	go play(server, bufio.NewReader(server))
	return NewEngine(client)
}

// ask puts one request with these parts of a body.
func ask(e *Engine, body ...[]byte) (*http.Response, error) {
	return e.Do("POST", AppendEnd(AppendRequest(nil, "POST", "/x", "engine"), "POST", body), body)
}

func TestABodyReachesTheEngineInOnePiece(t *testing.T) {
	for _, size := range []int{0, 10, smallSize, smallSize + 1, smallBody, smallBody + 1, 3 << 20} {
		e := playing(t, func(c net.Conn, in *bufio.Reader) {
			for {
				r, err := http.ReadRequest(in)
				if err != nil {
					return
				}
				body, _ := io.ReadAll(r.Body)
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: "+strconv.Itoa(len(body))+"\r\n\r\n")
				c.Write(body)
			}
		})
		text := bytes.Repeat([]byte("0123456789"), size/10+1)[:size]
		for range 2 { // on one connection
			if !e.Fit() {
				t.Fatal("the connection takes no request")
			}
			res, err := ask(e, text[:size/3], text[size/3:size/2], text[size/2:])
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(res.Body)
			if err != nil || !bytes.Equal(got, text) {
				t.Fatalf("%d bytes came back of %d, %v", len(got), size, err)
			}
			if !e.Done(res, true) {
				t.Errorf("after %d bytes the connection is not kept", size)
			}
			e.Rest()
		}
	}
}

func TestAnEngineMayAnswerBeforeItHasReadTheBody(t *testing.T) {
	body := bytes.Repeat([]byte("x"), 4<<20)
	for rule, play := range map[string]func(c net.Conn, in *bufio.Reader){
		"and close": func(c net.Conn, in *bufio.Reader) {
			in.Peek(1)
			io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!")
			c.Close()
		},
		"and read no further": func(c net.Conn, in *bufio.Reader) {
			in.Peek(1)
			io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!")
		},
		"with more than fits into the socket": func(c net.Conn, in *bufio.Reader) {
			in.Peek(1)
			io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: "+strconv.Itoa(len(body))+"\r\n\r\n")
			c.Write(body)
			io.Copy(io.Discard, in)
		},
	} {
		e := playing(t, play)
		res, err := ask(e, body)
		if err != nil {
			t.Errorf("%s: %v", rule, err)
			continue
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != 413 {
			t.Errorf("%s: %d, %v", rule, res.StatusCode, err)
		}
		e.Done(res, true) // returns only when nobody reads body any more
		clear(body[:1])
		body[0] = 'x'
	}
}

func TestWhichConnectionsAreKept(t *testing.T) {
	for rule, c := range map[string]struct {
		says string
		kept bool
	}{
		"a length":                    {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", true},
		"chunks":                      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", true},
		"no body":                     {"HTTP/1.1 204 No Content\r\n\r\n", true},
		"interim answers before it":   {"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", true},
		"the engine will close":       {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\na", false},
		"HTTP/1.0":                    {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", false},
		"more than the answer":        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab", false},
		"the beginning of a next one": {"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200", false},
	} {
		e := playing(t, func(conn net.Conn, in *bufio.Reader) {
			http.ReadRequest(in)
			io.WriteString(conn, c.says)
			in.Peek(1)
		})
		res, err := ask(e)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, res.Body)
		if kept := e.Done(res, err == nil); kept != c.kept {
			t.Errorf("%s: kept %v", rule, kept)
		}
	}
}

func TestAKeptConnectionMustBeQuiet(t *testing.T) {
	say := make(chan string)
	e := playing(t, func(c net.Conn, in *bufio.Reader) {
		for text := range say {
			if text == "" {
				c.Close()
			} else {
				io.WriteString(c, text)
			}
			say <- "done"
		}
	})
	if !e.Fit() {
		t.Error("a quiet connection is not fit")
	}
	say <- "HTTP/1.1 408 Request Timeout\r\n\r\n"
	<-say
	if e.Fit() {
		t.Error("what the engine said unasked would be taken for the next answer")
	}
	closed := playing(t, func(c net.Conn, _ *bufio.Reader) { c.Close() })
	waitFor(t, "a connection that the engine closed is not fit", func() bool { return !closed.Fit() })
}

func TestOnlyARequestThatWasNotTakenIsUnread(t *testing.T) {
	large := bytes.Repeat([]byte("x"), 8<<20)
	for rule, c := range map[string]struct {
		body   []byte
		engine func(c net.Conn, in *bufio.Reader)
		unread bool // when the engine took its time
	}{
		"nothing was read": {nil, func(c net.Conn, in *bufio.Reader) { arrived(c) }, true},
		"closed before":    {nil, func(c net.Conn, in *bufio.Reader) {}, true},
		"half a large one": {large, func(c net.Conn, in *bufio.Reader) { io.CopyN(io.Discard, in, 1<<20) }, true},
		"it was read":      {nil, func(c net.Conn, in *bufio.Reader) { http.ReadRequest(in) }, false},
		"a large one was read": {large, func(c net.Conn, in *bufio.Reader) {
			r, _ := http.ReadRequest(in)
			io.Copy(io.Discard, r.Body)
		}, false},
		"the answer had begun": {nil, func(c net.Conn, in *bufio.Reader) {
			arrived(c)
			io.WriteString(c, "HTTP/1.1 2")
		}, false},
	} {
		for _, how := range []struct {
			kept    bool
			discard time.Duration
		}{{false, time.Hour}, {true, 0}, {true, time.Hour}} {
			kept := how.kept
			e := playing(t, func(conn net.Conn, in *bufio.Reader) {
				if kept {
					http.ReadRequest(in)
					io.WriteString(conn, "HTTP/1.1 204 No Content\r\n\r\n")
				}
				c.engine(conn, in)
				conn.Close()
			})
			if kept {
				if res, err := ask(e); err != nil || !e.Done(res, true) {
					t.Fatal(err)
				}
			}
			e.discard = how.discard
			_, err := ask(e, c.body)
			_, unread := errors.AsType[*UnreadError](err)
			if want := c.unread || kept && how.discard > 0 && !e.heard; err == nil || unread != want {
				t.Errorf("%s, %+v: %v, unread %v", rule, how, err, unread)
			}
		}
	}
}

// arrived waits until a request is there, and reads nothing of it.
func arrived(c net.Conn) {
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Read(func(fd uintptr) bool {
		n, _, err := unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK)
		return n > 0 || err == nil
	})
}

func TestTheHeadOfAnAnswerIsBounded(t *testing.T) {
	e := playing(t, func(c net.Conn, in *bufio.Reader) {
		http.ReadRequest(in)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", maxEngine+smallSize)+"\r\n\r\n")
	})
	if _, err := ask(e); !errors.Is(err, errLargeAnswer) {
		t.Errorf("got %v", err)
	}
	endless := playing(t, func(c net.Conn, in *bufio.Reader) {
		http.ReadRequest(in)
		for {
			if _, err := io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n"); err != nil {
				return
			}
		}
	})
	if _, err := ask(endless); !errors.Is(err, errLargeAnswer) {
		t.Errorf("interim answers without an end: %v", err)
	}
}

func TestAFieldIsOneLine(t *testing.T) {
	if got := string(AppendField(nil, "X", "a\r\nEvil: b\rc")); got != "X: a  Evil: b c\r\n" {
		t.Errorf("got %q", got)
	}
}

func TestABodyHasAsMuchMemoryAsItNeeds(t *testing.T) {
	for _, size := range []int{0, 1, smallSize, smallSize + 1, mapFrom, mapFrom + 1, 5 << 20} {
		b, err := NewBlock(size)
		if err != nil || len(b.Bytes) < size {
			t.Fatalf("%d bytes for %d, %v", len(b.Bytes), size, err)
		}
		for i := range b.Bytes[:size] {
			b.Bytes[i] = byte(i)
		}
		if err := b.Use(size); err != nil {
			t.Fatal(err)
		}
		before := len(b.Bytes)
		if err := b.Grow(size); err != nil || len(b.Bytes) < 2*before {
			t.Fatalf("grew from %d to %d, %v", before, len(b.Bytes), err)
		}
		for i, got := range b.Bytes[:size] {
			if got != byte(i) {
				t.Fatalf("byte %d of %d was lost", i, size)
			}
		}
		b.Free()
		b.Free() // the second time it has nothing
	}
	if n := counted.Load(); n != 0 {
		t.Errorf("%d bytes are counted of bodies that are gone", n)
	}
}

func TestAllBodiesTogetherAreBounded(t *testing.T) {
	var all []*Block
	defer func() {
		for _, b := range all {
			b.Free()
		}
	}()
	for {
		b, err := NewBlock(256 << 20)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
		if len(all) <= 4 {
			continue // a length that is only claimed counts for nothing
		}
		for n, b := range all {
			if err := b.Use(256 << 20); (err == nil) != (n < 4) || err != nil && !errors.Is(err, ErrNoRoom) {
				t.Errorf("body %d: %v", n, err)
			}
		}
		return
	}
}

func TestMemoryThatNobodyWantsIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s spares
		b, err := NewBlock(1 << 20)
		if err != nil {
			t.Fatal(err)
		}
		memory := b.Bytes
		s.put(memory)
		if s.take(2<<20) != nil || s.take(1<<20) == nil || s.bytes != 0 {
			t.Errorf("what was put was not what is taken; %d bytes are left", s.bytes)
		}
		s.put(memory)
		time.Sleep(keepFor + time.Millisecond)
		synctest.Wait()
		if s.take(1<<20) != nil || s.bytes != 0 {
			t.Error("it is kept for ever")
		}
	})
}

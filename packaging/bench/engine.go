package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

// Paths of the scripted engine.
const (
	smallPath  = "/v1/chat/completions"
	streamPath = "/v1/completions" // ?events=N&every=DURATION
	uploadPath = "/v1/embeddings"
	largePath  = "/v1/large" // ?bytes=N
)

const maxLarge = 16 << 20

// castagnoli has an instruction of its own on most processors.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// runEngine serves the same over TCP and over a unix socket, until SIGTERM. It writes the TCP port to stdout.
func runEngine(kind, socket string) error {
	serve, err := listenerOf(kind)
	if err != nil {
		return err
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	local, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	for _, l := range []net.Listener{tcp, local} {
		go func() { fmt.Fprintln(os.Stderr, "engine:", serve(l)) }()
	}
	fmt.Println(tcp.Addr().(*net.TCPAddr).Port)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	<-stop
	return nil
}

func acceptAll(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			e := &engineConn{Conn: c, in: bufio.NewReaderSize(c, 64<<10), small: smallAnswer()}
			if err := e.serve(); err != nil {
				fmt.Fprintln(os.Stderr, "engine:", err)
			}
		}()
	}
}

// engineConn is one connection. The requests on it are those of a proxy that is trusted here to send what it got: a head
// and a body of a length that the head tells.
type engineConn struct {
	net.Conn
	in    *bufio.Reader
	small []byte // this connection's copy of the small answer, for an id
	idAt  int
	body  []byte
}

func smallAnswer() []byte {
	head := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", len(smallBody))
	return append([]byte(head), smallBody...)
}

// serve answers requests until the peer goes away, which is no error between requests.
func (e *engineConn) serve() error {
	e.idAt = len(e.small) - len(smallBody) + idAt
	for {
		head, err := e.head()
		if err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
				return nil
			}
			return err
		}
		length, err := contentLength(head)
		if err != nil {
			return err
		}
		target, err := targetOf(head)
		if err != nil {
			return err
		}
		if _, err = e.in.Discard(len(head)); err != nil {
			return err
		}
		if err := e.answer(target, length); err != nil {
			return nil // the peer went away in the middle: a client that hung up, or one that is being stopped
		}
	}
}

// head returns the next request's head, which stays in the buffer.
func (e *engineConn) head() ([]byte, error) {
	for have := 1; ; have = e.in.Buffered() + 1 {
		if _, err := e.in.Peek(have); err != nil {
			return nil, err
		}
		buffered, _ := e.in.Peek(e.in.Buffered())
		if end := bytes.Index(buffered, headEnd); end >= 0 {
			return buffered[:end+len(headEnd)], nil
		}
	}
}

// targetOf returns the path and the query of a head's first line.
func targetOf(head []byte) (*url.URL, error) {
	line, _, _ := bytes.Cut(head, []byte("\r\n"))
	words := bytes.Split(line, []byte(" "))
	if len(words) != 3 {
		return nil, fmt.Errorf("%q is no request line", line)
	}
	if string(words[1]) == smallPath {
		return smallTarget, nil
	}
	return url.ParseRequestURI(string(words[1]))
}

var smallTarget = &url.URL{Path: smallPath}

func (e *engineConn) answer(target *url.URL, length int) error {
	switch target.Path {
	case smallPath:
		return e.answerSmall(length)
	case uploadPath:
		return e.answerUpload(length)
	}
	if _, err := e.in.Discard(length); err != nil {
		return err
	}
	query := target.Query()
	switch target.Path {
	case streamPath:
		events, err := strconv.Atoi(query.Get("events"))
		every, everyErr := time.ParseDuration(query.Get("every"))
		if err != nil || everyErr != nil {
			return e.refuse("400 Bad Request")
		}
		return e.answerStream(events, every)
	case largePath:
		size, err := strconv.Atoi(query.Get("bytes"))
		if err != nil || size < 0 || size > maxLarge {
			return e.refuse("400 Bad Request")
		}
		return e.answerLarge(size)
	}
	return e.refuse("404 Not Found")
}

func (e *engineConn) refuse(status string) error {
	_, err := fmt.Fprintf(e, "HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n", status)
	return err
}

// answerSmall says the request's id again, so that an answer which went to another client is seen.
func (e *engineConn) answerSmall(length int) error {
	if cap(e.body) < length {
		e.body = make([]byte, length)
	}
	body := e.body[:length]
	if _, err := io.ReadFull(e.in, body); err != nil {
		return err
	}
	copy(e.small[e.idAt:], noID)
	if at := bytes.Index(body, idMark); at >= 0 && at+len(idMark)+idLength <= len(body) {
		copy(e.small[e.idAt:], body[at+len(idMark):][:idLength])
	}
	_, err := e.Write(e.small)
	return err
}

// answerUpload tells the length and the checksum of what came.
func (e *engineConn) answerUpload(length int) error {
	sum := uint32(0)
	for left := length; left > 0; {
		if _, err := e.in.Peek(1); err != nil {
			return err
		}
		piece, _ := e.in.Peek(min(e.in.Buffered(), left))
		sum = crc32.Update(sum, castagnoli, piece)
		left -= len(piece)
		_, _ = e.in.Discard(len(piece)) // they are in the buffer
	}
	body := uploadAnswer(length, sum)
	_, err := fmt.Fprintf(e, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	return err
}

func uploadAnswer(length int, sum uint32) string {
	return fmt.Sprintf(`{"object":"list","bytes":%d,"crc":%d}`, length, sum)
}

// answerStream sends each event in a chunk and a write of its own, as engines do.
func (e *engineConn) answerStream(events int, every time.Duration) error {
	if _, err := io.WriteString(e, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"); err != nil {
		return err
	}
	size := fmt.Sprintf("%x\r\n", len(event)+2)
	chunk := append(append([]byte(size), event...), "\n\n\r\n"...)
	line := chunk[len(size):]
	start := time.Now()
	for n := range events {
		time.Sleep(time.Until(start.Add(time.Duration(n) * every)))
		putNumber(line[eventNumber:][:numberSize], int64(n))
		putNumber(line[eventTime:][:numberSize], monotonic())
		if _, err := e.Write(chunk); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(e, "%x\r\n%s\n\n\r\n0\r\n\r\n", len(lastEvent)+2, lastEvent)
	return err
}

// answerLarge sends as many bytes as are asked for.
func (e *engineConn) answerLarge(size int) error {
	if _, err := fmt.Fprintf(e, "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n", size); err != nil {
		return err
	}
	for left := size; left > 0; left -= len(pattern) {
		if _, err := e.Write(pattern[:min(left, len(pattern))]); err != nil {
			return err
		}
	}
	return nil
}

// pattern is what large bodies are made of; its length is prime, so that a lost or doubled block of any even size shows.
var pattern = func() []byte {
	p := make([]byte, 65521)
	for i := range p {
		p[i] = byte('a' + i*i%23)
	}
	return p
}()

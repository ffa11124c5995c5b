package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// idMark stands before a request's id in its body.
var idMark = []byte(`"user":"`)

// smallAsker sends a request like a short chat's. It reads the answer by hand: net/http's client would take more time than
// what is measured.
type smallAsker struct {
	net.Conn
	request []byte
	idAt    int
	want    []byte
	buffer  []byte
	next    int64
}

func newSmallAsker(c net.Conn, number int) *smallAsker {
	body := append([]byte(`{"model":"coder",`), idMark...)
	at := len(body)
	body = append(body, zeros(idLength)...)
	body = append(body, `","max_tokens":200,"temperature":0,"messages":[{"role":"system","content":"You name the coasts that a lighthouse stands on."},`...)
	body = append(body, `{"role":"user","content":"Which coasts have more than one lighthouse, and who pays for the light?"}]}`...)
	head := requestHead(smallPath, c.RemoteAddr().String(), len(body))
	return &smallAsker{
		Conn: c, request: append(head, body...), idAt: len(head) + at, want: bytes.Clone(smallBody),
		buffer: make([]byte, 16<<10), next: int64(number) * 1e9,
	}
}

// requestHead has the headers that OpenAI's clients send.
func requestHead(target, host string, length int) []byte {
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nAccept: application/json\r\n"+
		"User-Agent: OpenAI/JS 6.1.0\r\nAuthorization: Bearer none\r\nContent-Length: %d\r\n\r\n", target, host, length)
}

func (a *smallAsker) close() { a.Close() }

func (a *smallAsker) ask(latencies []int64) ([]int64, error) {
	a.next++
	putNumber(a.request[a.idAt:][:idLength], a.next)
	copy(a.want[idAt:], a.request[a.idAt:][:idLength])
	start := time.Now()
	if _, err := a.Write(a.request); err != nil {
		return latencies, err
	}
	status, body, err := a.read()
	took := time.Since(start)
	switch {
	case err != nil:
		return latencies, fmt.Errorf("no whole answer: %w", err)
	case status != http.StatusOK:
		return latencies, fmt.Errorf("status %d: %s", status, body)
	case !bytes.Equal(body, a.want):
		return latencies, fmt.Errorf("the answer is wrong: %q", body)
	}
	return append(latencies, int64(took)), nil
}

// read reads an answer whose length its head tells.
func (a *smallAsker) read() (status int, body []byte, err error) {
	have, need, bodyAt := 0, -1, 0
	for need < 0 || have < need {
		if have == len(a.buffer) {
			return 0, nil, errors.New("the answer is too long")
		}
		n, err := a.Read(a.buffer[have:])
		if err != nil {
			return 0, nil, err
		}
		have += n
		if end := bytes.Index(a.buffer[:have], headEnd); need < 0 && end >= 0 {
			length, err := contentLength(a.buffer[:end])
			if err != nil {
				return 0, nil, err
			}
			if status, err = statusOf(a.buffer[:end]); err != nil {
				return 0, nil, err
			}
			bodyAt = end + len(headEnd)
			need = bodyAt + length
		}
	}
	if have > need {
		return 0, nil, errors.New("there is more than one answer")
	}
	return status, a.buffer[bodyAt:have], nil
}

// httpAsker is for what net/http does not slow down: long answers and large bodies.
type httpAsker struct {
	net.Conn
	in      *bufio.Reader
	request *http.Request // for ReadResponse
	head    []byte
	body    []byte
}

func newHTTPAsker(c net.Conn, target string, body []byte) *httpAsker {
	head := requestHead(target, c.RemoteAddr().String(), len(body))
	return &httpAsker{c, bufio.NewReaderSize(c, 32<<10), &http.Request{Method: http.MethodPost}, head, body}
}

func (a *httpAsker) close() { a.Close() }

// send sends the request and reads the answer's head.
func (a *httpAsker) send() (*http.Response, error) {
	parts := net.Buffers{a.head, a.body}
	if _, err := parts.WriteTo(a.Conn); err != nil {
		return nil, err
	}
	res, err := http.ReadResponse(a.in, a.request)
	if err != nil {
		return nil, fmt.Errorf("no answer: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 1<<10))
		return nil, fmt.Errorf("status %d: %s", res.StatusCode, text)
	}
	return res, nil
}

// uploadAsker sends a request of 5 MiB.
type uploadAsker struct {
	*httpAsker
	want string
}

// uploadBody is shared by all who send it.
var uploadBody = sync.OnceValue(func() []byte {
	const size, end = 5 << 20, `"}`
	body := make([]byte, 0, size)
	body = append(body, `{"model":"coder","input":"`...)
	for len(body) < size-len(end) {
		body = append(body, pattern[:min(len(pattern), size-len(end)-len(body))]...)
	}
	return append(body, end...)
})

func newUploadAsker(c net.Conn) *uploadAsker {
	body := uploadBody()
	return &uploadAsker{newHTTPAsker(c, uploadPath, body), uploadAnswer(len(body), crc32.Checksum(body, castagnoli))}
}

func (a *uploadAsker) ask(latencies []int64) ([]int64, error) {
	start := time.Now()
	res, err := a.send()
	if err != nil {
		return latencies, err
	}
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return latencies, err
	}
	took := time.Since(start)
	if string(answer) != a.want {
		return latencies, fmt.Errorf("the engine got another body: %s, not %s", answer, a.want)
	}
	return append(latencies, int64(took)), nil
}

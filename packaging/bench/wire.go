package main

import (
	"bytes"
	"errors"
	"strconv"

	"golang.org/x/sys/unix"
)

// What the scripted engine answers, and what the client therefore has to get. Everything is of a fixed length, so that
// a number is written into its place and nothing is formatted while a clock runs.
const (
	smallSize  = 1 << 10 // bytes of the answer to a small request
	idLength   = 12      // digits of what a request is known by: its answer says it again
	numberSize = 20
)

// smallBody is an answer like a chat completion's; the id stands at idAt.
var smallBody, idAt = func() ([]byte, int) {
	body := []byte(`{"object":"chat.completion","model":"coder","id":"`)
	at := len(body)
	body = append(body, zeros(idLength)...)
	body = append(body, `","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"`...)
	const end = `"}}]}`
	for len(body) < smallSize-len(end) {
		body = append(body, "a lighthouse on the coast "[len(body)%26])
	}
	return append(body, end...), at
}()

// event is one event of a stream: its number, and when it was written, in nanoseconds of CLOCK_MONOTONIC, which is one
// clock for all processes.
var event, eventNumber, eventTime = func() ([]byte, int, int) {
	line := []byte(`data: {"object":"chat.completion.chunk","model":"coder","choices":[{"index":0,"delta":{"content":"coast"}}],"n":"`)
	n := len(line)
	line = append(line, zeros(numberSize)...)
	line = append(line, `","at":"`...)
	at := len(line)
	line = append(line, zeros(numberSize)...)
	return append(line, `"}`...), n, at
}()

// lastEvent ends a stream.
const lastEvent = "data: [DONE]"

// noID is what the engine says when a request has no id.
var noID = zeros(idLength)

func zeros(n int) []byte { return bytes.Repeat([]byte{'0'}, n) }

// putNumber writes n with leading zeros over all of place.
func putNumber(place []byte, n int64) {
	for i := len(place) - 1; i >= 0; i-- {
		place[i] = byte('0' + n%10)
		n /= 10
	}
}

// monotonic is the clock that all processes of a run share.
func monotonic() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic(err) // every kernel has it
	}
	return t.Nano()
}

var headEnd = []byte("\r\n\r\n")

// contentLength finds the length in a head; 0 when it tells none.
func contentLength(head []byte) (int, error) {
	const name = "content-length:"
	for line := range bytes.SplitSeq(head, []byte("\r\n")) {
		if len(line) > len(name) && line[0]|0x20 == 'c' && bytes.EqualFold(line[:len(name)], []byte(name)) {
			return strconv.Atoi(string(bytes.TrimSpace(line[len(name):])))
		}
	}
	return 0, nil
}

// statusOf reads "HTTP/1.1 200 OK".
func statusOf(head []byte) (int, error) {
	if len(head) < 12 || !bytes.HasPrefix(head, []byte("HTTP/1.1 ")) {
		return 0, errors.New("no HTTP/1.1 status line")
	}
	return strconv.Atoi(string(head[9:12]))
}

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"
)

// streamAsker reads streams; it measures each event.
type streamAsker struct {
	*httpAsker
	events int
}

func newStreamAsker(c net.Conn, events int, every time.Duration) *streamAsker {
	target := fmt.Sprintf("%s?events=%d&every=%s", streamPath, events, every)
	return &streamAsker{newHTTPAsker(c, target, []byte(`{"model":"coder","stream":true,"prompt":"A coast"}`)), events}
}

func (a *streamAsker) ask(latencies []int64) ([]int64, error) {
	res, err := a.send()
	if err != nil {
		return latencies, err
	}
	lines := bufio.NewScanner(res.Body)
	got := 0
	ended := false
	for lines.Scan() {
		now := monotonic()
		line := lines.Bytes()
		switch {
		case len(line) == 0:
			continue
		case ended:
			return latencies, fmt.Errorf("the stream goes on after its end: %q", line)
		case string(line) == lastEvent:
			ended = true
			continue
		}
		number, written, err := readEvent(line)
		if err != nil {
			return latencies, err
		}
		if number != got {
			return latencies, fmt.Errorf("event %d came after event %d", number, got-1)
		}
		got++
		latencies = append(latencies, now-written)
	}
	switch {
	case lines.Err() != nil:
		return latencies, fmt.Errorf("the stream broke after %d events: %w", got, lines.Err())
	case got != a.events || !ended:
		return latencies, fmt.Errorf("the stream ended after %d of %d events", got, a.events)
	}
	return latencies, nil
}

// readEvent checks an event's every byte.
func readEvent(line []byte) (number int, written int64, err error) {
	if len(line) != len(event) {
		return 0, 0, fmt.Errorf("%q is no event of the engine's", line)
	}
	n, at := line[eventNumber:][:numberSize], line[eventTime:][:numberSize]
	number, numberErr := strconv.Atoi(string(n))
	written, timeErr := strconv.ParseInt(string(at), 10, 64)
	rest := bytes.Clone(line)
	putNumber(rest[eventNumber:][:numberSize], 0)
	putNumber(rest[eventTime:][:numberSize], 0)
	if err := errors.Join(numberErr, timeErr); err != nil || !bytes.Equal(rest, event) {
		return 0, 0, fmt.Errorf("%q is no event of the engine's", line)
	}
	return number, written, nil
}

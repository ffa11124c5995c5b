package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// FromNow as `after` asks Events for what happens from now on, without the events that tierd remembers.
const FromNow uint64 = math.MaxUint64

// maxEvent bounds one line of the stream, in bytes.
const maxEvent = 1 << 20

// Events yields the events whose Seq is greater than after, then each new one as it happens: 0 for all that tierd
// remembers, FromNow for none of those. It connects when the loop begins.
//
// The iterator ends when the context ends, or with one error when tierd cannot be reached at the beginning or refuses.
// Once it was connected it connects again for as long as the context lives, and goes on after the last event it gave;
// a restarted tierd numbers its events anew, and gives those that it remembers.
func (c *Client) Events(ctx context.Context, after uint64) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		s := stream{client: c, path: "/v1/events", yield: yield}
		if after != FromNow {
			s.path += "?after=" + strconv.FormatUint(after, 10)
		}
		s.run(ctx)
	}
}

// stream is one loop over Events.
type stream struct {
	client    *Client
	path      string
	lastID    string // as the server wrote it, sent back in Last-Event-ID
	connected bool
	yield     func(Event, error) bool
}

func (s *stream) run(ctx context.Context) {
	var pause time.Duration
	for ctx.Err() == nil {
		got, more, err := s.once(ctx)
		switch {
		case !more || ctx.Err() != nil:
			return
		case err != nil && !(s.connected && Unavailable(err)):
			s.yield(Event{}, err)
			return
		}
		if got {
			pause = 0
		}
		pause = nextPause(pause)
		if sleep(ctx, pause) != nil {
			return
		}
	}
}

// once follows one connection to its end. got tells that it gave an event, more that the caller's loop goes on.
func (s *stream) once(ctx context.Context) (got, more bool, err error) {
	header := http.Header{"Accept": {"text/event-stream"}}
	if s.lastID != "" {
		header.Set("Last-Event-ID", s.lastID)
	}
	resp, err := s.client.send(ctx, http.MethodGet, s.path, nil, header)
	if err != nil {
		return false, true, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // a short text fails as JSON just below
		_, err := s.client.open(resp.StatusCode, text)
		return false, true, err
	}
	s.connected = true
	for frame, err := range Frames(resp.Body) {
		if err != nil {
			return got, true, nil // a cut stream is taken up again
		}
		var e Event
		if err := json.Unmarshal([]byte(frame.Data), &e); err != nil {
			return got, true, s.client.foreign(fmt.Sprintf("an event cannot be read: %v", err))
		}
		s.lastID, got = frame.ID, true
		if !s.yield(e, nil) {
			return got, false, nil
		}
	}
	return got, true, nil
}

// Frame is one event of a text/event-stream (WHATWG HTML, "Server-sent events"), as far as tierd and engines write it.
type Frame struct{ ID, Data string }

// Frames reads a stream up to its end, each line of at most a MiB. Comments and unknown fields are passed over, as the
// standard asks.
func Frames(r io.Reader) iter.Seq2[Frame, error] {
	return func(yield func(Frame, error) bool) {
		var f Frame
		var data []string
		lines := bufio.NewScanner(r)
		lines.Buffer(nil, maxEvent)
		for lines.Scan() {
			line := lines.Text()
			if line == "" {
				if data != nil {
					f.Data = strings.Join(data, "\n")
					if !yield(f, nil) {
						return
					}
				}
				data = nil
				continue
			}
			key, value, _ := strings.Cut(line, ":")
			value = strings.TrimPrefix(value, " ")
			switch key {
			case "id":
				f.ID = value
			case "data":
				data = append(data, value)
			}
		}
		if err := lines.Err(); err != nil {
			yield(Frame{}, err)
		}
	}
}

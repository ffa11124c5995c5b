package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tierd/tierd/agent/api"
)

// heartbeat is how often a subscriber that has nothing to read is written to. On a unix socket the kernel tells at once
// that the other end is gone, so this only shows a watcher that tierd lives. Without subscribers nothing wakes up.
const heartbeat = time.Minute

// events answers with a stream of server-sent events. It begins after the event that Last-Event-ID or `after` names,
// else with the next event; the position is fixed before the header is sent, so that a client that has seen the header
// misses nothing of what it does next.
func (s *Server) events(r call) (reply, error) {
	wake, unsubscribe := s.control.Subscribe()
	after, err := s.position(r.Header.Get("Last-Event-ID"), r.URL.Query().Get("after"))
	if err != nil {
		unsubscribe()
		return reply{}, err
	}
	return reply{stream: func(w http.ResponseWriter) {
		defer unsubscribe()
		f := follower{out: w, control: http.NewResponseController(w), epoch: s.epoch, last: after}
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusOK)
		if err := f.run(r.Context(), s.control.Events, wake); err != nil {
			s.log.Debug("an event stream ended", "err", err)
		}
	}}, nil
}

// position turns where a client wants to begin into the Seq that it has seen. An id of another life of tierd, or a
// number that was not reached yet, means that the client has seen nothing of this one.
func (s *Server) position(lastID, after string) (uint64, error) {
	newest := uint64(0)
	if known := s.control.Events(0); len(known) > 0 {
		newest = known[len(known)-1].Seq
	}
	if lastID == "" && after == "" {
		return newest, nil
	}
	text := after
	if lastID != "" {
		epoch, seq, ok := strings.Cut(lastID, "-")
		if ok && epoch != s.epoch {
			return 0, nil
		}
		if text = lastID; ok {
			text = seq
		}
	}
	seq, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, badRequest("%q is not the number of an event", text)
	}
	if seq > newest {
		return 0, nil
	}
	return seq, nil
}

// follower writes events to one subscriber.
type follower struct {
	out     io.Writer
	control *http.ResponseController
	epoch   string
	last    uint64
}

// run ends with ctx, with the subscription, or when the subscriber does not read. What comes on wake only says that
// there is something new: a channel may drop, so the events themselves are read from the agent's memory.
func (f *follower) run(ctx context.Context, events func(uint64) []api.Event, wake <-chan api.Event) error {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		// Gives the reader a bounded time: one that has stopped reading would hold a goroutine and its buffers. It comes
		// before the writes, which may flush by themselves.
		if err := f.control.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
			return err
		}
		for _, e := range events(f.last) {
			if err := f.event(e); err != nil {
				return err
			}
		}
		if err := f.control.Flush(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case _, open := <-wake:
			if !open {
				return nil
			}
		case <-beat.C:
			if _, err := io.WriteString(f.out, ": tierd is there\n\n"); err != nil {
				return err
			}
		}
	}
}

// event writes one event; when some before it are no longer remembered it says so in a comment.
func (f *follower) event(e api.Event) error {
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if f.last > 0 && e.Seq > f.last+1 {
		if _, err := fmt.Fprintf(f.out, ": %d events before this one are forgotten\n", e.Seq-f.last-1); err != nil {
			return err
		}
	}
	f.last = e.Seq
	_, err = fmt.Fprintf(f.out, "id: %s-%d\nevent: %s\ndata: %s\n\n", f.epoch, e.Seq, e.Kind, text)
	return err
}

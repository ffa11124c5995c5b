package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tierd/tierd/agent/api"
)

func TestPosition(t *testing.T) {
	tests := []struct {
		name          string
		known         []uint64 // that the agent remembers
		lastID, after string
		want          uint64
	}{
		{"without a wish: from now on", []uint64{4, 5}, "", "", 5},
		{"without a wish and without events", nil, "", "", 0},
		{"after a number", []uint64{4, 5}, "", "4", 4},
		{"after 0: all", []uint64{4, 5}, "", "0", 0},
		{"a number that was not reached yet is of an earlier tierd: all", []uint64{4, 5}, "", "9", 0},
		{"the id of this tierd", []uint64{4, 5}, "EPOCH-4", "", 4},
		{"the id goes before the number", []uint64{4, 5}, "EPOCH-4", "0", 4},
		{"the id of an earlier tierd: all", []uint64{4, 5}, "other-5", "", 0},
		{"a bare number as id", []uint64{4, 5}, "5", "", 5},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, control := newTestServer(t)
			control.emit(test.known...)
			got, err := s.position(strings.Replace(test.lastID, "EPOCH", s.epoch, 1), test.after)
			if err != nil || got != test.want {
				t.Errorf("got %d, %v; want %d", got, err, test.want)
			}
		})
	}
	s, _ := newTestServer(t)
	for _, id := range []string{"x", s.epoch + "-", s.epoch + "-x", "18446744073709551616"} {
		if _, err := s.position(id, ""); err == nil {
			t.Errorf("%q is taken as a position", id)
		}
	}
}

// streamed runs a follower in a bubble, up to the function's end.
func streamed(t *testing.T, control *fakeControl, last uint64, while func()) string {
	t.Helper()
	w := httptest.NewRecorder()
	ctx, cancel := context.WithCancel(context.Background())
	wake, unsubscribe := control.Subscribe()
	defer unsubscribe()
	f := follower{out: w, control: http.NewResponseController(deadlines{w}), epoch: "e", last: last}
	ended := make(chan error)
	go func() { ended <- f.run(ctx, control.Events, wake) }()
	synctest.Wait()
	while()
	synctest.Wait()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	return w.Body.String()
}

func ids(stream string) string {
	var list []string
	for line := range strings.Lines(stream) {
		if id, ok := strings.CutPrefix(line, "id: "); ok {
			list = append(list, strings.TrimSpace(id))
		}
	}
	return strings.Join(list, " ")
}

func TestFollowerGivesEachEventOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		control := newFakeControl()
		control.emit(1, 2, 3)
		// The channel holds one: what it drops is read from memory all the same.
		got := streamed(t, control, 1, func() { control.emit(4, 5, 6, 7) })
		if ids(got) != "e-2 e-3 e-4 e-5 e-6 e-7" {
			t.Errorf("got %s", ids(got))
		}
		if !strings.Contains(got, "id: e-2\nevent: tier\ndata: {\"seq\":2,") {
			t.Errorf("got %s", got)
		}
	})
}

func TestFollowerTellsOfAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		control := newFakeControl()
		control.emit(5)
		got := streamed(t, control, 2, func() {})
		if !strings.HasPrefix(got, ": 2 events before this one are forgotten\nid: e-5\n") {
			t.Errorf("got %q", got)
		}
	})
}

func TestHeartbeatOnlyWhenQuietAndOncePerMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := streamed(t, newFakeControl(), 0, func() { time.Sleep(3*heartbeat + time.Second) })
		if got != strings.Repeat(": tierd is there\n\n", 3) {
			t.Errorf("got %q", got)
		}
	})
}

func TestFollowerEndsWithTheSubscription(t *testing.T) {
	wake := make(chan api.Event)
	close(wake)
	w := httptest.NewRecorder()
	f := follower{out: w, control: http.NewResponseController(deadlines{w})}
	if err := f.run(context.Background(), func(uint64) []api.Event { return nil }, wake); err != nil {
		t.Error(err)
	}
}

// stuck is a reader that takes nothing.
type stuck struct{ *httptest.ResponseRecorder }

func (stuck) SetWriteDeadline(time.Time) error { return nil }
func (stuck) FlushError() error                { return errStuck }

var errStuck = errors.New("i/o timeout")

func TestFollowerGivesUpAReaderThatTakesNothing(t *testing.T) {
	w := stuck{httptest.NewRecorder()}
	f := follower{out: w, control: http.NewResponseController(w)}
	if err := f.run(context.Background(), func(uint64) []api.Event { return nil }, nil); !errors.Is(err, errStuck) {
		t.Errorf("got %v", err)
	}
}

func TestEventsSurviveARestartOfTierd(t *testing.T) {
	s, control := newTestServer(t)
	control.emit(1)
	l := listen(t)
	run := func(s *Server) (end func()) {
		ctx, cancel := context.WithCancel(context.Background())
		// As with a socket from systemd: each life has a descriptor of its own.
		file, err := l.File()
		if err != nil {
			t.Fatal(err)
		}
		mine, err := netListener(file)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- s.Serve(ctx, mine) }()
		return func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	}
	end := run(s)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var got []string
	for e, err := range api.New(l.Addr().String()).Events(ctx, 0) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(e.Seq))
		switch len(got) {
		case 1:
			control.emit(2)
		case 2:
			end()
			next := newFakeControl()
			next.emit(1, 2, 3) // numbered anew: all of them are news
			time.Sleep(2 * time.Millisecond)
			end = run(NewServer(next, quiet(), testRoot(t)))
		case 5:
			cancel()
		}
	}
	end()
	if strings.Join(got, " ") != "1 2 1 2 3" {
		t.Errorf("got %v", got)
	}
}

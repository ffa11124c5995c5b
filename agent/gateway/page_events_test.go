package gateway

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tierd/tierd/agent/api"
)

// eventStream is a browser's connection to /page/events.
type eventStream struct {
	*http.Response
	lines *bufio.Reader
}

func openEvents(t *testing.T, rig *rig, header ...string) *eventStream {
	t.Helper()
	req, err := http.NewRequest("GET", rig.tierURL("", "/page/events"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	client := http.Client{Transport: &http.Transport{}}
	res, err := client.Do(req.WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	return &eventStream{res, bufio.NewReader(res.Body)}
}

// event reads up to the next empty line.
func (s *eventStream) event() (string, error) {
	var text strings.Builder
	for {
		line, err := s.lines.ReadString('\n')
		text.WriteString(line)
		if err != nil || line == "\n" {
			return text.String(), err
		}
	}
}

// until reads events up to a snapshot that fits.
func (s *eventStream) until(t *testing.T, what string, fits func(snapshot) bool) {
	t.Helper()
	for {
		text, err := s.event()
		if err != nil {
			t.Fatalf("no snapshot %s: %v", what, err)
		}
		if fits(decodeFrame(t, text).Page) {
			return
		}
	}
}

func TestTheStreamTellsOfEachState(t *testing.T) {
	tierd := &fakeOverview{status: api.Status{Version: "9"}}
	rig := startRig(t, Config{Overview: tierd}, route(t, "coder", "/nowhere"))
	s := openEvents(t, rig)
	for name, want := range map[string]string{
		"Content-Type": "text/event-stream", "Cache-Control": "no-store", "Content-Security-Policy": wantPolicy, "X-Content-Type-Options": "nosniff",
	} {
		if got := s.Header.Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if !s.Close {
		t.Error("the connection is kept: after a handover the browser would ask the old process again")
	}
	s.until(t, "with tierd's version", func(s snapshot) bool { return s.Tierd.Version == "9" && s.Tiers[0].State == api.Ready })
	rig.change(t, "coder", func(r *api.Route) { r.State, r.Status = api.Starting, "Loading weights 43 %" })
	s.until(t, "of the load", func(s snapshot) bool { return s.Tiers[0].Percent != nil && *s.Tiers[0].Percent == 43 })
}

func TestTheGatewayTellsOfRequests(t *testing.T) {
	engine, arrived, letGo := holding(t)
	rig := startRig(t, Config{}, route(t, "coder", engine.socket))
	s := openEvents(t, rig)
	rest := stream(t, rig.tierURL("coder", "/x"))
	<-arrived
	s.until(t, "with a request", func(s snapshot) bool { return s.Tiers[0].InFlight == 1 })
	close(letGo)
	if _, err := rest(); err != nil {
		t.Fatal(err)
	}
	s.until(t, "with an idle tier", func(s snapshot) bool { return s.Tiers[0].InFlight == 0 && !s.Tiers[0].IdleSince.IsZero() })
}

func TestARequestThatWaitsIsNotInFlight(t *testing.T) {
	coder := route(t, "coder", "/nowhere")
	coder.State, coder.Hold = api.Starting, patience.Seconds()
	rig := startRig(t, Config{}, coder)
	s := openEvents(t, rig)
	rest := make(chan int, 1)
	go func() {
		res, _ := fetch(t, "POST", rig.tierURL("coder", "/x"), `{}`)
		rest <- res.StatusCode
	}()
	s.until(t, "with a request that waits", func(s snapshot) bool {
		return s.Tiers[0].Waiting == 1 && s.Tiers[0].InFlight == 0 && !s.Tiers[0].WaitingSince.IsZero()
	})
	rig.change(t, "coder", func(r *api.Route) { r.State, r.Reason = api.Blocked, "its model is gone" })
	s.until(t, "without one", func(s snapshot) bool { return s.Tiers[0].Waiting == 0 && s.Tiers[0].State == api.Blocked })
	if got := <-rest; got != 503 {
		t.Errorf("it was answered with %d", got)
	}
}

func TestAStopEndsTheStreamsAndDoesNotWaitForThem(t *testing.T) {
	rig := startRig(t, Config{StopBound: patience}, route(t, "coder", "/nowhere"))
	s := openEvents(t, rig)
	if _, err := s.event(); err != nil {
		t.Fatal(err)
	}
	rig.stop()
	for {
		if _, err := s.event(); err != nil {
			if err != io.EOF {
				t.Errorf("the stream ended with %v", err)
			}
			break
		}
	}
	if err := rig.wait(t); err != nil {
		t.Error(err)
	}
}

func TestAHandoverEndsTheStreams(t *testing.T) {
	rig := startRig(t, Config{}, route(t, "coder", "/nowhere"))
	s := openEvents(t, rig)
	if _, err := s.event(); err != nil {
		t.Fatal(err)
	}
	rig.page.board.end() // as retire does
	for {
		if _, err := s.event(); err != nil {
			break
		}
	}
	// A browser that comes on a connection that it kept is sent on.
	again := openEvents(t, rig)
	if text, err := again.event(); again.StatusCode != 200 || !again.Close || text != "" || err != io.EOF {
		t.Errorf("the retired process answers %d with %q, closes: %v", again.StatusCode, text, again.Close)
	}
}

func TestWatchersAreLimited(t *testing.T) {
	rig := startRig(t, Config{}, route(t, "coder", "/nowhere"))
	var streams []*eventStream
	for range mostWatchers {
		streams = append(streams, openEvents(t, rig))
	}
	res, body := fetch(t, "GET", rig.tierURL("", "/page/events"), "")
	if res.StatusCode != 503 || res.Header.Get("Retry-After") == "" || !strings.Contains(errorMessage(t, body), "Close one") {
		t.Errorf("one more: %d %s", res.StatusCode, body)
	}
	streams[0].Body.Close()
	eventually(t, "a place gets free", func() bool {
		frames, leave, err := rig.page.board.join()
		if err == nil {
			leave()
		}
		return err == nil && frames != nil
	})
}

func TestOnlyItsOwnPageFollowsTheEvents(t *testing.T) {
	rig := startRig(t, Config{}, route(t, "coder", "/nowhere"))
	for site, want := range map[string]int{"cross-site": 403, "same-site": 403, "same-origin": 200, "none": 200} {
		if s := openEvents(t, rig, "Sec-Fetch-Site", site); s.StatusCode != want {
			t.Errorf("Sec-Fetch-Site: %s: %d", site, s.StatusCode)
		}
	}
	res, body := fetch(t, "HEAD", rig.tierURL("", "/page/events"), "")
	if res.StatusCode != 200 || body != "" || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("HEAD: %d %q", res.StatusCode, body)
	}
}

func TestAWatcherThatIsSlowSkipsToTheNewest(t *testing.T) {
	b := newBoard(func(ctx context.Context, _ func([]byte)) { <-ctx.Done() })
	slow, leave, err := b.join()
	if err != nil {
		t.Fatal(err)
	}
	defer leave()
	for _, frame := range []string{"one", "two", "three"} {
		b.publish(t.Context(), []byte(frame))
	}
	late, leaveLate, _ := b.join()
	defer leaveLate()
	if got, now := string(<-slow), string(<-late); got != "three" || now != "three" || len(slow) != 0 {
		t.Errorf("the slow one got %q, the late one %q", got, now)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	b.publish(ended, []byte("of a feed that was stopped"))
	if len(slow) != 0 {
		t.Errorf("got %q", <-slow)
	}
	b.end()
	if _, open := <-slow; open {
		t.Error("the end was not told")
	}
}

// stuckWriter is a browser that takes nothing: a write fails when its deadline has come.
type stuckWriter struct {
	*httptest.ResponseRecorder
	deadline time.Time
}

func (w *stuckWriter) SetWriteDeadline(t time.Time) error { w.deadline = t; return nil }

func (w *stuckWriter) Write([]byte) (int, error) {
	time.Sleep(time.Until(w.deadline))
	return 0, errors.New("i/o timeout")
}

func TestAWatcherThatStopsReadingIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		frames := make(chan []byte, 1)
		frames <- []byte("data: {}\n\n")
		begin := time.Now()
		err := follow(&stuckWriter{ResponseRecorder: httptest.NewRecorder()}, httptest.NewRequest("GET", "/", nil), frames)
		if err == nil || time.Since(begin) != watcherPause {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
	})
}

// timedWriter notes what was written when.
type timedWriter struct {
	*httptest.ResponseRecorder
	begin time.Time
	wrote []string
}

func (w *timedWriter) Write(p []byte) (int, error) {
	w.wrote = append(w.wrote, fmt.Sprintf("%v %q", time.Since(w.begin), p))
	return len(p), nil
}

func TestASilentStreamBeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		frames := make(chan []byte)
		w := &timedWriter{ResponseRecorder: httptest.NewRecorder(), begin: time.Now()}
		ended := make(chan error)
		go func() { ended <- follow(w, httptest.NewRequest("GET", "/", nil), frames) }()
		pass(14 * time.Second)
		frames <- []byte("data: {}\n\n")
		pass(20 * time.Second)
		close(frames)
		err := <-ended
		if want := []string{`14s "data: {}\n\n"`, `29s "event: beat\ndata:\n\n"`}; err != nil || !slices.Equal(w.wrote, want) {
			t.Errorf("%v, %q", err, w.wrote)
		}
	})
}

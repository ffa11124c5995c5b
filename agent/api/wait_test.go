package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// script answers the requests of a client one after the other, without a socket. It repeats the last one.
type script struct {
	steps []func() (*http.Response, error)
	asked []string
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	s.asked = append(s.asked, r.URL.RequestURI())
	step := s.steps[0]
	if len(s.steps) > 1 {
		s.steps = s.steps[1:]
	}
	return step()
}

func scripted(steps ...func() (*http.Response, error)) (*Client, *script) {
	s := &script{steps: steps}
	return &Client{path: "/run/test.sock", http: &http.Client{Transport: s}}, s
}

func says(status int, text string) func() (*http.Response, error) {
	return func() (*http.Response, error) {
		return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(text))}, nil
	}
}

func after(d time.Duration, then func() (*http.Response, error)) func() (*http.Response, error) {
	return func() (*http.Response, error) {
		time.Sleep(d)
		return then()
	}
}

// changeIn is change 7, begun in the given second.
func changeIn(state string, second int) func() (*http.Response, error) {
	return says(200, fmt.Sprintf(`{"type":"sync","result":{"id":"7","state":%q,"started":"2026-01-01T00:00:%02dZ"}}`, state, second))
}

var (
	gone    = func() (*http.Response, error) { return nil, io.ErrUnexpectedEOF }
	ending  = says(503, `{"type":"error","error":{"kind":"not-available","message":"tierd is ending"}}`)
	unknown = says(404, `{"type":"error","error":{"kind":"not-found","message":"there is no change 7"}}`)
)

func TestWaitChange(t *testing.T) {
	tests := []struct {
		name    string
		steps   []func() (*http.Response, error)
		timeout time.Duration
		state   string        // of the change that comes back
		err     string        // part of the error
		kind    ErrorKind     // of the error
		took    time.Duration // 0: not looked at
	}{
		{name: "done at once", steps: []func() (*http.Response, error){changeIn("done", 1)}, state: "done"},
		{name: "a failed change is no error of the wait", steps: []func() (*http.Response, error){changeIn("error", 1)}, state: "error"},
		{name: "longer than one request", steps: []func() (*http.Response, error){after(waitSlice, changeIn("doing", 1)), after(waitSlice, changeIn("doing", 1)), after(time.Second, changeIn("done", 1))},
			state: "done", took: 2*waitSlice + time.Second},
		{name: "the time is over", steps: []func() (*http.Response, error){after(5*time.Second, changeIn("doing", 1))}, timeout: 5 * time.Second, state: "doing", took: 5 * time.Second},
		{name: "tierd restarts and knows the change", steps: []func() (*http.Response, error){ending, gone, gone, changeIn("done", 1)}, state: "done"},
		{name: "tierd restarts and knows it no more", steps: []func() (*http.Response, error){changeIn("doing", 1), gone, unknown}, state: "doing", err: "tierd was restarted meanwhile", kind: KindAborted},
		{name: "tierd restarted before the first answer", steps: []func() (*http.Response, error){gone, unknown}, err: "tierd was restarted meanwhile", kind: KindAborted},
		{name: "the id is another change's by now", steps: []func() (*http.Response, error){changeIn("doing", 1), gone, changeIn("doing", 2)}, state: "doing", err: "tierd was restarted meanwhile", kind: KindAborted},
		{name: "never heard of", steps: []func() (*http.Response, error){unknown}, err: "there is no change 7", kind: KindNotFound},
		{name: "tierd does not come back", steps: []func() (*http.Response, error){gone}, err: "cannot tell what tierd did", kind: KindUnavailable},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _ := scripted(test.steps...)
				began := time.Now()
				change, err := c.WaitChange(context.Background(), "7", test.timeout)
				if change.State != test.state {
					t.Errorf("state %q, want %q", change.State, test.state)
				}
				var e *Error
				if test.err == "" && err != nil || test.err != "" && (!errors.As(err, &e) || e.Kind != test.kind || !strings.Contains(e.Message, test.err)) {
					t.Errorf("error %v, want %q", err, test.err)
				}
				if took := time.Since(began); test.took > 0 && took != test.took {
					t.Errorf("took %s, want %s", took, test.took)
				} else if took > waitOutage+2*waitSlice+retryMost {
					t.Errorf("took %s", took)
				}
			})
		})
	}
}

func TestWaitAsksInSlices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := scripted(after(waitSlice, changeIn("doing", 1)))
		if _, err := c.WaitChange(context.Background(), "7", 70*time.Second); err != nil {
			t.Fatal(err)
		}
		want := "/v1/changes/7/wait?timeout=30s /v1/changes/7/wait?timeout=30s /v1/changes/7/wait?timeout=10s"
		if got := strings.Join(s.asked, " "); got != want {
			t.Errorf("asked %s", got)
		}
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		c, _ := scripted(gone)
		if _, err := c.WaitChange(ctx, "7", 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

func TestPausesGrowUpToABound(t *testing.T) {
	pause := time.Duration(0)
	for range 20 {
		next := nextPause(pause)
		if next < pause || next < retryFirst || next > retryMost {
			t.Fatalf("%s follows %s", next, pause)
		}
		pause = next
	}
	if pause != retryMost {
		t.Errorf("ends at %s", pause)
	}
}

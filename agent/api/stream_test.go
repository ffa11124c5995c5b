package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestFrames(t *testing.T) {
	tests := []struct {
		name, text string
		want       []Frame
	}{
		{"one event", "id: e-1\nevent: tier\ndata: {}\n\n", []Frame{{"e-1", "{}"}}},
		{"comments and unknown fields are passed over", ": hello\n\nretry: 5\nid: 1\ndata: a\n\n", []Frame{{"1", "a"}}},
		{"data of several lines", "data: a\ndata:b\n\n", []Frame{{"", "a\nb"}}},
		{"an id lasts until the next", "id: 1\ndata: a\n\ndata: b\n\n", []Frame{{"1", "a"}, {"1", "b"}}},
		{"CR LF", "id: 1\r\ndata: a\r\n\r\n", []Frame{{"1", "a"}}},
		{"what is cut off is no event", "id: 1\ndata: a\n", nil},
		{"no data, no event", "id: 1\n\n", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got []Frame
			for f, err := range Frames(strings.NewReader(test.text)) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, f)
			}
			if fmt.Sprint(got) != fmt.Sprint(test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	for _, err := range Frames(strings.NewReader(strings.Repeat("x", maxEvent+1))) {
		if err == nil {
			t.Error("a line without end is taken")
		}
	}
}

func FuzzFrames(f *testing.F) {
	f.Add("id: e-1\nevent: tier\ndata: {\"seq\":1}\n\n: x\n\n")
	f.Add("data\ndata:\n\n\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		n := 0
		for f, err := range Frames(strings.NewReader(text)) {
			if err == nil && strings.Contains(f.ID, "\n") {
				t.Errorf("id %q", f.ID)
			}
			if n++; n > len(text) {
				t.Fatal("more events than bytes")
			}
		}
	})
}

// stream200 is a stream of events with these numbers, that then breaks off.
func stream200(epoch string, seqs ...int) func() (*http.Response, error) {
	var text strings.Builder
	for _, seq := range seqs {
		fmt.Fprintf(&text, "id: %s-%d\nevent: tier\ndata: {\"seq\":%d,\"kind\":\"tier\"}\n\n", epoch, seq, seq)
	}
	return says(200, text.String())
}

// collect reads events until there are n of them, or the iterator ends.
func collect(c *Client, after uint64, n int) (seqs string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	var list []string
	for e, err := range c.Events(ctx, after) {
		if err != nil {
			return strings.Join(list, " "), err
		}
		list = append(list, fmt.Sprint(e.Seq))
		if len(list) == n {
			break
		}
	}
	return strings.Join(list, " "), nil
}

func TestEvents(t *testing.T) {
	tests := []struct {
		name  string
		steps []func() (*http.Response, error)
		n     int
		want  string
		err   string
	}{
		{"a stream", []func() (*http.Response, error){stream200("a", 1, 2, 3)}, 3, "1 2 3", ""},
		{"a cut stream is taken up again", []func() (*http.Response, error){stream200("a", 1), gone, ending, gone, stream200("a", 2)}, 2, "1 2", ""},
		{"a restarted tierd numbers anew", []func() (*http.Response, error){stream200("a", 8), gone, stream200("b", 1)}, 2, "8 1", ""},
		{"not there at the beginning", []func() (*http.Response, error){gone, stream200("a", 1)}, 1, "", "cannot tell what tierd did"},
		{"a refusal", []func() (*http.Response, error){says(400, `{"type":"error","error":{"kind":"bad-request","message":"no"}}`)}, 1, "", "no"},
		{"a refusal later", []func() (*http.Response, error){stream200("a", 1), says(404, `{"type":"error","error":{"kind":"not-found","message":"no"}}`)}, 2, "1", "no"},
		{"an event that is none", []func() (*http.Response, error){says(200, "data: {\n\n")}, 1, "", "an event cannot be read"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _ := scripted(test.steps...)
				got, err := collect(c, 0, test.n)
				if got != test.want || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
					t.Errorf("got %q, %v; want %q, %q", got, err, test.want, test.err)
				}
			})
		})
	}
}

func TestEventsSayWhereToGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ids []string
		first := true
		c := &Client{path: "x", http: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			ids = append(ids, r.URL.RequestURI()+" "+r.Header.Get("Last-Event-ID"))
			if first {
				first = false
				return stream200("a", 4)()
			}
			return stream200("a", 5)()
		})}}
		if _, err := collect(c, 3, 2); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(ids, ", "); got != "/v1/events?after=3 , /v1/events?after=3 a-4" {
			t.Errorf("asked %s", got)
		}
		ids = nil
		if _, err := collect(c, FromNow, 1); err != nil || strings.Join(ids, ", ") != "/v1/events " {
			t.Errorf("from now: asked %v, %v", ids, err)
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestEventsEndSilentlyWithTheirContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		c, s := scripted(stream200("a", 1), gone)
		n := 0
		for _, err := range c.Events(ctx, 0) {
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			n++
		}
		if n != 1 {
			t.Errorf("%d events", n)
		}
		// A minute of a tierd that is not there: pauses of up to retryMost.
		if len(s.asked) < 20 || len(s.asked) > 60 {
			t.Errorf("asked %d times in a minute", len(s.asked))
		}
	})
}

package hub

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestRetryAfter(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"17": 17 * time.Second, " 3 ": 3 * time.Second, "0": 0, "": 0, "soon": 0, "-5": 0, "1e9": 0, "99999999999999999999": 0,
		"Sun, 01 Mar 2026 12:00:30 GMT": 30 * time.Second, "Sun, 01 Mar 2026 11:00:00 GMT": 0,
	} {
		if got := retryAfter(text, noon); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func TestContentRanges(t *testing.T) {
	for _, c := range []struct {
		text        string
		start, size int64
		bad         bool
	}{
		{"bytes 5-9/10", 5, 10, false}, {"bytes 0-0/1", 0, 1, false}, {"bytes 5-9/*", 5, -1, false},
		{"bytes 5-9/9", 0, 0, true}, {"bytes 9-5/10", 0, 0, true}, {"bytes */10", 0, 0, true}, {"", 0, 0, true}, {"bytes -5-9/10", 0, 0, true}, {"lines 1-2/3", 0, 0, true},
	} {
		start, size, err := contentRange(c.text)
		if start != c.start || size != c.size || (err != nil) != c.bad {
			t.Errorf("%q: %d, %d, %v", c.text, start, size, err)
		}
	}
}

// TestPatience: how often, and for how long, is asked again.
func TestPatience(t *testing.T) {
	h, err := New("https://hub.example", Token{}, nil, Patience{})
	if err != nil {
		t.Fatal(err)
	}
	again := func(after time.Duration) error { return &transient{errors.New("down"), after} }
	for _, c := range []struct {
		rule        string
		answers     []error // the last for ever
		bytes       int64   // that each try brings
		says        string
		tries       int
		least, most time.Duration
	}{
		{"what goes well is asked once", []error{nil}, 0, "", 1, 0, 0},
		{"what is refused too", []error{&Refused{Message: "no"}}, 0, "no", 1, 0, 0},
		{"a failure passes", []error{again(0), again(0), nil}, 0, "", 3, time.Second, 3 * time.Second},
		{"one that stays ends", []error{again(0)}, 0, "down; it was tried 6 times", 6, 15 * time.Second, 31 * time.Second},
		{"the server's wish is obeyed", []error{again(90 * time.Second), nil}, 0, "", 2, 90 * time.Second, 90 * time.Second},
		{"an absurd one is not", []error{again(time.Hour)}, 0, "wants to be asked again in 1h0m0s", 1, 0, 0},
		{"progress makes tries free", []error{again(0), again(0), again(0), again(0), again(0), again(0), again(0), again(0), nil}, progress, "", 9, 4 * time.Second, 8 * time.Second},
		{"a trickle does not", []error{again(0)}, 10, "tried 6 times", 6, 15 * time.Second, 31 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			tries := 0
			from := time.Now()
			err := h.persist(t.Context(), &watcher{}, "x", func(context.Context) (int64, error) {
				tries++
				return c.bytes, c.answers[min(tries, len(c.answers))-1]
			})
			took := time.Since(from)
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) || tries != c.tries || took < c.least || took > c.most {
				t.Errorf("%s: %v after %d tries and %s", c.rule, err, tries, took)
			}
		})
	}
}

func TestAWaitEndsWithItsContext(t *testing.T) {
	h, _ := New("https://hub.example", Token{}, nil, Patience{})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		from := time.Now()
		err := h.persist(ctx, &watcher{}, "x", func(context.Context) (int64, error) { return 0, &transient{errors.New("down"), time.Minute} })
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(from) != 10*time.Second {
			t.Error(err, time.Since(from))
		}
	})
}

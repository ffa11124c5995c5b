package bench

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

func TestATierThatIsDownIsNotAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, asked := llama(), 0
		s := subject(e)
		s.Up = func(context.Context) error {
			if asked++; asked > 2 {
				return errors.New("it gave way")
			}
			return nil
		}
		got := planOf([]int{0}, []int{1, 2, 3}).Measure(t.Context(), s, quiet)
		if got.Skipped != "it gave way" || len(got.Points) != 2 || got.Points[1].TTFT.Count != 6 || len(e.asked) != 1+3+6 {
			t.Errorf("%+v after %d requests", got, len(e.asked))
		}
	})
}

func TestAnInterruptEndsRequestsAndKeepsFigures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := llama()
		ctx, cancel := context.WithCancel(t.Context())
		got := planOf([]int{100}, []int{4, 2}).Measure(ctx, subject(e), func(s Step) {
			if s.Run == 3 && !s.Over {
				time.AfterFunc(50*time.Millisecond, cancel)
			}
		})
		synctest.Wait()
		if p := got.Points; len(p) != 1 || p[0].Skipped != "interrupted" || p[0].TTFT.Count != 8 {
			t.Errorf("%+v", p)
		}
		time.Sleep(time.Minute)
		if e.streams != 0 {
			t.Errorf("%d streams go on", e.streams)
		}
	})
}

func TestTimeIsBounded(t *testing.T) {
	t.Run("of a request", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			plan := planOf([]int{100, 3000}, []int{1})
			plan.Request = 2 * time.Second
			got := plan.Measure(t.Context(), subject(llama()), quiet)
			if p := got.Points; p[0].Skipped != "" || p[1].Skipped != "a request took more than 2s" {
				t.Errorf("%+v", p)
			}
		})
	})
	t.Run("of all", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeoutCause(t.Context(), 4*time.Second, errors.New("the time is over"))
			defer cancel()
			got := planOf([]int{3000, 0}, []int{1}).Measure(ctx, subject(llama()), quiet)
			if p := got.Points; len(p) != 1 || p[0].Skipped != "the time is over" || p[0].TTFT.Count != 1 {
				t.Errorf("%+v", p)
			}
		})
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

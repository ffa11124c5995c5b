//go:build vmtest

package vmtest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestRequestsStartATierAtOnce measures what tierd adds to the start of a tier that a request waits for, beside systemd and
// the unit itself: from the wish to systemd's own beginning of the start, and from systemd's word that the unit is up to the
// answer.
func TestRequestsStartATierAtOnce(t *testing.T) {
	b, ctx := measured(t)
	const rounds = 15
	var before, after []time.Duration
	for range rounds {
		asked := time.Now()
		if err := ensure(ctx, b.Control(), "orch"); err != nil {
			t.Fatal(err)
		}
		answered := time.Now()
		before = append(before, unitTime(t, b, ctx, "InactiveExitTimestamp").Sub(asked))
		after = append(after, answered.Sub(unitTime(t, b, ctx, "ActiveEnterTimestamp")))
		must(t, b, ctx, "tierctl stop orch")
	}
	t.Logf("to systemd's beginning: %v", before)
	t.Logf("from its end to the answer: %v", after)
	bench("ensure-to-start", milliseconds(median(before)), "ms", 10)
	bench("ready-to-answer", milliseconds(median(after)), "ms", 10)
	if all := median(before) + median(after); all > time.Second {
		t.Errorf("tierd adds %v to a start", all)
	}
}

// ensure asks for a tier as the gateway does.
func ensure(ctx context.Context, client *http.Client, tier string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://tierd/v1/gateway/ensure", strings.NewReader(fmt.Sprintf(`{"tier":%q}`, tier)))
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", res.StatusCode, text)
	}
	return err
}

// unitTime is one of the times that systemd keeps of orch's unit.
func unitTime(t *testing.T, b *Bed, ctx context.Context, property string) time.Time {
	t.Helper()
	text := must(t, b, ctx, "systemctl show -P "+property+" --timestamp=us+utc tier-orch.service")
	at, err := time.Parse("Mon 2006-01-02 15:04:05.999999 MST", text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

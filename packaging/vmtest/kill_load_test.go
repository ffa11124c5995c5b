//go:build vmtest

package vmtest

import (
	"slices"
	"testing"
	"time"

	"github.com/tierd/tierd/packaging/vmtest/load"
)

// kills are of one process each, without a chance to say good-bye.
var kills = []struct {
	victim, unit string
	script       string // with the unit's main process as $pid
	tier         string // whose requests it may hurt; "" all, "none" nobody's
}{
	{"tierd", "tierd.service", "kill -9 $pid", "none"},
	{"gateway", "tier-gateway.service", "kill -9 $pid", ""},
	{"shim", "tier-orch.service", "kill -9 $pid", "orch"},
	{"engine", "tier-orch.service", "kill -9 $(pgrep -P $pid)", "orch"},
}

// TestKillUnderLoad kills each of the processes under 16 streaming and 16 plain clients of two tiers. What was in flight
// there may break, once for each client, so that the client sees it, or get a 502 or 503 that says why. Whatever comes later
// is answered, no connection is refused, and nothing hangs.
func TestKillUnderLoad(t *testing.T) {
	b, ctx := underLoad(t, func(total int64) string { return demandTiers(512<<20, 256<<20, "") })
	must(t, b, ctx, "tierctl start orch utility")
	const clients = 32
	for _, k := range kills {
		t.Run(k.victim, func(t *testing.T) {
			name := "kill-" + k.victim
			r := startLoad(t, b, ctx, name, append(append(everyName("orch"), everyName("utility")...), "-streams 16 -plain 16 -length 1")...)
			if err := pause(ctx, 2*time.Second); err != nil {
				t.Fatal(err)
			}
			pid := must(t, b, ctx, "systemctl show -P MainPID "+k.unit)
			must(t, b, ctx, "pid="+pid+"; "+k.script)
			at := r.since()
			if err := pause(ctx, 5*time.Second); err != nil {
				t.Fatal(err)
			}
			tally, results := r.stop(t, ctx)
			if now := must(t, b, ctx, "systemctl show -P MainPID "+k.unit); now == pid || now == "0" {
				t.Errorf("%s: the main process was %s and is %s", k.unit, pid, now)
			}
			mayFail := clients
			if k.tier == "none" {
				mayFail = 0
			}
			bench(name+"-broken", float64(tally.Count(load.Broken)), "", float64(mayFail))
			bench(name+"-explained", float64(tally.Count(load.Clear)), "", float64(mayFail))
			benchLoad(t, name, tally, mayFail, holdBound.Seconds())
			checkAfterKill(t, k.tier, at, results)
		})
	}
}

// checkAfterKill wants the harm to stay where it was done: with the requests that were in flight to the tier, or that came
// before its end was known.
func checkAfterKill(t *testing.T, tier string, at float64, results []load.Result) {
	t.Helper()
	const known = 1 // seconds in which everybody has heard of the end
	again := map[string]bool{}
	for _, r := range results {
		hurt := r.Outcome != load.OK
		if hurt && tier != "" && r.Tier != tier {
			t.Errorf("%s has nothing to do with it, and met %s: %s", r.Tier, r.Outcome, r.Detail)
		}
		if hurt && r.At > at+known {
			t.Errorf("%.1f s after the kill a request began that met %s: %s", r.At-at, r.Outcome, r.Detail)
		}
		again[r.Tier] = again[r.Tier] || !hurt && r.At > at
	}
	for _, want := range []string{"orch", "utility"} {
		if !again[want] {
			t.Errorf("%s has answered nothing since", want)
		}
	}
	if !slices.ContainsFunc(results, func(r load.Result) bool { return r.At < at && r.At+r.Took > at }) {
		t.Error("no request was in flight at the kill, so that nothing is shown")
	}
}

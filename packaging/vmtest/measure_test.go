//go:build vmtest

package vmtest

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// measured boots a bed of its own for one measurement.
func measured(t *testing.T) (*Bed, context.Context) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	t.Cleanup(cancel)
	b, err := Boot(ctx, fixture.installed, fixture.base.Model, fixture.base.Root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("the bed's journal:\n" + b.Journal())
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b, ctx
}

func must(t *testing.T, b *Bed, ctx context.Context, script string) string {
	t.Helper()
	out, err := b.Must(ctx, script)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

func median(list []time.Duration) time.Duration {
	slices.Sort(list)
	return list[len(list)/2]
}

// byHand starts the command line that the tier's engine runs with, with the port 9999 in place of the socket, and waits
// for the first token of a stream.
const byHand = `pid=$(pgrep -P $(systemctl show -P MainPID tier-orch.service))
tr '\0' '\n' < /proc/$pid/cmdline | sed -e 's,^/run/tier/.*\.sock$,127.0.0.1,' > /root/argv
printf -- '--port\n9999\n' >> /root/argv`

// bench prints one figure beside its goal. Figures of a shared machine fail no test.
func bench(name string, value float64, unit string, limit float64) {
	verdict := "ok"
	if value > limit {
		verdict = "short"
	}
	fmt.Printf("bench: %s %.1f %s goal <= %g %s\n", name, value, unit, limit, verdict)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// TestStartCostsLittle measures what a tier adds to the start of its engine, from the command to the first token of a
// stream: the sandbox, the shim's questions and probes, the gateway. By hand is the same command line as a plain unit of
// systemd-run's.
func TestStartCostsLittle(t *testing.T) {
	b, ctx := measured(t)
	must(t, b, ctx, "tierctl start orch")
	must(t, b, ctx, byHand)
	must(t, b, ctx, "tierctl stop orch")
	const rounds = 9
	var hand, tier []time.Duration
	for range rounds {
		hand = append(hand, firstToken(t, b, ctx, 9999, "systemd-run --quiet --collect --unit=by-hand xargs -a /root/argv -d '\\n' env"))
		must(t, b, ctx, "systemctl stop by-hand")
		tier = append(tier, firstToken(t, b, ctx, 8001, "systemctl start --no-block tier-orch.service"))
		must(t, b, ctx, "systemctl stop tier-orch.service; systemctl reset-failed tier-orch.service") // the limit of starts counts these, too
	}
	more := make([]time.Duration, rounds)
	for i := range more {
		more[i] = tier[i] - hand[i]
	}
	bench("start-by-hand", milliseconds(median(hand)), "ms", 10_000)
	bench("start-as-tier", milliseconds(median(tier)), "ms", 10_000)
	bench("start-tier-over-hand", milliseconds(median(more)), "ms", 50)
	if median(more) > time.Second {
		t.Errorf("a tier takes %v longer than its engine by hand to answer", median(more))
	}
}

// firstToken is the time from the start command to the first token; requests are repeated every millisecond until then.
func firstToken(t *testing.T, b *Bed, ctx context.Context, port int, start string) time.Duration {
	t.Helper()
	cmd := b.Command(ctx, start)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	var first time.Duration
	for first == 0 {
		_, err := b.Stream(ctx, port, "any", "Hello", 4, func() { first = time.Since(begin) })
		if time.Since(begin) > time.Minute {
			t.Fatalf("no token from port %d after a minute: %v", port, err)
		}
		time.Sleep(time.Millisecond)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	return first
}

// TestIdleCost measures what tierd takes while nothing happens; memory is also held to its bound.
func TestIdleCost(t *testing.T) {
	b, ctx := measured(t)
	must(t, b, ctx, "tierctl up small && for i in $(seq 300); do tierctl status >/dev/null; done")
	pid := must(t, b, ctx, "systemctl show -P MainPID tierd.service")
	for _, unit := range []string{"tierd.service", "tier-gateway.service", "tier-orch.service"} {
		fmt.Printf("resident: %s %s\n", unit, must(t, b, ctx, "awk '/VmRSS/ { print $2, $3 }' /proc/$(systemctl show -P MainPID "+unit+")/status"))
	}
	resident, err := strconv.Atoi(must(t, b, ctx, "awk '/VmRSS/ { print $2 }' /proc/"+pid+"/status"))
	if err != nil {
		t.Fatal(err)
	}
	if resident > 20<<10 {
		t.Errorf("tierd has %d KiB resident, more than 20 MiB", resident)
	}
	time.Sleep(10 * time.Second) // what the commands above left to do
	wakeups := func() int {
		n, err := strconv.Atoi(must(t, b, ctx, "awk '/^voluntary/ { n += $2 } END { print n }' /proc/"+pid+"/task/*/status"))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before, begin := wakeups(), time.Now()
	time.Sleep(2 * time.Minute)
	perMinute := float64(wakeups()-before) / time.Since(begin).Minutes()
	bench("tierd-resident", float64(resident)/1024, "MiB", 20)
	bench("tierd-wakeups", perMinute, "/min", 10)
}

// TestStatusIsQuick measures `tierctl status`, the whole process.
func TestStatusIsQuick(t *testing.T) {
	b, ctx := measured(t)
	must(t, b, ctx, "tierctl up small")
	out := must(t, b, ctx, `python3 - <<'PY'
import subprocess, time
def run(*argv):
    begin = time.perf_counter()
    subprocess.run(argv, stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - begin) * 1000
times, base = [], []
for _ in range(60):
    times.append(run("tierctl", "status")); base.append(run("/bin/true"))
print(sorted(times)[30], sorted(base)[30])
PY`)
	var status, nothing float64
	if _, err := fmt.Sscan(out, &status, &nothing); err != nil {
		t.Fatal(err)
	}
	bench("true-command", nothing, "ms", 20)
	bench("tierctl-status", status, "ms", 20)
	if status > 1000 {
		t.Errorf("tierctl status takes %.1f ms", status)
	}
}

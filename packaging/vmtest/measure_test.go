//go:build vmtest

package vmtest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tierd/tierd/packaging/figure"
)

// measured boots a bed of its own for one measurement, or for one test that needs more layers beneath the installed package.
func measured(t *testing.T, more ...string) (*Bed, context.Context) {
	t.Helper()
	if err := prepareBeds(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	t.Cleanup(cancel)
	b, err := Boot(ctx, slices.Concat([]string{fixture.installed}, more, []string{fixture.base.Model, fixture.base.Root})...)
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

// handScripts leaves two scripts that start what the tier's engine is, on port 9999: /root/typed as one would type it, with
// the model and the sizes of tiers.toml; /root/exact with every flag that the unit gives.
const handScripts = `pid=$(pgrep -P $(systemctl show -P MainPID tier-orch.service))
tr '\0' '\n' < /proc/$pid/cmdline > /root/argv
flag() { grep -x -A 1 -e "$1" /root/argv | tail -n 1; }
echo "exec llama-server --host 127.0.0.1 --port 9999 -m $(flag -m) -c $(flag -c) -np $(flag -np) -t $(flag -t) >/dev/null 2>&1" > /root/typed
echo "exec $(sed 's,^/run/tier/.*\.sock$,127.0.0.1,' /root/argv | tr '\n' ' ') --port 9999 >/dev/null 2>&1" > /root/exact`

// bench prints one figure beside its goal. Figures of a shared machine fail no test.
func bench(name string, value float64, unit string, limit float64) {
	figure.AtMost(name, value, unit, limit)
}

// benchAtLeast is bench for a figure that should be large.
func benchAtLeast(name string, value float64, unit string, limit float64) {
	figure.AtLeast(name, value, unit, limit)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// TestStartCostsLittle measures what a tier adds to the start of its engine, from the command to the first token of a
// stream: the sandbox, the shim's questions and probes, the gateway. The unit's flags save llama-server some work, so it is
// compared with the command as one would type it and with the same flags.
func TestStartCostsLittle(t *testing.T) {
	b, ctx := measured(t)
	must(t, b, ctx, "tierctl start orch")
	must(t, b, ctx, handScripts)
	must(t, b, ctx, "tierctl stop orch")
	const rounds = 9
	var typed, exact, tier []time.Duration
	for range rounds {
		for script, times := range map[string]*[]time.Duration{"/root/typed": &typed, "/root/exact": &exact} {
			*times = append(*times, firstToken(t, b, ctx, 9999, "sh "+script+" & "))
			must(t, b, ctx, "pkill -KILL -x llama-server; while pgrep -x llama-server >/dev/null; do sleep 0.01; done")
		}
		tier = append(tier, firstToken(t, b, ctx, 8001, "systemctl start --no-block tier-orch.service"))
		must(t, b, ctx, "systemctl stop tier-orch.service; systemctl reset-failed tier-orch.service") // the limit of starts counts these, too
	}
	overTyped, overExact := make([]time.Duration, rounds), make([]time.Duration, rounds)
	for i := range rounds {
		overTyped[i], overExact[i] = tier[i]-typed[i], tier[i]-exact[i]
	}
	bench("start-as-tier", milliseconds(median(tier)), "ms", 10_000)
	bench("start-by-hand", milliseconds(median(typed)), "ms", 10_000)
	bench("start-by-hand-same-flags", milliseconds(median(exact)), "ms", 10_000)
	bench("start-tier-over-hand", milliseconds(median(overTyped)), "ms", 50)
	bench("start-tier-over-same-flags", milliseconds(median(overExact)), "ms", 50)
	if over := median(overExact); over > time.Second {
		t.Errorf("a tier takes %v longer than its engine by hand to answer", over)
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
	wakeups, switches := watchIdle(t, b, pid, 2*time.Minute)
	bench("tierd-resident", float64(resident)/1024, "MiB", 20)
	bench("tierd-wakeups", wakeups, "/min", 10)
	bench("tierd-context-switches", switches, "/min", 100)
}

// watchIdle counts, a minute, how often a process of the bed wakes up, and its context switches: each wake-up makes several,
// most of them short naps of the Go runtime's monitor. What happens within 50 ms is one wake-up.
func watchIdle(t *testing.T, b *Bed, pid string, length time.Duration) (wakeups, switches float64) {
	t.Helper()
	count := func() (n int) {
		files, err := filepath.Glob(b.Path("/proc/" + pid + "/task/*/status"))
		if err != nil || len(files) == 0 {
			t.Fatalf("cannot find the threads of process %s: %v", pid, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				continue // the thread has ended
			}
			_, rest, _ := strings.Cut(string(text), "\nvoluntary_ctxt_switches:")
			one := 0
			fmt.Sscan(rest, &one)
			n += one
		}
		return n
	}
	first := count()
	last, bursts, begin := first, 0, time.Now()
	for time.Since(begin) < length {
		time.Sleep(50 * time.Millisecond)
		if now := count(); now != last {
			last = now
			bursts++
		}
	}
	minutes := time.Since(begin).Minutes()
	return float64(bursts) / minutes, float64(last-first) / minutes
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

//go:build vllm && !vmtest

package vmtest

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// coder is the unit that vLLM serves, coderPort its port at the gateway.
const (
	coder     = "tier-coder.service"
	coderPort = 8002
)

// vllmBed is a bed with a tier that vLLM serves.
type vllmBed struct {
	*Bed
	mark   time.Time // when the running scenario began
	others string    // main processes of the other tiers, as they were at the beginning
}

// otherPIDs names the main process of each tier that is not vLLM's.
func (v *vllmBed) otherPIDs(ctx context.Context) (string, error) {
	return v.Must(ctx, "systemctl show -P MainPID tier-orch tier-utility")
}

// show returns properties of a unit.
func (v *vllmBed) show(ctx context.Context, unit string, names ...string) (map[string]string, error) {
	out, err := v.Must(ctx, "systemctl show -p "+strings.Join(names, ",")+" "+unit)
	props := map[string]string{}
	for line := range strings.Lines(out) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		props[name] = value
	}
	return props, err
}

// await looks at a unit four times a second until the condition holds, and returns every status line that it showed
// meanwhile, in order. The error says what the unit shows when ctx ends.
func (v *vllmBed) await(ctx context.Context, unit, what string, is func(map[string]string) bool) ([]string, error) {
	var words []string
	var p map[string]string
	for {
		seen, err := v.show(ctx, unit, "ActiveState", "SubState", "Result", "StatusText", "NRestarts", "ExecMainStatus")
		if ctx.Err() != nil {
			return words, fmt.Errorf("%s: not %s in time; it shows %v; status lines were %q", unit, what, p, words)
		}
		if err != nil {
			return words, err
		}
		p = seen
		if text := p["StatusText"]; text != "" && (len(words) == 0 || words[len(words)-1] != text) {
			words = append(words, text)
		}
		if is(p) {
			return words, nil
		}
		if p["ActiveState"] == "failed" && p["SubState"] == "failed" {
			return words, fmt.Errorf("%s: failed while waiting for %s: %v", unit, what, p)
		}
		pause(ctx, 250*time.Millisecond)
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func active(p map[string]string) bool { return p["ActiveState"] == "active" }

// restartedAfter is ready again, after more restarts than there were.
func restartedAfter(restarts int) func(map[string]string) bool {
	return func(p map[string]string) bool {
		n, _ := strconv.Atoi(p["NRestarts"])
		return n > restarts && active(p)
	}
}

func (v *vllmBed) restarts(ctx context.Context) (int, error) {
	p, err := v.show(ctx, coder, "NRestarts")
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(p["NRestarts"])
}

// ensureReady starts coder unless it is up, for scenarios that come after one that failed.
func (v *vllmBed) ensureReady(ctx context.Context) error {
	if _, err := v.Must(ctx, "systemctl reset-failed "+coder+"; systemctl start --no-block "+coder); err != nil {
		return err
	}
	_, err := v.await(ctx, coder, "ready", active)
	return err
}

// logged returns what the unit and systemd wrote about it since the scenario began.
func (v *vllmBed) logged(ctx context.Context, unit string) (string, error) {
	return v.Must(ctx, fmt.Sprintf("journalctl --no-pager -o cat -u %s --since=@%d", unit, v.mark.Unix()))
}

// lately is what the bed has logged since the scenario began, but for vLLM's own chatter.
func (v *vllmBed) lately(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	r, err := v.Run(ctx, fmt.Sprintf(`journalctl -b --no-pager -o short-monotonic --since=@%d | grep -vE '\) (INFO|WARNING) |NUMA binding' | tail -n 60
		systemctl --no-pager --no-legend list-units 'tier*' --all; cat /proc/loadavg`, v.mark.Unix()))
	if err != nil {
		return "cannot read the bed's journal: " + err.Error()
	}
	return r.Stdout + r.Stderr
}

// want is an error unless the unit's log since the scenario's beginning has all of the words.
func (v *vllmBed) want(ctx context.Context, unit string, words ...string) error {
	log, err := v.logged(ctx, unit)
	if err != nil {
		return err
	}
	for _, w := range words {
		if !strings.Contains(log, w) {
			return fmt.Errorf("the log of %s does not say %q", unit, w)
		}
	}
	return nil
}

// process is one process of a unit as the bed sees it.
type process struct {
	pid, uid int
	rss      int // bytes
	name     string
}

// processes lists the processes of a unit.
func (v *vllmBed) processes(ctx context.Context, unit string) ([]process, error) {
	out, err := v.Must(ctx, `cg=$(systemctl show -P ControlGroup `+unit+`)
		[ -n "$cg" ] && [ -e /sys/fs/cgroup$cg/cgroup.procs ] || exit 0
		pids=$(paste -sd, /sys/fs/cgroup$cg/cgroup.procs)
		[ -n "$pids" ] && ps -o pid=,uid=,rss=,comm= -p "$pids" || true`)
	var list []process
	for line := range strings.Lines(out) {
		var p process
		if _, err := fmt.Sscan(line, &p.pid, &p.uid, &p.rss, &p.name); err != nil {
			return nil, fmt.Errorf("cannot read a line of ps: %q: %w", line, err)
		}
		p.rss *= 1024
		list = append(list, p)
	}
	return list, err
}

// Names of processes in coder's unit. The kernel keeps 15 letters of one.
const (
	shimName       = "tier-shim"
	engineCoreName = "VLLM::EngineCor"
)

// named picks the process of that name from a list.
func named(list []process, name string) (process, error) {
	for _, p := range list {
		if p.name == name {
			return p, nil
		}
	}
	return process{}, fmt.Errorf("there is no process %q among %v", name, list)
}

// nothingLeft is an error when a stopped tier of that user left a process, shared memory, a socket or a lock behind.
func (v *vllmBed) nothingLeft(ctx context.Context, uid int) error {
	out, err := v.Must(ctx, fmt.Sprintf(`ps -e -o uid=,pid=,args= | awk '$1 == %d'
		find /dev/shm /run/tier/tier-coder /tmp -uid %d 2>/dev/null || true
		ls -A /run/tier/tier-coder 2>/dev/null || true`, uid, uid))
	if err == nil && strings.TrimSpace(out) != "" {
		err = fmt.Errorf("the tier left behind:\n%s", out)
	}
	return err
}

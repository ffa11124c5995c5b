//go:build vmtest

package vmtest

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

func cmdComplete(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		usage(ts, "[!] complete TARGET")
	}
	ctx, cancel := wait()
	defer cancel()
	port, model := target(args[0])
	text, err := of(ts).theBed(ts).Chat(ctx, port, model, "Say hello.", 8)
	fmt.Fprintln(ts.Stdout(), text)
	if err != nil {
		fmt.Fprintln(ts.Stderr(), err)
	}
	if neg == (err == nil) {
		ts.Fatalf("completion from %s: %q, %v", args[0], text, err)
	}
}

func models(ctx context.Context, ts *testscript.TestScript, args []string) error {
	port, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	ids, err := of(ts).theBed(ts).Models(ctx, port)
	fmt.Fprintln(ts.Stdout(), strings.Join(ids, "\n"))
	return err
}

func streamStart(_ context.Context, ts *testscript.TestScript, args []string) error {
	tokens, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	return of(ts).start(of(ts).theBed(ts), args[0], args[1], tokens)
}

func cmdStreamWait(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 || of(ts).streams[args[0]] == nil {
		usage(ts, "[!] stream-wait NAME of a stream that was started")
	}
	st := of(ts).streams[args[0]]
	<-st.done
	fmt.Fprintln(ts.Stdout(), st.text)
	if st.err != nil {
		fmt.Fprintln(ts.Stderr(), st.err)
	}
	if neg == (st.err == nil) {
		ts.Fatalf("stream %s: %d bytes of text, %v", args[0], len(st.text), st.err)
	}
}

// mainPid is the unit's main process, "0" when there is none.
func mainPid(ctx context.Context, ts *testscript.TestScript, unit string) (string, error) {
	out, err := of(ts).theBed(ts).Must(ctx, "systemctl show -P MainPID "+unit)
	return strings.TrimSpace(out), err
}

func savePid(ctx context.Context, ts *testscript.TestScript, args []string) error {
	pid, err := mainPid(ctx, ts, args[0])
	if err == nil && pid == "0" {
		err = fmt.Errorf("%s has no main process", args[0])
	}
	if of(ts).pids == nil {
		of(ts).pids = map[string]string{}
	}
	of(ts).pids[args[0]] = pid
	return err
}

func comparePid(ctx context.Context, ts *testscript.TestScript, unit string, same bool) error {
	pid, err := mainPid(ctx, ts, unit)
	if err != nil {
		return err
	}
	if saved := of(ts).pids[unit]; saved == "" || pid == "0" || (pid == saved) != same {
		return fmt.Errorf("%s: main process %s, saved was %q", unit, pid, saved)
	}
	return nil
}

// engineProcesses lists "comm unit" of every engine process in the bed: whatever runs in a tier's cgroup and is no shim.
const engineProcesses = `for p in /proc/[0-9]*; do
	unit=$(sed -n 's,^0::.*/\(tier-[^/]*\.service\).*,\1,p' $p/cgroup 2>/dev/null)
	comm=$(cat $p/comm 2>/dev/null) || continue
	case $comm in llama-server | vllm | VLLM::* | python*) echo "${unit:-outside}" ;; esac
done`

func copies(ctx context.Context, ts *testscript.TestScript, args []string) error {
	out, err := of(ts).theBed(ts).Must(ctx, engineProcesses)
	if err != nil {
		return err
	}
	n := 0
	for unit := range strings.FieldsSeq(out) {
		if unit == args[0] {
			n++
		}
	}
	if strconv.Itoa(n) != args[1] {
		return fmt.Errorf("%d engine processes in %s, not %s; all: %s", n, args[0], args[1], strings.Fields(out))
	}
	return nil
}

func engines(ctx context.Context, ts *testscript.TestScript, args []string) error {
	out, err := of(ts).theBed(ts).Must(ctx, engineProcesses)
	if all := strings.Fields(out); err == nil && strconv.Itoa(len(all)) != args[0] {
		err = fmt.Errorf("%d engine processes, not %s: %s", len(all), args[0], all)
	}
	return err
}

// score holds a unit to a bound of systemd-analyze's exposure level.
func score(ctx context.Context, ts *testscript.TestScript, args []string) error {
	out, err := of(ts).theBed(ts).Must(ctx, "systemd-analyze security --no-pager "+args[0])
	if err != nil {
		return err
	}
	_, rest, ok := strings.Cut(out, "Overall exposure level for "+args[0]+": ")
	got, err := strconv.ParseFloat(strings.Fields(rest + " ?")[0], 64)
	bound, boundErr := strconv.ParseFloat(args[1], 64)
	if !ok || err != nil || boundErr != nil {
		return fmt.Errorf("cannot read the score of %s: %s", args[0], out)
	}
	fmt.Fprintln(ts.Stdout(), got)
	if got > bound {
		return fmt.Errorf("%s has an exposure level of %v, more than %v:\n%s", args[0], got, bound, out)
	}
	return nil
}

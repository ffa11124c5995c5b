//go:build vmtest

package vmtest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// commands are what a scenario can say besides testscript's own words. README.md describes each.
var commands = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	"boot": cmdBoot,
	"reboot": positive(0, "reboot", func(ctx context.Context, ts *testscript.TestScript, args []string) error {
		return of(ts).theBed(ts).Reboot(ctx)
	}),
	"bed":        cmdBed,
	"bed-status": cmdBedStatus,
	"put":        positive(2, "put FILE PATH", put),
	"install": positive(0, "install", func(ctx context.Context, ts *testscript.TestScript, _ []string) error {
		return install(ctx, ts, fixture.deb)
	}),
	"upgrade": positive(0, "upgrade", func(ctx context.Context, ts *testscript.TestScript, _ []string) error {
		return install(ctx, ts, fixture.nextDeb)
	}),
	"copy-in":      positive(1, "copy-in deb|rpm", copyIn),
	"manifest":     positive(1, "manifest FILE", manifest),
	"complete":     cmdComplete,
	"models":       positive(1, "models PORT", models),
	"stream-start": positive(3, "stream-start NAME TARGET TOKENS", streamStart),
	"stream-wait":  cmdStreamWait,
	"wait-state":   positive(2, "wait-state TIER STATE", waitState),
	"wait-for":     cmdWaitFor,
	"save-pid":     positive(1, "save-pid UNIT", savePid),
	"same-pid": positive(1, "same-pid UNIT", func(ctx context.Context, ts *testscript.TestScript, args []string) error {
		return comparePid(ctx, ts, args[0], true)
	}),
	"other-pid": positive(1, "other-pid UNIT", func(ctx context.Context, ts *testscript.TestScript, args []string) error {
		return comparePid(ctx, ts, args[0], false)
	}),
	"copies":  positive(2, "copies UNIT N", copies),
	"engines": positive(1, "engines N", engines),
	"score":   positive(2, "score UNIT MAX", score),
	"provider": positive(0, "provider", func(ctx context.Context, ts *testscript.TestScript, _ []string) error {
		return startProvider(ctx, of(ts).theBed(ts))
	}),
	"hub": positive(0, "hub", func(ctx context.Context, ts *testscript.TestScript, _ []string) error {
		return startHub(ctx, of(ts).theBed(ts))
	}),
}

// positive makes a command that cannot be negated and takes exactly n words of an action that can fail.
func positive(n int, usageText string, do func(context.Context, *testscript.TestScript, []string) error) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) != n {
			usage(ts, usageText)
		}
		ctx, cancel := wait()
		defer cancel()
		ts.Check(do(ctx, ts, args))
	}
}

func cmdBoot(ts *testscript.TestScript, neg bool, args []string) {
	s := of(ts)
	layers := map[string][]string{
		"":     {fixture.installed, fixture.base.Model, fixture.base.Root},
		"base": {fixture.base.Model, fixture.base.Root},
		"bare": {fixture.base.Root},
	}[strings.Join(args, " ")]
	if neg || layers == nil || s.bed != nil {
		usage(ts, "boot [base|bare], once")
	}
	ctx, cancel := wait()
	defer cancel()
	b, err := Boot(ctx, layers...)
	ts.Check(err)
	s.bed = b
}

// run runs a shell command in the bed and passes its output on to the script's stdout and stderr.
func run(ctx context.Context, ts *testscript.TestScript, words []string) int {
	r, err := of(ts).theBed(ts).Run(ctx, shell(words))
	io.WriteString(ts.Stdout(), r.Stdout)
	io.WriteString(ts.Stderr(), r.Stderr)
	ts.Check(err)
	return r.Exit
}

func cmdBed(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 0 {
		usage(ts, "[!] bed COMMAND...")
	}
	ctx, cancel := wait()
	defer cancel()
	if exit := run(ctx, ts, args); (exit != 0) != neg {
		ts.Fatalf("%q ended with status %d", shell(args), exit)
	}
}

func cmdBedStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		usage(ts, "bed-status N COMMAND...")
	}
	ctx, cancel := wait()
	defer cancel()
	if exit := run(ctx, ts, args[1:]); strconv.Itoa(exit) != args[0] {
		ts.Fatalf("%q ended with status %d, not %s", shell(args[1:]), exit, args[0])
	}
}

func put(_ context.Context, ts *testscript.TestScript, args []string) error {
	var data []byte
	if args[0] == "tiers.toml" {
		data = fixture.tiers
	} else {
		data = []byte(ts.ReadFile(args[0]))
	}
	mode := os.FileMode(0o644)
	if strings.HasPrefix(string(data), "#!") {
		mode = 0o755
	}
	return of(ts).theBed(ts).WriteFile(args[1], data, mode)
}

func install(ctx context.Context, ts *testscript.TestScript, pkg string) error {
	path, err := of(ts).theBed(ts).CopyIn(pkg)
	if err != nil {
		return err
	}
	if exit := run(ctx, ts, []string{InstallScript(path)}); exit != 0 {
		return fmt.Errorf("the installation of %s ended with status %d", path, exit)
	}
	return nil
}

func copyIn(_ context.Context, ts *testscript.TestScript, args []string) error {
	file, ok := map[string]string{"deb": fixture.deb, "rpm": fixture.rpm}[args[0]]
	if !ok {
		return fmt.Errorf("no package is called %q", args[0])
	}
	path, err := of(ts).theBed(ts).CopyIn(file)
	if err == nil {
		_, err = of(ts).theBed(ts).Must(context.Background(), "mv "+path+" /bed/tierd."+args[0])
	}
	return err
}

func manifest(ctx context.Context, ts *testscript.TestScript, args []string) error {
	list, err := of(ts).theBed(ts).Manifest(ctx)
	if err != nil {
		return err
	}
	return os.WriteFile(ts.MkAbs(args[0]), append(list, '\n'), 0o644)
}

// waitState waits until tierd says that a tier is in a state. It fails at once when the tier ends up failed instead.
func waitState(ctx context.Context, ts *testscript.TestScript, args []string) error {
	last := "nothing yet"
	for {
		var answer struct {
			Result struct{ State, Status, Reason string }
			Error  *struct{ Message string }
		}
		res, err := of(ts).theBed(ts).Control().Get("http://tierd/v1/tiers/" + args[0])
		if err == nil {
			err = json.NewDecoder(res.Body).Decode(&answer)
			res.Body.Close()
		}
		switch {
		case err != nil:
			last = err.Error()
		case answer.Error != nil:
			last = answer.Error.Message
		case answer.Result.State == args[1]:
			return nil
		default:
			last = strings.TrimSpace(answer.Result.State + " " + answer.Result.Status + " " + answer.Result.Reason)
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return fmt.Errorf("tier %s is not %s but %s: %w", args[0], args[1], last, err)
		}
		if answer.Result.State == "failed" && args[1] == "ready" {
			return fmt.Errorf("tier %s does not get ready: %s", args[0], last)
		}
	}
}

func cmdWaitFor(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 0 {
		usage(ts, "[!] wait-for COMMAND...")
	}
	ctx, cancel := wait()
	defer cancel()
	for {
		r, err := of(ts).theBed(ts).Run(ctx, shell(args))
		ts.Check(err)
		if (r.Exit != 0) == neg {
			io.WriteString(ts.Stdout(), r.Stdout)
			io.WriteString(ts.Stderr(), r.Stderr)
			return
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			ts.Fatalf("%q still ends with status %d: %s%s", shell(args), r.Exit, r.Stdout, r.Stderr)
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

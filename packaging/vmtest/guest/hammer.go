package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tierd/tierd/packaging/vmtest/wire"
)

// commandTime bounds one command of a hammer: far more than a tier's load and every wait before it, so that only a hang
// meets it.
const commandTime = 10 * time.Minute

// target is a tier and the gateway's port for it.
type target struct {
	Tier string
	Port int
}

// hammer runs commands, and writes down how each ended.
type hammer struct {
	targets []target
	begin   time.Time
	run     func(ctx context.Context, argv ...string) (output, error)

	mu      sync.Mutex
	out     *json.Encoder
	Summary wire.Tally
}

// output is how a command ended.
type output struct {
	Stdout, Stderr string
	Exit           int
}

// attempt is one line of the file: one command and what came of it.
type attempt struct {
	At, Took float64 // seconds: since the first attempt, and until the end
	Command  string
	Tier     string
	Exit     int
	Outcome  string // one of wire's
	Reason   string `json:",omitempty"` // in tierd's or systemd's words
	Source   string `json:",omitempty"` // where the reason was found
}

// hammerFlags adds the flags that every hammer has. The returned function makes the hammer, once they are parsed.
func hammerFlags(flags *flag.FlagSet) func() (*hammer, *os.File, error) {
	tiers := flags.String("tiers", "", "tiers and ports: orch=8001,coder=8002")
	out := flags.String("out", "", "file for the JSON lines")
	return func() (*hammer, *os.File, error) {
		targets, err := parseTargets(*tiers)
		if err != nil {
			return nil, nil, err
		}
		file, err := os.Create(*out)
		if err != nil {
			return nil, nil, err
		}
		return newHammer(targets, file, runCommandLine), file, nil
	}
}

func newHammer(targets []target, out io.Writer, run func(context.Context, ...string) (output, error)) *hammer {
	return &hammer{
		targets: targets, begin: time.Now(), run: run, out: json.NewEncoder(out),
		Summary: wire.Tally{Outcomes: map[string]map[string]int{}, Reasons: map[string]int{}},
	}
}

// parseTargets reads "orch=8001,coder=8002".
func parseTargets(text string) ([]target, error) {
	var list []target
	for word := range strings.SplitSeq(text, ",") {
		tier, number, _ := strings.Cut(word, "=")
		port, err := strconv.ParseUint(number, 10, 16)
		if err != nil || tier == "" || port == 0 {
			return nil, fmt.Errorf("%q is no tier with a port, such as orch=8001", word)
		}
		list = append(list, target{tier, int(port)})
	}
	return list, nil
}

// runCommandLine runs a program. One that fails is an output, not an error.
func runCommandLine(ctx context.Context, argv ...string) (output, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	out := output{Stdout: stdout.String(), Stderr: stderr.String()}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return out, fmt.Errorf("%q did not end in time: %w", strings.Join(argv, " "), ctx.Err())
	case errors.As(err, &exit):
		out.Exit = exit.ExitCode()
		return out, nil
	}
	return out, err
}

// attempt runs a command that starts a tier, finds out what came of it and writes that down.
func (h *hammer) attempt(ctx context.Context, tier string, argv ...string) (attempt, error) {
	start := time.Now()
	out, err := h.run(ctx, argv...)
	a := attempt{
		At: start.Sub(h.begin).Seconds(), Took: time.Since(start).Seconds(),
		Command: argv[0] + " " + argv[1], Tier: tier, Exit: out.Exit, Outcome: wire.Admitted,
	}
	switch {
	case err != nil:
		return a, err
	case out.Exit == 0:
	case argv[0] == "tierctl":
		a.Outcome, a.Reason, a.Source = explainTierctl(out.Stderr)
	default:
		if a.Outcome, a.Reason, a.Source, err = h.explainUnit(ctx, tier, out.Stderr, start); err != nil {
			return a, err
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	count(&h.Summary, a)
	return a, h.out.Encode(a)
}

// write adds anything else to the file.
func (h *hammer) write(line any) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.out.Encode(line)
}

func count(t *wire.Tally, a attempt) {
	if t.Outcomes[a.Command] == nil {
		t.Outcomes[a.Command] = map[string]int{}
	}
	t.Outcomes[a.Command][a.Outcome]++
	t.Longest = max(t.Longest, a.Took)
	if a.Outcome != wire.Admitted {
		t.Reasons[withoutNumbers(a.Outcome+": "+a.Reason)]++
	}
}

// withoutNumbers replaces each row of digits by N, so that reasons that differ in amounts alone count as one.
func withoutNumbers(text string) string {
	var b strings.Builder
	digits := false
	for _, r := range text {
		if digit := r >= '0' && r <= '9'; !digit {
			b.WriteRune(r)
			digits = false
		} else if !digits {
			b.WriteByte('N')
			digits = true
		}
	}
	return b.String()
}

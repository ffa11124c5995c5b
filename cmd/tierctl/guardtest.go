package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/units"
)

// loadWish is what the command line says of the load.
type loadWish struct {
	size, rate sizeFlag
	seconds    int
	yes        bool
	dmaHeap    bool
}

func (a *app) guardTestCommand() *cobra.Command {
	w := loadWish{rate: sizeFlag{bytes: 500 * units.MiB, suffix: "/s"}}
	cmd := &cobra.Command{
		Use:   "test",
		Short: "Take memory on this machine until the guard acts, and tell how fast it was",
		Long: `Take memory on this machine until less than the soft line is available and the guard has
acted, then give all of it back and tell how long each step took. A tier really gives way:
it is said beforehand which, and asked whether to go on.

The memory is taken by a process of its own, which the kernel ends before any other, and
which ends with this one. Everything is given back when the guard has acted, when --size
or --seconds is reached, when less than the hard line is available, and at Ctrl-C. It
needs no root.

Exit status 0 when the guard acted and memory was back, 1 when not, 3 when it is not armed.`,
		Example: `  tierctl guard test
  tierctl guard test --rate 2GiB/s
  tierctl guard test --size 4GiB --seconds 10 --yes --format json`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.testGuard(cmd.Context(), w) },
	}
	cmd.Flags().Var(&w.size, "size", "take so much at most, as in 2GiB (default: to a little below the soft line)")
	cmd.Flags().Var(&w.rate, "rate", "take so much a second when the soft line is near")
	cmd.Flags().IntVar(&w.seconds, "seconds", 30, "from there on, take and hold it for so many seconds at most")
	cmd.Flags().BoolVarP(&w.yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&w.dmaHeap, "dma-heap", false, "take it from "+dmaHeapDevice+", where no process and no cgroup has it, as a GPU does")
	return cmd
}

// sizeFlag is an amount of memory on the command line.
type sizeFlag struct {
	bytes  units.Bytes
	suffix string // that may stand behind it
}

func (f *sizeFlag) String() string {
	if f.bytes == 0 {
		return ""
	}
	return f.bytes.String() + f.suffix
}

func (f *sizeFlag) Type() string { return "SIZE" + f.suffix }

func (f *sizeFlag) Set(text string) error {
	if err := f.bytes.UnmarshalText([]byte(strings.TrimSuffix(text, f.suffix))); err != nil {
		return err
	}
	if f.bytes == 0 {
		return fmt.Errorf("it has to be more than nothing")
	}
	return nil
}

func (a *app) testGuard(ctx context.Context, w loadWish) error {
	c := a.client()
	g, err := c.Guard(ctx)
	if err != nil {
		return err
	}
	available, err := availableNow()
	if err != nil {
		return err
	}
	if err := untestable(g, available); err != nil {
		return err
	}
	t := newLoadTest(*g.State, available, w)
	fmt.Fprint(a.stderr, t.explanation())
	if err := a.confirm(w.yes, "tierctl guard test --yes", "nothing was taken"); err != nil {
		return err
	}
	result, err := t.run(ctx, c)
	if err != nil {
		return err
	}
	if a.format == formatJSON {
		err = a.writeJSON(result)
	} else {
		a.printLoadResult(result)
	}
	if err != nil {
		return err
	}
	return t.verdict(result)
}

// untestable says why there is nothing to try out; nil when there is.
func untestable(g api.Guard, available uint64) error {
	switch {
	case !g.Enabled:
		return &failure{status: exitNotReady, message: "there is no guard to test: tiers.toml turns it off in [guard]"}
	case unarmed(g) != nil:
		return unarmed(g)
	case len(g.State.Order) == 0:
		return &failure{status: exitFailed, message: "no tier is up, so none can give way", hint: "tierctl start TIER"}
	case available <= g.State.Soft:
		return &failure{status: exitFailed, message: fmt.Sprintf("memory is short already: %s is available, and the soft line is %s", size(available), size(g.State.Soft)),
			hint: "tierctl guard"}
	}
	return nil
}

// loadTest is one run, worked out before anything is taken.
type loadTest struct {
	load
	state   api.GuardState
	before  uint64 // available
	seconds time.Duration
	dmaHeap bool
	start   func(load, bool) (taker, error)
}

// backWithin is how long one waits for memory to come back after the guard has acted: longer than it waits itself.
const backWithin = 20 * time.Second

func newLoadTest(s api.GuardState, available uint64, w loadWish) *loadTest {
	t := &loadTest{state: s, before: available, seconds: time.Duration(w.seconds) * time.Second, dmaHeap: w.dmaHeap, start: startLoad}
	t.rate, t.floor, t.size = uint64(w.rate.bytes), s.Hard, uint64(w.size.bytes)
	t.quick = s.Soft + 2*t.rate // two seconds in which the guard sees it coming, as it would any other load
	if t.size == 0 {
		t.size = available - s.Soft + (s.Soft-s.Hard)/4
	}
	return t
}

func (t *loadTest) explanation() string {
	var b strings.Builder
	down := t.before - min(t.before, t.size)
	fmt.Fprintf(&b, "This takes memory of this machine until the guard acts.\n\n")
	fmt.Fprintf(&b, "  How much   up to %s of the %s that are available now, down to %s; the soft line is %s\n",
		size(t.size), size(t.before), size(max(down, t.floor)), size(t.state.Soft))
	pace := size(t.rate) + " a second"
	if t.before > t.quick {
		pace = fmt.Sprintf("without a pause down to %s, then %s", size(t.quick), pace)
	}
	fmt.Fprintf(&b, "  How fast   %s, for %s at most\n", pace, formatAge(t.seconds))
	fmt.Fprintf(&b, "  Expected   %s\n", t.expected(down))
	fmt.Fprintf(&b, "  Bounds     all is given back then, below %s (the hard line), and at Ctrl-C; the kernel would\n", size(t.floor))
	fmt.Fprintf(&b, "             end the process that takes it before any other\n\n")
	return b.String()
}

func (t *loadTest) expected(down uint64) string {
	first := t.state.Order[0]
	switch {
	case down > t.state.Soft:
		return "nothing: that does not reach the soft line"
	case t.state.DryRun:
		return fmt.Sprintf("the guard says that %s would give way, and touches nothing (dry run)", first.Tier)
	}
	return fmt.Sprintf("%s gives way (%s); its requests wait until it may come back", first.Tier, first.Why)
}

// confirm asks a person, and takes silence for no. without is the command that needs nobody, and no what a no comes to.
func (a *app) confirm(yes bool, without, no string) error {
	if yes {
		return nil
	}
	if f, ok := a.stdin.(*os.File); !ok || !isTerminal(f) {
		return &failure{status: exitUsage, message: "nobody can be asked here whether to go on: standard input is no terminal", hint: without}
	}
	fmt.Fprint(a.stderr, "Go on? [y/N] ")
	answer, _ := bufio.NewReader(a.stdin).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return &failure{status: exitFailed, message: no}
}

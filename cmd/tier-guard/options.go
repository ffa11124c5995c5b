package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/tierd/tierd/agent/api/guardwire"
	"github.com/tierd/tierd/agent/guard"
)

// options are the flags.
type options struct {
	socket, trace, root string
	state               string    // directory; "": nothing is kept
	soft, hard          bytesFlag // 0: as tierd says
	fillRate            bytesFlag
	dryRun              bool
	debug, version      bool
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("tier-guard", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, "usage: tier-guard [OPTIONS]\n\n"+
			"Has tiers give way when memory runs out. systemd starts it (tier-guard.service); by hand it does the same for as\n"+
			"long as it runs. Sizes are like 8GiB.\n\n")
		flags.PrintDefaults()
	}
	flags.StringVar(&o.socket, "socket", guardwire.Socket, "tierd's `socket` for the guard")
	flags.Var(&o.soft, "soft", "below this `size` of available memory an idle tier gives way, whatever tierd says")
	flags.Var(&o.hard, "hard", "below this `size` busy ones do too, whatever tierd says")
	flags.Var(&o.fillRate, "fill-rate", "the `size` of memory that can be taken in a second, whatever tierd says")
	flags.BoolVar(&o.dryRun, "dry-run", false, "tell what would be done, and touch nothing")
	flags.StringVar(&o.trace, "trace", "", "append every look and what was decided to `FILE`")
	state, _, _ := strings.Cut(os.Getenv("RUNTIME_DIRECTORY"), ":") // systemd's, of RuntimeDirectory=
	flags.StringVar(&o.state, "state", state, "keep what tierd says in `directory`, for a guard that is started again")
	flags.StringVar(&o.root, "root", "/", "the host's files are below `directory`")
	flags.BoolVar(&o.debug, "debug", false, "log what is of use to developers as well")
	flags.BoolVar(&o.version, "version", false, "print the version and end")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	var err error
	switch {
	case flags.NArg() > 0:
		err = fmt.Errorf("unknown argument %q: tier-guard takes options only", flags.Arg(0))
	case o.hard != 0 && o.soft != 0 && o.hard >= o.soft:
		err = fmt.Errorf("-hard %s is not below -soft %s", &o.hard, &o.soft)
	}
	if err != nil {
		fmt.Fprintf(stderr, "tier-guard: %v\n", err)
	}
	return o, err
}

// over puts the flags over what tierd said, or over what goes for this host until it has.
func (o options) over(t *guardwire.Table, total uint64) (guard.Lines, guard.Pace) {
	lines, pace := guard.HostLines(total), guard.HostPace(total)
	if t != nil {
		said := guard.Lines{Refuse: t.Refuse, Soft: t.Soft, Hard: t.Hard, Emergency: t.Emergency}
		if said.Check(total) == nil {
			lines = said
		}
		if t.FillRate != 0 {
			pace.FillRate = t.FillRate
		}
		pace.DryRun = t.DryRun
	}
	if o.soft != 0 {
		lines = guard.KeepFreeLines(uint64(o.soft), 0, 0)
	}
	if o.hard != 0 {
		lines = guard.KeepFreeLines(lines.Soft, lines.Soft, uint64(o.hard))
	}
	if o.fillRate != 0 {
		pace.FillRate = uint64(o.fillRate)
	}
	pace.DryRun = pace.DryRun || o.dryRun
	return lines, pace
}

// bytesFlag is a size with its unit.
type bytesFlag uint64

var sizeUnits = []struct {
	name  string
	bytes float64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}}

func (b *bytesFlag) Set(text string) error {
	for _, u := range sizeUnits {
		digits, found := strings.CutSuffix(text, u.name)
		if !found {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
		if err != nil || !(n > 0) || n*u.bytes >= 1<<53 {
			break
		}
		*b = bytesFlag(math.Round(n * u.bytes))
		return nil
	}
	return errors.New("is not a size like 8GiB or 512MiB")
}

func (b *bytesFlag) String() string {
	for i := len(sizeUnits) - 1; i >= 0; i-- {
		if n := float64(*b) / sizeUnits[i].bytes; n >= 1 {
			return strconv.FormatFloat(n, 'f', -1, 64) + sizeUnits[i].name
		}
	}
	return ""
}

// Command guardbench compares guards against memory pressure: the kernel alone, earlyoom, systemd-oomd, nohang and tier-guard
// are tried on the same scenarios in one VM. `make bench-guard` runs it; docs/guard-bench.md says how to read what it prints.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/tierd/tierd/packaging/vmtest"
)

func main() {
	// Figures of earlier runs need no VM and no root.
	if !onlyReports(os.Args[1:]) {
		if err := vmtest.Enter(); err != nil {
			fmt.Fprintln(os.Stderr, "guardbench:", err)
			os.Exit(1)
		}
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// options are the flags.
type options struct {
	scenarios, guards string
	rounds            int
	resume, report    bool
	patience          time.Duration // 0: without end
	dir, doc          string
	m                 machine
}

func (o *options) flags(stderr io.Writer) *flag.FlagSet {
	f := flag.NewFlagSet("guardbench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.scenarios, "scenarios", "", "scenarios to run, separated by spaces; none: all")
	f.StringVar(&o.guards, "guards", "", "guards to run, separated by spaces; none: all")
	f.IntVar(&o.rounds, "rounds", 3, "`rounds` over all of them")
	f.BoolVar(&o.resume, "resume", false, "go on where an earlier run has stopped: what it has results of is not run again")
	f.BoolVar(&o.report, "report", false, "run nothing, print what earlier runs have shown")
	f.DurationVar(&o.patience, "for", 0, "begin no run after so long")
	f.StringVar(&o.dir, "dir", "build/bench-guard", "`folder` for results")
	f.StringVar(&o.doc, "doc", "", "`file` whose figures are to be replaced by those of a whole bench")
	f.StringVar(&o.m.kernel, "kernel", "", "`program` that mkuml.sh has made")
	f.StringVar(&o.m.layers, "layers", "", "`folders` that mkguards.sh has made, separated by spaces")
	f.StringVar(&o.m.init, "init", "", "`program` of packaging/vmtest/guest")
	f.StringVar(&o.m.guest, "guest", "", "`program` of packaging/guardbench/guest")
	f.StringVar(&o.m.memory, "memory", "", "`program` made of packaging/guardbench/memory")
	f.StringVar(&o.m.guard, "tier-guard", "", "`program` of cmd/tier-guard")
	return f
}

// whole tells whether the bench leaves nothing out, so that its figures may stand in a document.
func (o *options) whole() bool {
	const leastRounds = 3 // of which the table has a median
	return o.scenarios == "" && o.guards == "" && o.rounds >= leastRounds
}

func onlyReports(args []string) bool {
	var o options
	return o.flags(io.Discard).Parse(args) == nil && o.report
}

// run returns the exit status: 0 however good the figures are, 1 when a run had no result or nothing could be measured.
func run(args []string, stdout, stderr io.Writer) int {
	var o options
	if err := o.flags(stderr).Parse(args); err != nil {
		return 2
	}
	if err := bench(o, stdout, stderr); err != nil {
		fmt.Fprintln(stderr, "guardbench:", err)
		return 1
	}
	return 0
}

// bench runs what is asked for and prints what has come of it, also of what was there before.
func bench(o options, stdout, stderr io.Writer) error {
	plan, err := newPlan(strings.Fields(o.scenarios), strings.Fields(o.guards), o.rounds)
	if err != nil {
		return err
	}
	results, err := openStore(o.dir, o.resume || o.report)
	if err != nil {
		return err
	}
	defer results.close()
	var failed error
	if !o.report {
		failed = measure(context.Background(), o, plan, results, stderr)
	}
	text := report(results.outcomes)
	if _, err := io.WriteString(stdout, text.table+"\n"+text.figures); err != nil {
		return err
	}
	if o.doc != "" && o.whole() && results.complete(plan) {
		failed = errors.Join(failed, replaceFigures(o.doc, text))
	}
	return failed
}

// measure runs what there is no result of. A run without a result does not keep the others from being made.
func measure(ctx context.Context, o options, plan plan, results *store, progress io.Writer) (err error) {
	left := results.missing(plan)
	o.m.progress = progress
	vm := &o.m
	defer func() { err = errors.Join(err, vm.close()) }()
	restore, err := vm.allowMaps()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, restore()) }()
	begin := time.Now()
	var failed []error
	for i, r := range left {
		if o.patience > 0 && time.Since(begin) > o.patience {
			return errors.Join(append(failed, fmt.Errorf("%d of %d runs are left for another time (-resume)", len(left)-i, len(left)))...)
		}
		start := time.Now()
		one, err := vm.try(ctx, r, o.dir)
		if err != nil {
			return errors.Join(append(failed, err)...)
		}
		if one.Failed != "" {
			failed = append(failed, fmt.Errorf("%s: %s", r.Name(), one.Failed))
		}
		fmt.Fprintf(progress, "%d/%d %-22s %4.1f s  %s\n", i+1, len(left), r.Name(), time.Since(start).Seconds(), one.Line())
		if err := results.add(one); err != nil {
			return errors.Join(append(failed, err)...)
		}
	}
	return errors.Join(failed...)
}

// Command bench measures the gateway beside the direct way to an engine and beside nginx, in one run on one machine, and
// abuses it. `make bench` runs it; docs/bench.md says how to read what it prints.
//
// It starts itself as the scripted engine (`bench engine SOCKET`) and as the client (`bench client`), each a process of
// its own, so that neither's work is counted as another's.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// options are the flags.
type options struct {
	gateway, nginx string // programs
	rounds         int
	only           string
}

// run returns the exit status: 0 however good the figures are, 1 when an answer was wrong or nothing could be measured.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var err error
	switch {
	case len(args) == 2 && args[0] == "engine":
		err = runEngine(args[1])
	case len(args) == 1 && args[0] == "client":
		err = runClient(stdin, stdout)
	default:
		var o options
		f := flag.NewFlagSet("bench", flag.ContinueOnError)
		f.SetOutput(stderr)
		f.StringVar(&o.gateway, "gateway", "build/bench/tier-gateway", "the gateway's `program`")
		f.StringVar(&o.nginx, "nginx", "nginx", "nginx's `program`")
		f.IntVar(&o.rounds, "rounds", 6, "`rounds` over all targets")
		f.StringVar(&o.only, "only", "data,memory,abuse", "`parts` to run, separated by commas")
		if err := f.Parse(args); err != nil {
			return 2
		}
		err = bench(o, stdout)
	}
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	return 0
}

// bench runs the parts and prints tables as they come, figures at the end.
func bench(o options, stdout io.Writer) (err error) {
	r, err := startRig(o)
	if err != nil {
		return err
	}
	defer func() {
		if stopped := r.stop(); err == nil {
			err = stopped
		}
	}()
	wants := func(part string) bool { return strings.Contains(","+o.only+",", ","+part+",") }
	var figures []func()
	if wants("data") {
		all, err := measure(r, o.rounds, phases())
		if err != nil {
			return err
		}
		if err := table(stdout, r, all); err != nil {
			return err
		}
		figures = append(figures, func() { dataFigures(all) })
	}
	if wants("memory") {
		m, err := measureMemory(r)
		if err != nil {
			return err
		}
		fmt.Fprintf(stdout, "gateway: %d KiB resident when fresh, %d KiB after 100,000 requests and 1,000 streams, %d KiB at most\n\n",
			m.fresh>>10, m.resident>>10, m.peak>>10)
		figures = append(figures, func() { memoryFigures(m) })
	}
	if wants("abuse") {
		list, err := measureAbuse(r, fullScale)
		if err != nil {
			return err
		}
		if err := abuseTable(stdout, list); err != nil {
			return err
		}
		figures = append(figures, func() { abuseFigures(list) })
	}
	for _, print := range figures {
		print()
	}
	return nil
}

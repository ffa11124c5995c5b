// Command bench measures the gateway beside the direct way to an engine and beside nginx, in one run on one machine, and
// abuses it. `make bench` runs it; docs/bench.md says how to read what it prints.
//
// It starts itself as the scripted engine (`bench engine KIND SOCKET`) and as the client (`bench client`), each a process of
// its own, so that neither's work is counted as another's.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// options are the flags.
type options struct {
	gateway, nginx string // programs
	rounds         int
	parts          string
	profiles       string // folder; "" writes none
}

// run returns the exit status: 0 however good the figures are, 1 when an answer was wrong or nothing could be measured.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var err error
	switch {
	case len(args) == 3 && args[0] == "engine":
		err = runEngine(args[1], args[2])
	case len(args) == 1 && args[0] == "client":
		err = runClient(stdin, stdout)
	default:
		var o options
		f := flag.NewFlagSet("bench", flag.ContinueOnError)
		f.SetOutput(stderr)
		f.StringVar(&o.gateway, "gateway", "build/bench/tier-gateway", "the gateway's `program`")
		f.StringVar(&o.nginx, "nginx", "nginx", "nginx's `program`")
		f.IntVar(&o.rounds, "rounds", 6, "`rounds` over all targets")
		f.StringVar(&o.parts, "parts", "data memory abuse", "`parts` to run, separated by spaces")
		f.StringVar(&o.profiles, "profiles", "", "`folder` for CPU profiles of the gateway, in place of measuring")
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
	r, err := startRig(o, scripted)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.stop()) }()
	if o.profiles != "" {
		return profile(stdout, r, o.profiles, phases())
	}
	parts := strings.Fields(o.parts)
	var figures []func()
	for _, part := range []struct {
		name string
		do   func(io.Writer, *rig, options) (figures func(), err error)
	}{{"data", data}, {"memory", resting}, {"abuse", abusing}} {
		if !slices.Contains(parts, part.name) {
			continue
		}
		print, err := part.do(stdout, r, o)
		if err != nil {
			return err
		}
		figures = append(figures, print)
	}
	for _, print := range figures {
		print()
	}
	return nil
}

func data(w io.Writer, r *rig, o options) (func(), error) {
	all, err := measure(r, o.rounds, phases())
	if err != nil {
		return nil, err
	}
	if err := table(w, r, phases(), all); err != nil {
		return nil, err
	}
	parsing, err := dataOfHTTP(w, o)
	return func() { dataFigures(all, parsing) }, err
}

// dataOfHTTP measures throughput once more, before an engine that has to read its requests.
func dataOfHTTP(w io.Writer, o options) (s samples, err error) {
	r, err := startRig(o, netHTTP)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.stop()) }()
	full := []phase{crowd}
	all, err := measure(r, o.rounds, full)
	if err != nil {
		return nil, err
	}
	fmt.Fprintln(w, "Before an engine by net/http:")
	return all[crowd.name], table(w, r, full, all)
}

func resting(w io.Writer, r *rig, _ options) (func(), error) {
	m, err := measureMemory(r)
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(w, "gateway: %d KiB resident when fresh, %d KiB after 100,000 requests and 1,000 streams, %d KiB at most\n\n",
		m.fresh>>10, m.resident>>10, m.peak>>10)
	return func() { memoryFigures(m) }, err
}

func abusing(w io.Writer, r *rig, _ options) (func(), error) {
	list, err := measureAbuse(r, fullScale)
	if err != nil {
		return nil, err
	}
	return func() { abuseFigures(list) }, abuseTable(w, list)
}

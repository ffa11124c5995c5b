package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/tierd/tierd/packaging/vmtest/load"
)

// clients are many clients at once, for so long or until SIGTERM. The requests in flight are finished then. It writes what
// they came to, as JSON.
func clients(args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	var p load.Plan
	flags.Var(&p.Targets, "target", "TIER:PORT:MODEL:ANSWER,ANSWER; may be given several times")
	flags.IntVar(&p.Streams, "streams", 0, "clients that want streams")
	flags.IntVar(&p.Plain, "plain", 0, "clients that want answers in one piece")
	flags.DurationVar(&p.For, "for", 0, "how long; 0: until SIGTERM")
	flags.DurationVar(&p.Bound, "bound", 5*time.Minute, "what one request may take")
	flags.DurationVar(&p.Pause, "pause", 0, "average time between a client's requests")
	flags.IntVar(&p.Length, "length", 0, "phrases in the longest text")
	flags.BoolVar(&p.Retry, "retry", false, "obey Retry-After")
	flags.Uint64Var(&p.Seed, "seed", 1, "of all that is random")
	out := flags.String("out", "", "file for a JSON line on each request")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *out != "" {
		file, err := os.Create(*out)
		if err != nil {
			return err
		}
		defer file.Close()
		p.Results = file
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	tally, err := load.Run(ctx, p)
	if err != nil {
		return fmt.Errorf("the load could not be run: %w", err)
	}
	return json.NewEncoder(stdout).Encode(tally)
}

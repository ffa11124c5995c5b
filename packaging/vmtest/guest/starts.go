package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"math/rand/v2"
	"sync"
)

// starts runs `systemctl start` of random tiers from several workers, each with its own row of them, and beside that as
// many `tierctl start` from as many workers. Now and then a worker stops a random tier first, so that there is something
// to start.
func starts(args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("starts", flag.ContinueOnError)
	n := flags.Int("n", 200, "starts with each of both commands")
	workers := flags.Int("workers", 4, "that share them, for each command")
	stops := flags.Int("stops", 10, "one start in so many comes after a stop of a random tier")
	seed := flags.Uint64("seed", 1, "of the orders")
	open := hammerFlags(flags)
	if err := flags.Parse(args); err != nil {
		return err
	}
	h, file, err := open()
	if err != nil {
		return err
	}
	err = h.startAll(context.Background(), *n, *workers, *stops, *seed)
	return errors.Join(err, file.Close(), json.NewEncoder(stdout).Encode(h.Summary))
}

// startAll returns when all of the workers are through. A command that cannot be run ends its worker, and is an error.
func (h *hammer) startAll(ctx context.Context, n, workers, stops int, seed uint64) error {
	commands := []func(tier string) []string{
		func(tier string) []string { return []string{"systemctl", "start", "tier-" + tier + ".service"} },
		func(tier string) []string { return []string{"tierctl", "start", tier} },
	}
	var all sync.WaitGroup
	failed := make([]error, len(commands)*workers)
	for kind, command := range commands {
		for w := range workers {
			row := kind*workers + w
			order := rand.New(rand.NewPCG(seed, uint64(row)))
			share := n / workers
			if w < n%workers {
				share++
			}
			all.Go(func() {
				for range share {
					if failed[row] = h.startOne(ctx, order, stops, command); failed[row] != nil {
						return
					}
				}
			})
		}
	}
	all.Wait()
	return errors.Join(failed...)
}

// startOne starts one tier of the worker's order, perhaps after a stop. That a stop is refused, since somebody else is at
// that tier just now, is as good.
func (h *hammer) startOne(ctx context.Context, order *rand.Rand, stops int, command func(tier string) []string) error {
	if order.IntN(stops) == 0 {
		if _, err := h.run(ctx, "tierctl", "stop", h.pick(order)); err != nil {
			return err
		}
	}
	tier := h.pick(order)
	_, err := h.attempt(ctx, tier, command(tier)...)
	return err
}

func (h *hammer) pick(order *rand.Rand) string { return h.targets[order.IntN(len(h.targets))].Tier }

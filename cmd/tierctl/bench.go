package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/tierd/tierd/agent/bench"
	"github.com/tierd/tierd/units"
)

// benchOptions are the flags of tierctl bench.
type benchOptions struct {
	depths, streams []string
	tokens, runs    int
	start, evict    bool
	bandwidth       string
	request, whole  time.Duration
	save, compare   string
}

const benchHelp = `Measure how fast tiers answer, as their clients see it: by requests through the gateway.
Without TIER, each tier that is up, one after the other. For each --depth, a prompt of so
many tokens that no cache knows, and each --concurrency, requests at the same time:

  TTFT      seconds until the first token of the answer
  CACHED    the same when the prompt comes a second time
  PROMPT/S  tokens of the prompt a second, until the first token of the answer
  EACH/S    tokens a second, from the first to the last, of each answer
  TOTAL/S   of all answers together, from the first token of the first to the last of
            the last: prompts that are read meanwhile are in it
  BOUND     TOTAL/S in percent of what the memory's bandwidth allows

Figures are medians; beneath them the least and the most. The bound is the bandwidth
divided by the bytes that a token reads: the model's weights (of a mixture of experts
those that it is given to) and the KV cache at that depth. Requests at the same time share
the weights, of a mixture as if all were given to the same experts. The bound is left out
where one of these is not known. The bandwidth comes from --bandwidth, from the firmware's
table (which root may read), is that of Strix Halo, or is measured by a short test that
reads memory, whichever is there first.

A tier in use is not measured, and other tiers in use are named, since they share the
memory. A tier that is down is measured with --start only; where others have to give way
for it, with --evict only. Tiers with a remote engine are not this machine's, and are left
out. Where the gateway wants a key it is taken from the variable TIERD_KEY.

--save keeps the report. --compare lays one that was kept beside this one: the ratio of
the medians, with a mark (*) where both were measured more than once and their spreads,
from the least to the most, do not overlap. Where
the model, the variant, the engine, its version or --tokens differ it says so and compares
nothing.

--format json (schema 1): schema, time, tierd, machine, tokens, runs, ended (why it ended
early), tiers[] and comparison. Each tier: tier, variant, engine, version, model, context,
weights (bytes read for a token), experts, used, bandwidth {bytes_per_second, source,
measured}, notes[], skipped (why), points[]. Each point: depth, streams, skipped,
prompt_tokens, kv (bytes read for a token), cached_tokens, then {median, min, max, count}
of ttft_seconds, cached_ttft_seconds, prompt_rate, generation_rate, total_rate,
engine_prompt_rate and engine_generation_rate (as the engine says), then bound_rate and
percent. comparison: earlier, tiers[] {tier, differs[], ratios[] {depth, streams, figure,
before, now, ratio, outside}}. What is not known is left out. Fields may be added; none
goes or changes its meaning within a schema.

Ctrl-C ends the requests and prints what there is.`

func (a *app) benchCommand() *cobra.Command {
	var o benchOptions
	cmd := &cobra.Command{
		Use:   "bench [TIER...]",
		Short: "Measure how fast tiers answer",
		Long:  benchHelp,
		Example: `  tierctl bench utility
  tierctl bench coder --depth 0,16K --concurrency 1 --save before.json
  tierctl bench coder --depth 0,16K --concurrency 1 --compare before.json`,
		ValidArgsFunction: a.completeTiers,
		RunE: func(cmd *cobra.Command, args []string) error {
			run, err := a.newBench(o, args)
			if err != nil {
				return err
			}
			return run.do(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.depths, "depth", []string{"0", "4K", "16K"}, "tokens of the prompt; 0 asks with 16")
	f.StringSliceVar(&o.streams, "concurrency", []string{"1", "4"}, "requests at the same time")
	f.IntVar(&o.tokens, "tokens", 128, "tokens that each request asks for")
	f.IntVar(&o.runs, "runs", 3, "how often each is measured")
	f.BoolVar(&o.start, "start", false, "start the named tiers that are down")
	f.BoolVar(&o.evict, "evict", false, "with --start: let other tiers give way")
	f.StringVar(&o.bandwidth, "bandwidth", "", "the memory's bandwidth in GB/s, as in 256")
	f.DurationVar(&o.request, "timeout", 10*time.Minute, "how long one request may take")
	f.DurationVar(&o.whole, "for", time.Hour, "how long all may take")
	f.StringVar(&o.save, "save", "", "write the report, as JSON, into this file")
	f.StringVar(&o.compare, "compare", "", "compare with the report in this file")
	_ = cmd.MarkFlagFilename("save", "json")
	_ = cmd.MarkFlagFilename("compare", "json")
	return cmd
}

// newBench takes the flags apart, so that a mistake shows before anything is measured.
func (a *app) newBench(o benchOptions, names []string) (*benchRun, error) {
	wrong := func(format string, args ...any) (*benchRun, error) {
		return nil, &failure{status: exitUsage, message: fmt.Sprintf(format, args...), hint: "tierctl bench --help"}
	}
	run := &benchRun{app: a, options: o, names: names, read: readMemory}
	run.plan = bench.Plan{Tokens: o.tokens, Runs: o.runs, Request: o.request, Random: freshRandom()}
	for _, text := range o.depths {
		var n units.Tokens
		if err := n.UnmarshalText([]byte(text)); err != nil {
			return wrong("--depth: %v", err)
		}
		run.plan.Depths = append(run.plan.Depths, int(n))
	}
	for _, text := range o.streams {
		n, err := whole(text, mostStreams)
		if err != nil {
			return wrong("--concurrency: %v", err)
		}
		run.plan.Streams = append(run.plan.Streams, n)
	}
	switch {
	case o.tokens < 2 || o.tokens > 1<<20:
		return wrong("--tokens: %d is not within 2 to %d", o.tokens, 1<<20)
	case o.runs < 1 || o.runs > 1000:
		return wrong("--runs: %d is not within 1 to 1000", o.runs)
	case o.request <= 0 || o.whole <= 0:
		return wrong("--timeout and --for have to be more than nothing")
	case o.start && len(names) == 0:
		return wrong("--start wants to know which tiers: tierctl bench TIER --start")
	case o.evict && !o.start:
		return wrong("--evict is for --start")
	}
	var err error
	if run.given, err = givenBandwidth(o.bandwidth); err != nil {
		return wrong("--bandwidth: %v", err)
	}
	if o.save != "" {
		if err = writable(o.save); err != nil {
			return nil, err
		}
	}
	if o.compare != "" {
		if run.before, err = readReport(o.compare); err != nil {
			return nil, err
		}
	}
	return run, nil
}

// mostStreams bounds --concurrency: the gateway takes no more connections by default.
const mostStreams = 1024

func readReport(file string) (*bench.Report, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read the report to compare with: %w", err)
	}
	r, err := bench.ParseReport(text)
	if err != nil {
		return nil, fmt.Errorf("cannot compare with %s: %w", file, err)
	}
	return &r, nil
}

// do measures, prints and keeps what there is, however it ends.
func (r *benchRun) do(ctx context.Context) error {
	bounded, cancel := context.WithTimeoutCause(ctx, r.options.whole, fmt.Errorf("the %s of --for are over", r.options.whole))
	defer cancel()
	report, err := r.measure(bounded)
	if err != nil {
		return err
	}
	if bounded.Err() != nil {
		report.Ended = context.Cause(bounded).Error()
		if ctx.Err() != nil {
			report.Ended = "interrupted"
		}
	}
	if r.before != nil {
		report.Comparison = bench.Compare(*r.before, report)
	}
	err = errors.Join(r.save(report), r.app.printBench(report))
	switch {
	case err != nil:
		return err
	case ctx.Err() != nil:
		return &failure{status: exitInterrupted, message: "interrupted; what was measured until then is above"}
	case bounded.Err() != nil:
		return &failure{status: exitFailed, message: report.Ended + "; what was measured until then is above", hint: "a longer --for, or fewer of --depth and --concurrency"}
	case !report.Measured():
		return &failure{status: exitFailed, message: "nothing was measured", hint: "tierctl status"}
	}
	return nil
}

func (r *benchRun) save(report bench.Report) error {
	if r.options.save == "" {
		return nil
	}
	text, err := jsonText(report)
	if err == nil {
		err = os.WriteFile(r.options.save, text, 0o644)
	}
	if err != nil {
		return fmt.Errorf("cannot save the report: %w", err)
	}
	return nil
}

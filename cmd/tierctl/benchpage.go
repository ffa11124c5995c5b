package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/bench"
)

// benchProgress shows the points of one tier as the tasks of a change are shown.
type benchProgress struct{ change api.Change }

func benchLines(plan bench.Plan, tier string) *benchProgress {
	p := &benchProgress{api.Change{ID: "bench " + tier, State: "doing"}}
	for _, point := range plan.Points() {
		what := count(point.Streams, "request")
		if point.Depth > 0 {
			what += fmt.Sprintf(" behind %d tokens", point.Depth)
		}
		p.change.Tasks = append(p.change.Tasks, api.Task{Tier: tier, State: "todo", Summary: what})
	}
	return p
}

func (p *benchProgress) step(s bench.Step, runs int) {
	t := &p.change.Tasks[s.Index]
	t.State, t.Status = "doing", fmt.Sprintf("run %d of %d", s.Run, runs)
	switch {
	case s.Over && s.Point.Skipped != "" && s.Point.TTFT == nil:
		t.State, t.Err = "skipped", s.Point.Skipped
	case s.Over:
		t.State = "done"
	}
}

func (a *app) printBench(r bench.Report) error {
	if a.format == formatJSON {
		return a.writeJSON(r)
	}
	for i, t := range r.Tiers {
		if i > 0 {
			fmt.Fprintln(a.stdout)
		}
		printBenchTier(a.stdout, t)
	}
	if r.Comparison != nil {
		fmt.Fprintln(a.stdout)
		printComparison(a.stdout, *r.Comparison)
	}
	return nil
}

// printBenchTier writes a tier's table, at most 80 columns wide, and what its figures rest on.
func printBenchTier(w io.Writer, t bench.Tier) {
	fmt.Fprintln(w, shorten(fmt.Sprintf("%s/%s: %s on %s", t.Tier, t.Variant, t.Model, strings.TrimSpace(t.Engine+" "+t.Version)), pageWidth))
	if t.Skipped != "" {
		fmt.Fprintln(w, "  not measured: "+t.Skipped)
	}
	var rows []row
	var words []string
	for _, p := range t.Points {
		if p.Skipped != "" {
			words = append(words, fmt.Sprintf("  %d tokens, %s: %s", p.Depth, count(p.Streams, "request"), p.Skipped))
		}
		if p.TTFT != nil {
			rows = append(rows, benchRows(p)...)
		}
	}
	if len(rows) > 0 {
		writeTable(w, []string{"DEPTH", "REQS", "TTFT", "CACHED", "PROMPT/S", "EACH/S", "TOTAL/S", "BOUND"}, rows)
	}
	for _, line := range words {
		fmt.Fprintln(w, line)
	}
	if b := benchBasis(t); b != "" && len(rows) > 0 {
		fmt.Fprintln(w, b)
	}
	for _, n := range t.Notes {
		fmt.Fprintln(w, "  "+n)
	}
}

const pageWidth = 80

// benchRows are the medians of a point and, unless it was measured once, beneath them the least and the most.
func benchRows(p bench.Point) []row {
	medians := row{cells: []cell{{text: fmt.Sprint(p.Depth)}, {text: fmt.Sprint(p.Streams)}}}
	spreads := row{cells: []cell{{}, {}}}
	spread := false
	for _, f := range []*bench.Figure{p.TTFT, p.CachedTTFT, p.Reading, p.Writing, p.Total} {
		middle, between := "-", ""
		if f != nil {
			middle = digits(f.Median)
			if f.Count > 1 && f != p.CachedTTFT { // for whose spread 80 columns are too few
				between, spread = digits(f.Min)+"–"+digits(f.Max), true
			}
		}
		medians.cells = append(medians.cells, cell{text: middle})
		spreads.cells = append(spreads.cells, cell{text: between})
	}
	share := "-"
	if p.Percent != nil {
		share = fmt.Sprintf("%.0f %%", *p.Percent)
	}
	medians.cells = append(medians.cells, cell{text: share})
	if !spread {
		return []row{medians}
	}
	return []row{medians, spreads}
}

// digits writes a figure with three digits that count, in five places at most.
func digits(n float64) string {
	switch {
	case n >= 99950:
		return fmt.Sprintf("%.0fk", n/1000)
	case n >= 9999.5:
		return fmt.Sprintf("%.1fk", n/1000)
	case n >= 99.95:
		return fmt.Sprintf("%.0f", n)
	case n >= 9.995:
		return fmt.Sprintf("%.1f", n)
	case n >= 0.9995:
		return fmt.Sprintf("%.2f", n)
	}
	return fmt.Sprintf("%.3f", n)
}

// benchBasis says what the bound is made of; "" where there is none.
func benchBasis(t bench.Tier) string {
	if t.Bandwidth == nil || t.Weights == 0 {
		return ""
	}
	text := fmt.Sprintf("  Bound: %s,\n  by %s of weights for each token", t.Bandwidth, size(t.Weights))
	if t.Experts > 0 {
		text += fmt.Sprintf(" (%d of %d experts)", t.Used, t.Experts)
	}
	return text + " and its KV cache."
}

// compared are the figures that are compared, and their columns.
var compared = []struct{ figure, column string }{
	{"ttft_seconds", "TTFT"}, {"cached_ttft_seconds", "CACHED"}, {"prompt_rate", "PROMPT/S"}, {"generation_rate", "EACH/S"}, {"total_rate", "TOTAL/S"},
}

// printComparison writes the ratios of each tier: a row for each point, with a mark where the spreads are apart.
func printComparison(w io.Writer, c bench.Comparison) {
	fmt.Fprintf(w, "Beside the report of %s (now / then; *: the spreads of both do not overlap):\n", c.Earlier)
	if len(c.Tiers) == 0 {
		fmt.Fprintln(w, "  no tier is in both")
	}
	for _, t := range c.Tiers {
		if len(t.Differs) > 0 {
			fmt.Fprintf(w, "%s: not compared, since it is another one\n", t.Tier)
			for _, d := range t.Differs {
				fmt.Fprintln(w, "  "+d)
			}
			continue
		}
		header := []string{"TIER", "DEPTH", "REQS"}
		for _, f := range compared {
			header = append(header, f.column)
		}
		writeTable(w, header, comparisonRows(t))
	}
}

func comparisonRows(t bench.TierComparison) []row {
	var rows []row
	type at struct{ depth, streams int }
	index := map[at]int{}
	for _, r := range t.Ratios {
		i, ok := index[at{r.Depth, r.Streams}]
		if !ok {
			i = len(rows)
			index[at{r.Depth, r.Streams}] = i
			cells := []cell{{text: t.Tier}, {text: fmt.Sprint(r.Depth)}, {text: fmt.Sprint(r.Streams)}}
			for range compared {
				cells = append(cells, cell{text: "-"})
			}
			rows = append(rows, row{cells: cells})
		}
		text := fmt.Sprintf("%.2f", r.Ratio)
		if r.Outside {
			text += "*"
		}
		for column, f := range compared {
			if f.figure == r.Figure {
				rows[i].cells[3+column].text = text
			}
		}
	}
	return rows
}

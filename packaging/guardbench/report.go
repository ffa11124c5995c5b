package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tierd/tierd/packaging/figure"
	"github.com/tierd/tierd/packaging/guardbench/trial"
)

// reported is what a bench prints: a table in Markdown, and a line a figure.
type reported struct{ table, figures string }

func report(all []trial.Outcome) reported {
	return reported{table(all), figures(all)}
}

// group are the rounds of one guard on one scenario.
type group []trial.Outcome

// of picks the results of one guard on one scenario. Runs without a result are left out.
func of(all []trial.Outcome, scenario, guard string) group {
	return slices.DeleteFunc(made(all, scenario, guard), func(o trial.Outcome) bool { return o.Failed != "" })
}

// made are all runs of one guard on one scenario; the last try of each counts.
func made(all []trial.Outcome, scenario, guard string) group {
	rounds := map[int]trial.Outcome{}
	for _, o := range all {
		if o.Scenario == scenario && o.Guard == guard {
			rounds[o.Round] = o
		}
	}
	var g group
	for _, o := range rounds {
		g = append(g, o)
	}
	slices.SortFunc(g, func(a, b trial.Outcome) int { return a.Round - b.Round })
	return g
}

var columns = []string{"scenario", "guard", "runs", "gave way, in order", "right", "to SIGTERM ms", "to first exit ms", "to enough again ms",
	"least MiB", "s under hard", "OOM kills", "guard MiB"}

// table shows all scenarios, all guards beside each other.
func table(all []trial.Outcome) string {
	var out strings.Builder
	row := func(cells []string) { fmt.Fprintf(&out, "| %s |\n", strings.Join(cells, " | ")) }
	row(columns)
	out.WriteString(strings.Repeat("|---", len(columns)) + "|\n")
	for _, s := range trial.Scenarios {
		for _, name := range trial.Guards {
			if g := of(all, s.Key, name); len(g) > 0 {
				row(g.cells(len(made(all, s.Key, name)) - len(g)))
			}
		}
	}
	return out.String()
}

// cells are one row; failed runs are only counted.
func (g group) cells(failed int) []string {
	runs := fmt.Sprint(len(g))
	if failed > 0 {
		runs += fmt.Sprintf(", %d without result", failed)
	}
	var ooms []string
	right, died := 0, 0
	for _, o := range g {
		if o.Right {
			right++
		}
		if o.Broken {
			died++
		}
		ooms = append(ooms, fmt.Sprint(o.OOMKills))
	}
	kills := strings.Join(ooms, "/")
	if died > 0 {
		kills += fmt.Sprintf(", systemd died ×%d", died)
	}
	rss := spread(g.each(func(o trial.Outcome) *float64 { return known(float64(o.RSS)/(1<<20), o.RSS > 0) }), "%.1f")
	if slices.ContainsFunc(g, func(o trial.Outcome) bool { return o.Crashed }) {
		rss += ", died"
	}
	return []string{
		g[0].Scenario, g[0].Guard, runs, g.fates(), fmt.Sprintf("%d/%d", right, len(g)),
		spread(g.each(term), "%.0f"), spread(g.each(exit), "%.0f"), spread(g.each(back), "%.0f"),
		spread(g.each(func(o trial.Outcome) *float64 { return known(float64(o.Least)/(1<<20), true) }), "%.0f"),
		spread(g.each(func(o trial.Outcome) *float64 { return known(o.UnderHard.Seconds(), true) }), "%.1f"),
		kills, rss,
	}
}

// fates lists who gave way, each with how often, the most frequent first.
func (g group) fates() string {
	times := map[string]int{}
	for _, o := range g {
		times[o.Fate()]++
	}
	var names []string
	for name := range times {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		if times[a] != times[b] {
			return times[b] - times[a]
		}
		return strings.Compare(a, b)
	})
	if len(names) == 1 {
		return names[0]
	}
	for i, name := range names {
		names[i] = fmt.Sprintf("%s ×%d", name, times[name])
	}
	return strings.Join(names, "; ")
}

// each is one number of every run that has it.
func (g group) each(value func(trial.Outcome) *float64) []float64 {
	var list []float64
	for _, o := range g {
		if v := value(o); v != nil {
			list = append(list, *v)
		}
	}
	return list
}

// What is read from an outcome, in milliseconds.
func term(o trial.Outcome) *float64 { return millis(o.Term) }
func exit(o trial.Outcome) *float64 { return millis(o.Exit) }
func back(o trial.Outcome) *float64 { return millis(o.Back) }

func millis(d *time.Duration) *float64 {
	if d == nil {
		return nil
	}
	return known(float64(*d)/float64(time.Millisecond), true)
}

func known(v float64, ok bool) *float64 {
	if !ok {
		return nil
	}
	return &v
}

// spread is the median, with the least and the most where they are others; "-" of nothing.
func spread(values []float64, format string) string {
	if len(values) == 0 {
		return "-"
	}
	middle, least, most := fmt.Sprintf(format, figure.Median(values)), fmt.Sprintf(format, slices.Min(values)), fmt.Sprintf(format, slices.Max(values))
	if least == most {
		return middle
	}
	return fmt.Sprintf("%s (%s..%s)", middle, least, most)
}

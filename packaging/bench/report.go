package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/tierd/tierd/packaging/figure"
)

// table prints what the rounds showed, all targets beside each other; "+" is over direct.
func table(w io.Writer, r *rig, phases []phase, all map[string]samples) error {
	out := tabwriter.NewWriter(w, 0, 8, 2, ' ', tabwriter.AlignRight)
	row := func(cells ...any) {
		for _, c := range cells {
			if f, ok := c.(float64); ok {
				c = fmt.Sprintf("%.1f", f)
			}
			fmt.Fprint(out, c, "\t")
		}
		fmt.Fprintln(out)
	}
	for _, p := range phases {
		s := all[p.name]
		unit := "req"
		each := 1.0
		if p.job.Kind == streamJob {
			unit, each = "event", float64(p.job.Events)
		}
		row(p.name, "p50 µs", "p99 µs", "+p50 µs", "+p99 µs", "req/s", "ratio", "CPU µs/"+unit)
		for _, t := range r.targets {
			cells := []any{t.name, s.of(t.name, p50), s.of(t.name, p99)}
			if t.name == direct {
				cells = append(cells, "", "", fmt.Sprintf("%.0f", s.of(t.name, rate)), "", "")
			} else {
				cells = append(cells, s.over(t.name, direct, p50), s.over(t.name, direct, p99), fmt.Sprintf("%.0f", s.of(t.name, rate)),
					fmt.Sprintf("%.2f", s.ratio(t.name, direct, rate)), micros(s.cpuEach(t.name))/each)
			}
			row(cells...)
		}
		row()
	}
	return out.Flush()
}

// dataFigures prints the figures that have goals. The goal of throughput was set before an engine by net/http, parsing; the
// scripted one takes so little that direct is three times as fast.
func dataFigures(all map[string]samples, parsing samples) {
	one, sixteen, streams, body := all["1 connection"], all["16 connections"], all["8 streams"], all["5 MiB body"]
	figure.AtMost("added-p50", one.over(gateway, direct, p50), "µs", 100)
	figure.AtMost("cpu-per-request-1-connection", micros(one.cpuEach(gateway)), "µs", 60)
	figure.AtLeast("throughput-16-connections-of-direct", parsing.ratio(gateway, direct, rate), "", 0.40)
	figure.AtLeast("throughput-16-connections-of-direct-scripted", sixteen.ratio(gateway, direct, rate), "", 0.40)
	figure.AtMost("cpu-per-request-16-connections", micros(sixteen.cpuEach(gateway)), "µs", 60)
	figure.AtMost("stream-event-p50-over-nginx", streams.over(gateway, nginx, p50), "µs", 30)
	figure.AtMost("body-5mib-added-p50", body.over(gateway, direct, p50)/1e3, "ms", 5)
	figure.AtMost("body-5mib-cpu", millis(body.cpuEach(gateway)), "ms", 4)
}

// memoryFigures prints what the gateway has in memory after its load.
func memoryFigures(m memory) {
	const mib = 1 << 20
	figure.AtMost("resident-after-load", float64(m.resident)/mib, "MiB", 20)
	figure.AtMost("resident-peak", float64(m.peak)/mib, "MiB", 20)
}

// abuseFigures prints the goals that hold under abuse: others go on, and memory stays bounded.
func abuseFigures(list []abused) {
	const mib = 1 << 20
	peak := uint64(0)
	for _, a := range list {
		peak = max(peak, a.resident)
		figure.AtMost("abuse-"+strings.ReplaceAll(a.name, " ", "-")+"-others-p99", millis(a.others.P99), "ms", 100)
	}
	figure.AtMost("abuse-resident-peak", float64(peak)/mib, "MiB", 64)
}

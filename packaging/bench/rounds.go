package main

import (
	"fmt"
	"time"

	"github.com/tierd/tierd/packaging/figure"
)

// phase is one kind of load, which each target gets in turn.
type phase struct {
	name string
	job  job
}

// crowd keeps both cores busy.
var crowd = phase{"16 connections", job{Kind: smallJob, Conns: 16, For: 1500 * time.Millisecond}}

// phases are what a round is made of: about fifteen seconds over all targets.
func phases() []phase {
	return []phase{
		{"1 connection", job{Kind: smallJob, Conns: 1, For: 1500 * time.Millisecond}},
		crowd,
		{"8 streams", job{Kind: streamJob, Conns: 8, Requests: 8, Events: 300, Every: 5 * time.Millisecond}},
		{"5 MiB body", job{Kind: uploadJob, Conns: 1, Requests: 50}},
	}
}

// sample is what one phase of one round showed for one target.
type sample struct {
	result
	cpu time.Duration // of what stands between
}

// samples are of one phase, by target, one a round.
type samples map[string][]sample

// measure runs rounds: in each, every phase goes over every target. Since the machine's speed drifts, targets take turns
// within seconds, in another order each round, and are only compared within a round.
func measure(r *rig, rounds int, phases []phase) (map[string]samples, error) {
	all := map[string]samples{}
	for _, p := range phases {
		all[p.name] = samples{}
	}
	for _, t := range r.targets { // pools, caches and the heap as they are later
		if _, err := r.client.do(job{Kind: smallJob, Address: t.address, Conns: 16, Requests: 5000}); err != nil {
			return nil, fmt.Errorf("%s: %w", t.name, err)
		}
	}
	for round := range rounds {
		fmt.Printf("round %d of %d\n", round+1, rounds)
		for _, p := range phases {
			for i := range r.targets {
				t := r.targets[(i+round)%len(r.targets)]
				s, err := r.sample(t, p.job)
				if err != nil {
					return nil, fmt.Errorf("%s, %s: %w", t.name, p.name, err)
				}
				all[p.name][t.name] = append(all[p.name][t.name], s)
			}
		}
	}
	return all, nil
}

func (r *rig) sample(t target, j job) (s sample, err error) {
	j.Address = t.address
	before, err := cpuTime(t.pids)
	if err != nil {
		return s, err
	}
	if s.result, err = r.client.do(j); err != nil {
		return s, err
	}
	after, err := cpuTime(t.pids)
	s.cpu = after - before
	return s, err
}

// of is the median over the rounds of one target.
func (s samples) of(target string, value func(sample) float64) float64 {
	values := make([]float64, len(s[target]))
	for i, one := range s[target] {
		values[i] = value(one)
	}
	return figure.Median(values)
}

// over is the median of the rounds' differences between two targets.
func (s samples) over(target, base string, value func(sample) float64) float64 {
	return s.pairs(target, base, func(a, b sample) float64 { return value(a) - value(b) })
}

// ratio is the median of the rounds' ratios.
func (s samples) ratio(target, base string, value func(sample) float64) float64 {
	return s.pairs(target, base, func(a, b sample) float64 { return value(a) / value(b) })
}

func (s samples) pairs(target, base string, compare func(a, b sample) float64) float64 {
	values := make([]float64, len(s[target]))
	for i := range values {
		values[i] = compare(s[target][i], s[base][i])
	}
	return figure.Median(values)
}

// cpuEach is processor time a request over all rounds: one round has few ticks of /proc's clock.
func (s samples) cpuEach(target string) time.Duration {
	var cpu time.Duration
	done := 0
	for _, one := range s[target] {
		cpu += one.cpu
		done += one.Done
	}
	return cpu / time.Duration(max(done, 1))
}

// What is read from a sample.
func p50(s sample) float64  { return micros(s.P50) }
func p99(s sample) float64  { return micros(s.P99) }
func rate(s sample) float64 { return float64(s.Done) / s.Elapsed.Seconds() }

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
func millis(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

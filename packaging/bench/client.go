package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Kinds of jobs.
const (
	smallJob  = "small"
	streamJob = "stream"
	uploadJob = "upload"
)

// job is what the client's process is told to do, as one line of JSON on its stdin.
type job struct {
	Kind     string
	Address  string        // host:port
	Conns    int           // connections, each with one request at a time
	For      time.Duration // until then; 0: until Requests are done
	Requests int           // over all connections
	Events   int           // of one stream
	Every    time.Duration // between events
}

// result is its answer, as one line of JSON on its stdout. Latencies are nanoseconds: of a request from its first byte out
// to its last byte in, of an event from its write in the engine to its arrival.
type result struct {
	Done     int // requests
	Elapsed  time.Duration
	P50, P99 time.Duration
	Max      time.Duration
	Fault    string // the first answer that was wrong
}

// runClient does jobs until stdin ends. It is one process for a whole run, so that no job pays for its start.
func runClient(in io.Reader, out io.Writer) error {
	jobs := json.NewDecoder(in)
	for {
		var j job
		if err := jobs.Decode(&j); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := json.NewEncoder(out).Encode(j.run()); err != nil {
			return err
		}
	}
}

// asker does one request after the other on a connection of its own, and appends what it measured.
type asker interface {
	ask(latencies []int64) ([]int64, error)
	close()
}

func (j job) newAsker(number int) (asker, error) {
	switch j.Kind {
	case smallJob:
		return newSmallAsker(j.Address, number)
	case streamJob:
		return newStreamAsker(j.Address, j.Events, j.Every)
	case uploadJob:
		return newUploadAsker(j.Address)
	}
	return nil, fmt.Errorf("no job is called %q", j.Kind)
}

// run connects first, then lets the clock run.
func (j job) run() result {
	askers := make([]asker, j.Conns)
	for i := range askers {
		a, err := j.newAsker(i)
		if err != nil {
			return result{Fault: err.Error()}
		}
		defer a.close()
		askers[i] = a
	}
	var (
		wait      sync.WaitGroup
		left      atomic.Int64
		done      atomic.Int64
		fault     atomic.Pointer[error]
		latencies = make([][]int64, j.Conns)
		start     = time.Now()
	)
	left.Store(int64(j.Requests))
	more := func() bool {
		if j.For > 0 {
			return time.Since(start) < j.For
		}
		return left.Add(-1) >= 0
	}
	for i, a := range askers {
		wait.Go(func() {
			for fault.Load() == nil && more() {
				var err error
				if latencies[i], err = a.ask(latencies[i]); err != nil {
					fault.CompareAndSwap(nil, &err)
					return
				}
				done.Add(1)
			}
		})
	}
	wait.Wait()
	r := result{Done: int(done.Load()), Elapsed: time.Since(start)}
	if err := fault.Load(); err != nil {
		r.Fault = (*err).Error()
	}
	r.summarize(slices.Concat(latencies...))
	return r
}

func (r *result) summarize(latencies []int64) {
	if len(latencies) == 0 {
		return
	}
	slices.Sort(latencies)
	at := func(share float64) time.Duration {
		return time.Duration(latencies[int(share*float64(len(latencies)-1))])
	}
	r.P50, r.P99, r.Max = at(0.5), at(0.99), at(1)
}

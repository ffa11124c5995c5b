package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
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
	For      time.Duration // until then
	Open     bool          // until the next job is told, which is not done
	Requests int           // over all connections, when neither For nor Open is set
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
	jobs := make(chan job)
	broken := make(chan error, 1)
	go func() {
		defer close(jobs)
		for lines := json.NewDecoder(in); ; {
			var j job
			if err := lines.Decode(&j); err != nil {
				broken <- err
				return
			}
			jobs <- j
		}
	}()
	for j := range jobs {
		if err := json.NewEncoder(out).Encode(j.run(jobs)); err != nil {
			return err
		}
	}
	if err := <-broken; !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// asker does one request after the other on a connection of its own, and appends what it measured.
type asker interface {
	ask(latencies []int64) ([]int64, error)
	close()
}

func (j job) newAsker(number int) (asker, error) {
	c, err := net.Dial("tcp", j.Address)
	if err != nil {
		return nil, err
	}
	switch j.Kind {
	case smallJob:
		return newSmallAsker(c, number), nil
	case streamJob:
		return newStreamAsker(c, j.Events, j.Every), nil
	case uploadJob:
		return newUploadAsker(c), nil
	}
	return nil, fmt.Errorf("no job is called %q", j.Kind)
}

// bound returns what tells whether there is another request to do.
func (j job) bound(jobs <-chan job) func() bool {
	switch {
	case j.Open:
		var ended atomic.Bool
		go func() {
			<-jobs
			ended.Store(true)
		}()
		return func() bool { return !ended.Load() }
	case j.For > 0:
		end := time.Now().Add(j.For)
		return func() bool { return time.Now().Before(end) }
	default:
		var left atomic.Int64
		left.Store(int64(j.Requests))
		return func() bool { return left.Add(-1) >= 0 }
	}
}

// run connects first, then lets the clock run.
func (j job) run(jobs <-chan job) result {
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
		done      atomic.Int64
		fault     atomic.Pointer[error]
		latencies = make([][]int64, j.Conns)
		more      = j.bound(jobs)
		start     = time.Now()
	)
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

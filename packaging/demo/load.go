package main

import (
	"context"
	"sync"
	"time"

	"github.com/tierd/tierd/packaging/vmtest"
)

// load is clients that ask the orchestrator again and again until it ends.
type load struct {
	stop    chan struct{}
	clients sync.WaitGroup

	mu             sync.Mutex // guards what follows
	plain, streams int        // answered
	longest        time.Duration
	failure        error // the first
}

// startLoad starts two clients with plain requests and one with streams, and returns when each kind has had an answer: what
// follows must meet requests that run.
func startLoad(ctx context.Context, bed *vmtest.Bed) *load {
	l := &load{stop: make(chan struct{})}
	plain := func() error {
		_, err := bed.Chat(ctx, 8000, "orch", "Count to ten.", 16)
		return err
	}
	stream := func() error {
		_, err := bed.Stream(ctx, 8000, "orch", "Tell a long story about a lighthouse.", 60, func() {})
		return err
	}
	var answered sync.WaitGroup
	for _, c := range []struct {
		ask   func() error
		count *int
	}{{plain, &l.plain}, {plain, &l.plain}, {stream, &l.streams}} {
		answered.Add(1)
		l.clients.Go(func() {
			first := sync.OnceFunc(answered.Done)
			defer first()
			for !l.ended() && l.note(c.ask, c.count) {
				first()
			}
		})
	}
	answered.Wait()
	return l
}

func (l *load) ended() bool {
	select {
	case <-l.stop:
		return true
	default:
		return false
	}
}

// note asks once and counts; false after a failure.
func (l *load) note(ask func() error, count *int) bool {
	start := time.Now()
	err := ask()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		if l.failure == nil {
			l.failure = err
		}
		return false
	}
	*count++
	l.longest = max(l.longest, time.Since(start))
	return true
}

// end has the clients end after the request that they have in flight, and returns the first failure.
func (l *load) end() error {
	close(l.stop)
	l.clients.Wait()
	return l.failure
}

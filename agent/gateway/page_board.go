package gateway

import (
	"context"
	"net/http"
	"sync"
)

// mostWatchers bounds the browsers that look at one time: each holds a connection.
const mostWatchers = 16

// board hands what a feed publishes to whoever watches. The feed runs only while somebody does, and once for all.
type board struct {
	feed func(ctx context.Context, publish func(frame []byte))

	mu       sync.Mutex
	watchers map[chan []byte]bool
	last     []byte             // what the running feed published last
	stop     context.CancelFunc // of the running feed; nil: none runs
	over     bool
}

func newBoard(feed func(context.Context, func([]byte))) *board {
	return &board{feed: feed, watchers: map[chan []byte]bool{}}
}

// join returns a channel that has the newest frame, and a function that ends the watch. A watcher that is slow finds
// the frames between left out. The channel is closed when the gateway ends, and at once when it is ending: a browser may
// come back on a connection that it had kept, and to it the end of a stream is no error.
func (b *board) join() (frames <-chan []byte, leave func(), err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := make(chan []byte, 1)
	switch {
	case b.over:
		close(w)
		return w, func() {}, nil
	case len(b.watchers) >= mostWatchers:
		return nil, nil, &failure{
			status: http.StatusServiceUnavailable, kind: "server_error", code: "too_many_watchers", retryAfter: retryBroken,
			message: "As many browsers as may look at the page do so already. Close one.",
		}
	}
	b.watchers[w] = true
	if b.last != nil {
		w <- b.last
	}
	if b.stop == nil {
		ctx, stop := context.WithCancel(context.Background())
		b.stop = stop
		go b.feed(ctx, func(frame []byte) { b.publish(ctx, frame) })
	}
	return w, func() { b.leave(w) }, nil
}

func (b *board) leave(w chan []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.watchers, w)
	if len(b.watchers) == 0 {
		b.rest()
	}
}

// rest stops the feed, with the lock held.
func (b *board) rest() {
	if b.stop != nil {
		b.stop()
		b.stop, b.last = nil, nil
	}
}

// publish puts a frame in the place of one that was not taken yet. A feed that was stopped is not heard.
func (b *board) publish(ctx context.Context, frame []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	b.last = frame
	for w := range b.watchers {
		select {
		case <-w:
		default:
		}
		w <- frame // only this puts anything in, so that there is room
	}
}

// end sends everybody away. Their browsers connect again, and find whoever listens then.
func (b *board) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
	b.rest()
	for w := range b.watchers {
		close(w)
	}
	clear(b.watchers)
}

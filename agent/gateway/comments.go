package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/tierd/tierd/agent/gateway/wire"
)

// maxEngineError bounds what is read of an engine's error to put it into an event.
const maxEngineError = 64 << 10

// comments begin a stream early for a client that gives up on silence (`keepalive = "comments"`): while it waits for its
// tier it gets the head of an answer and a comment every few seconds. The price is the engine's status, which can then only
// be told in an event. A nil *comments is a request that waits in silence.
type comments struct {
	w    http.ResponseWriter
	tier string

	mu      sync.Mutex
	begun   bool
	waiting bool        // for the engine's answer
	timer   *time.Timer // of the comments meanwhile
}

// write sends one comment. It fails when the client is gone, which ends the request's context as well.
func (c *comments) write() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.send()
}

func (c *comments) send() {
	if !c.begun {
		c.begun = true
		c.w.Header().Set("Content-Type", "text/event-stream")
		c.w.Header().Set("Cache-Control", "no-store")
		c.w.WriteHeader(http.StatusOK)
	}
	fmt.Fprintf(c.w, ": waiting for tier %s\n\n", c.tier)
	_ = http.NewResponseController(c.w).Flush()
}

// goOn has comments sent until the engine answers, when the stream was begun: who waited long for a tier waits for its answer
// as well.
func (c *comments) goOn() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.begun {
		return
	}
	c.waiting = true
	c.timer = time.AfterFunc(nextBeat, c.tick)
}

func (c *comments) tick() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting {
		c.send()
		c.timer.Reset(nextBeat)
	}
}

// stop ends the comments and tells whether the stream was begun. Afterwards the ResponseWriter is the caller's alone.
func (c *comments) stop() (begun bool) {
	if c == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting {
		c.waiting = false
		c.timer.Stop()
	}
	return c.begun
}

// fail ends a stream that was begun with an event that holds the error, and breaks the connection off: a clean end would
// make the client ask again without a pause.
func (c *comments) fail(object json.RawMessage) {
	fmt.Fprintf(c.w, "data: {\"error\":%s}\n\n", object)
	_ = http.NewResponseController(c.w).Flush()
	wire.Of(c.w).Abort()
}

// engineFailure passes on an engine's error as an event.
func (c *comments) engineFailure(res *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(res.Body, maxEngineError))
	var answer struct {
		Error json.RawMessage `json:"error"`
	}
	if err == nil && json.Unmarshal(text, &answer) == nil && len(answer.Error) > 0 {
		if compact, err := json.Marshal(answer.Error); err == nil { // an event is one line
			c.fail(compact)
			return nil
		}
	}
	f := &failure{kind: "server_error", code: "engine_error", message: fmt.Sprintf("The engine answered with status %d: %.1000s", res.StatusCode, text)}
	c.fail(f.object())
	return nil
}

// explain is for a request that ends without an answer of the engine's: as an event when the stream was begun, else as the
// answer that it is.
func (c *comments) explain(err error) error {
	if !c.stop() || err == nil {
		return err
	}
	var f *failure
	if !errors.As(err, &f) {
		f = asFailure(err)
	}
	c.fail(f.object())
	return nil
}

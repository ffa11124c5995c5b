package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/tierd/tierd/agent/api"
)

const (
	// guardPause is between two tables: a busy gateway makes a new one many times a second, and the guard has better to do.
	guardPause = 250 * time.Millisecond
	// maxGuardLine bounds what one line of the guard's takes of tierd's memory, in bytes. A trace is the longest.
	maxGuardLine = 4 << 20
	// guards is how many may be connected at a time: the one that was there leaves when another one comes.
	guards = 4
)

// guardLink is one connection of tier-guard. Its asks belong to the loop.
type guardLink struct {
	conn net.Conn
	asks []string // what it is to be asked
}

// ServeGuard speaks with tier-guard on a socket until ctx ends. Nobody but root is heard; of two guards the one that came last is.
func (a *Agent) ServeGuard(ctx context.Context, l net.Listener) error {
	return serveEach(ctx, newPeerListener(l, guards, a.opts.Log), a.opts.Log, func(ctx context.Context, c net.Conn) {
		// tierd is root; by hand it may be somebody else, who may do to it what they like anyway.
		if p := peerAt(c); !p.known || int(p.uid) != os.Geteuid() {
			a.opts.Log.Warn("refused a guard that is not root", "uid", p.uid, "pid", p.pid)
			c.Close()
			return
		}
		a.talk(ctx, c)
	})
}

// talk lasts for as long as a guard is connected.
func (a *Agent) talk(ctx context.Context, c net.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	defer c.Close()
	link := &guardLink{conn: c}
	if _, err := inLoop(ctx, a, func() (bool, error) { a.guardCame(link); return true, nil }); err != nil {
		return
	}
	told := make(chan error, 1)
	go func() {
		told <- a.tellGuard(ctx, link)
		c.Close()
	}()
	err := readWords(c, func(w api.GuardWord) { a.post(func() { a.hearGuard(link, w) }) })
	cancel()
	if wrong := <-told; err == nil && !errors.Is(wrong, context.Canceled) {
		err = wrong
	}
	a.post(func() { a.guardWent(link, err) })
}

// readWords hands each line of the guard's on, until the connection ends: with nil when that was in order. Fields that are not
// known are passed over, since a guard may be newer than its tierd for the length of an upgrade.
func readWords(r io.Reader, hear func(api.GuardWord)) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxGuardLine)
	for lines.Scan() {
		var w api.GuardWord
		if err := json.Unmarshal(lines.Bytes(), &w); err != nil {
			return fmt.Errorf("the guard does not speak as it should: %w", err)
		}
		hear(w)
	}
	err := lines.Err()
	if errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe) {
		return nil
	}
	return err
}

// tellGuard sends what is new: the first table at once, then a few a second.
func (a *Agent) tellGuard(ctx context.Context, link *guardLink) error {
	var sent uint64
	var last time.Time
	for {
		var table api.GuardTable
		var asks []string
		var news chan struct{}
		if _, err := inLoop(ctx, a, func() (bool, error) {
			table, asks, news = a.guard.table, link.asks, a.guard.news
			link.asks = nil
			return true, nil
		}); err != nil {
			return err
		}
		var later <-chan time.Time
		if table.Seq != sent {
			if pause := guardPause - time.Since(last); pause > 0 {
				later = time.After(pause)
			} else if err := writeLine(link.conn, api.GuardOrder{Table: &table}); err != nil {
				return err
			} else {
				sent, last = table.Seq, time.Now()
			}
		}
		for _, what := range asks {
			if err := writeLine(link.conn, api.GuardOrder{Ask: what}); err != nil {
				return err
			}
		}
		select {
		case <-news:
		case <-later:
		case <-a.ended:
			return errEnded
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

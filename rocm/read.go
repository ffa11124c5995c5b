package rocm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ErrHung is what a read ended in that did not return in time. A read of sysfs may block for ever while a GPU hangs.
var ErrHung = errors.New("the read hangs")

// hungError says since when.
type hungError string

func (e hungError) Error() string        { return string(e) }
func (e hungError) Is(target error) bool { return target == ErrHung }

// Problem is a file that could not be read or understood. What it would have said is nil in the Snapshot.
type Problem struct {
	File string // as on the host, whatever the root: "/proc/meminfo"
	Err  error
}

func (p Problem) Error() string { return p.File + ": " + p.Err.Error() }
func (p Problem) Unwrap() error { return p.Err }

// errLimit is the cause of a context that ended because the host did not answer in time, and not because the caller
// wants no answer any more.
var errLimit = errors.New("time limit")

// calls keeps, by path, the reads that have not returned. A read in a system call cannot be given up, so each runs in a
// goroutine of its own, which stays behind when the kernel does not return. Nobody starts a second one beside it.
type calls struct {
	mu   sync.Mutex
	open map[string]*call
}

type call struct {
	done  chan struct{}
	value any
	err   error
	since time.Time
	late  bool // a reader has given up on it
}

// ask returns what fn does, if it does within ctx, or joins the one that is already at it.
func ask[T any](ctx context.Context, c *calls, path string, fn func() (T, error)) (T, error) {
	var none T
	if ctx.Err() != nil {
		return none, overdue(ctx, "not read, since the time for all reads was over")
	}
	c.mu.Lock()
	k, running := c.open[path]
	if running && k.late {
		c.mu.Unlock()
		return none, hungError("a read has not returned since " + k.since.Format(time.DateTime))
	}
	if !running {
		k = &call{done: make(chan struct{}), since: time.Now()}
		c.open[path] = k
		go func() {
			value, err := fn()
			c.mu.Lock()
			delete(c.open, path)
			c.mu.Unlock()
			k.value, k.err = value, err
			close(k.done)
		}()
	}
	c.mu.Unlock()
	select {
	case <-k.done:
	case <-ctx.Done():
		if !k.over() { // both may have come to pass while this process did not run
			c.mu.Lock()
			k.late = k.late || context.Cause(ctx) == errLimit
			c.mu.Unlock()
			return none, overdue(ctx, "the read did not return in time")
		}
	}
	if k.err != nil {
		return none, k.err
	}
	return k.value.(T), nil
}

func (k *call) over() bool {
	select {
	case <-k.done:
		return true
	default:
		return false
	}
}

// overdue is the error of a read that ctx has cut short.
func overdue(ctx context.Context, text string) error {
	if cause := context.Cause(ctx); cause != errLimit {
		return fmt.Errorf("not read: %w", cause)
	}
	return hungError(text)
}

// reading is one pass over the host.
type reading struct {
	ctx  context.Context
	host *Host

	mu       sync.Mutex
	problems []Problem
}

func (r *reading) problem(path string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.problems = append(r.problems, Problem{File: "/" + path, Err: err})
}

// group reads files one after the other, and none any more once a read has hung: what else the same driver would say
// hangs too, most likely, and each further try would leave one more goroutine behind.
type group struct {
	*reading
	hung bool
}

func (r *reading) group() *group { return &group{reading: r} }

// file reads a whole file. It is not ok when the kernel does not offer the file or it could not be read; the latter is a
// problem.
func (g *group) file(path string) ([]byte, bool) { return g.large(path, maxFile) }

func (g *group) large(path string, max int) ([]byte, bool) {
	data, err := g.try(path, max)
	return data, g.ok(path, err)
}

// try is file with the reason.
func (g *group) try(path string, max int) ([]byte, error) {
	if g.hung {
		return nil, ErrHung
	}
	data, err := ask(g.ctx, &g.host.calls, path, func() ([]byte, error) { return g.host.source.read(path, max) })
	g.host.note(path, data, err)
	return data, err
}

// list names what is in a directory, sorted; nothing when the kernel does not offer it.
func (g *group) list(path string) []string {
	if g.hung {
		return nil
	}
	names, err := ask(g.ctx, &g.host.calls, path, func() ([]string, error) { return g.host.source.list(path) })
	if err != nil {
		g.host.note(path, nil, err)
	}
	g.ok(path, err)
	return names
}

// ok makes an error a problem, once.
func (g *group) ok(path string, err error) bool {
	switch {
	case err == nil:
		return true
	case g.hung || missing(err):
		return false
	case errors.Is(err, ErrHung) || g.ctx.Err() != nil:
		g.hung = true
	}
	g.problem(path, err)
	return false
}

// text is a file's only line, "" when there is none.
func (g *group) text(path string) string {
	data, _ := g.file(path)
	return strings.TrimSpace(string(data))
}

// number is a file that holds one number, as most in sysfs.
func (g *group) number(path string) *uint64 {
	return parsed(g, path, func(data []byte) (uint64, error) { return parseNumber(string(data), 64) })
}

// parsed is what parse makes of a file, nil when there is none or it makes no sense.
func parsed[T any](g *group, path string, parse func([]byte) (T, error)) *T {
	data, ok := g.file(path)
	if !ok {
		return nil
	}
	value, err := parse(data)
	if err != nil {
		g.problem(path, err)
		return nil
	}
	return &value
}

// parseNumber reads a decimal number of so many bits with white space around it.
func parseNumber(s string, bits int) (uint64, error) {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, bits)
	if err != nil {
		return 0, fmt.Errorf("%s is not a number from 0 to 2^%d-1", quote(s), bits)
	}
	return n, nil
}

// quote shows foreign text in an error, a long one only from its beginning.
func quote(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > 60 {
		s = s[:60] + "..."
	}
	return strconv.Quote(s)
}

// sorted are the problems of the pass in a fixed order, whichever read came first.
func (r *reading) sorted() []Problem {
	r.mu.Lock()
	defer r.mu.Unlock()
	slices.SortFunc(r.problems, func(a, b Problem) int { return strings.Compare(a.Error(), b.Error()) })
	return r.problems
}

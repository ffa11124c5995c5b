package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"
)

// Plan says who asks for what.
type Plan struct {
	Targets        Targets
	Streams, Plain int           // clients of each kind; each asks again and again, one request at a time
	For            time.Duration // how long they begin new requests; 0: until they are told to stop
	Bound          time.Duration // what one request may take, from its start to its end, everything included
	Pause          time.Duration // between a client's requests, on average
	Length         int           // phrases in the longest text, of six tokens or so each; 0: 8
	Retry          bool          // 503 with Retry-After is obeyed, five times, as OpenCode does
	Seed           uint64
	Results        io.Writer // a JSON line for each request; nil: none
}

// client is one program that uses the tiers.
type client struct {
	plan   *Plan
	http   *http.Client
	number int
	asked  int // questions so far
	stream bool
	random *rand.Rand
	begin  time.Time
}

// Run runs all clients until the time is over or ctx ends, and then lets the requests in flight finish. Each is over within
// the plan's bound, or counted as hung.
func Run(ctx context.Context, p Plan) (*Tally, error) {
	if len(p.Targets) == 0 || p.Streams+p.Plain <= 0 || p.Bound <= 0 {
		return nil, errors.New("a load needs targets, clients and a bound")
	}
	if p.Length <= 0 {
		p.Length = 8
	}
	if p.For > 0 {
		var cancel func()
		ctx, cancel = context.WithTimeout(ctx, p.For)
		defer cancel()
	}
	var (
		tally  Tally
		begin  = time.Now()
		failed = make(chan error, p.Streams+p.Plain)
		lines  = newLines(p.Results)
		all    sync.WaitGroup
	)
	for i := range p.Streams + p.Plain {
		c := newClient(&p, i, begin)
		all.Go(func() {
			for ctx.Err() == nil {
				r, err := c.request(context.WithoutCancel(ctx))
				if err == nil {
					tally.add(r)
					err = lines.write(r)
				}
				if err != nil {
					failed <- err
					return
				}
				c.pause(ctx)
			}
		})
	}
	all.Wait()
	tally.finish()
	close(failed)
	return &tally, <-failed
}

// newClient is the client of that number. Half of all keep their connection, as most programs do, and half open one for each
// request, which shows whether anybody is refused.
func newClient(p *Plan, number int, begin time.Time) *client {
	return &client{
		plan: p, number: number, stream: number < p.Streams, begin: begin,
		random: rand.New(rand.NewPCG(p.Seed, uint64(number))),
		http: &http.Client{Transport: &http.Transport{
			DialContext:        (&net.Dialer{Timeout: p.Bound}).DialContext,
			DisableKeepAlives:  number%2 == 1,
			DisableCompression: true,
		}},
	}
}

// request asks one question of a random target and checks the answer.
func (c *client) request(ctx context.Context) (Result, error) {
	to := c.plan.Targets[c.random.IntN(len(c.plan.Targets))]
	begin := time.Now()
	c.asked++
	number := fmt.Sprintf("%d-%d", c.number, c.asked)
	q, err := newQuestion(to.Model, number, 1+c.random.IntN(c.plan.Length), c.stream, c.random)
	if err != nil {
		return Result{}, err
	}
	r := Result{At: begin.Sub(c.begin).Seconds(), Tier: to.Tier, Port: to.Port, Model: to.Model, Stream: c.stream}
	ctx, cancel := context.WithTimeout(ctx, c.plan.Bound)
	defer cancel()
	for {
		again := c.attempt(ctx, to, q, begin, &r)
		if again == 0 || r.Retries == maxRetries || !c.plan.Retry {
			break
		}
		r.Retries++
		wait(ctx, again)
	}
	r.Took = time.Since(begin).Seconds()
	return r, nil
}

// maxRetries is how often OpenCode asks again.
const maxRetries = 5

// pause waits between two requests: every time from nothing to twice the average, so that clients do not march in step.
func (c *client) pause(ctx context.Context) {
	if c.plan.Pause > 0 {
		wait(ctx, time.Duration(c.random.Int64N(int64(2*c.plan.Pause))))
	}
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// lines writes results as JSON lines; several goroutines may use it.
type lines struct {
	mu  sync.Mutex
	out *json.Encoder
}

func newLines(w io.Writer) *lines {
	if w == nil {
		w = io.Discard
	}
	return &lines{out: json.NewEncoder(w)}
}

func (l *lines) write(r Result) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Encode(r)
}

package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Plan says what is measured of each tier.
type Plan struct {
	Depths  []int // tokens of the prompt
	Streams []int // requests at a time
	Tokens  int   // that each request asks for, 2 at least
	Runs    int
	Request time.Duration // bounds each request
	Random  *rand.Rand    // prompts are made with it
}

// Subject is a tier to be measured.
type Subject struct {
	Tier   Tier // what is known of it
	Limit  int  // requests that the gateway lets through at a time; 0: no limit, or not known
	Cost   Cost
	Client Client
	// Up is asked before each point whether the tier is still up. A request for one that is not would start it, and may make
	// others give way for it.
	Up func(context.Context) error
}

// Step is how far the measuring of a tier has come.
type Step struct {
	Index int // of the point in Plan.Points
	Run   int // from 1
	Point Point
	Over  bool
}

// Points are what is measured, in this order.
func (p Plan) Points() []Point {
	var list []Point
	for _, depth := range p.Depths {
		for _, streams := range p.Streams {
			list = append(list, Point{Depth: depth, Streams: streams})
		}
	}
	return list
}

// Measure measures a tier and returns what it has when ctx ends. tell hears of every step, from this goroutine.
func (p Plan) Measure(ctx context.Context, s Subject, tell func(Step)) Tier {
	t := s.Tier
	t.Points = []Point{}
	t.Version = s.Client.version(ctx)
	prompts, err := newPrompts(ctx, s.Client, p.Random)
	if err == nil {
		// What an engine does at its first request only, such as compiling kernels, is not measured.
		_, err = p.one(ctx, s.Client, prompts.next(shortest), 2)
	}
	if err != nil {
		t.Skipped = p.words(ctx, err)
		return t
	}
	for i, point := range p.Points() {
		err := ctx.Err()
		if err == nil {
			err = s.Up(ctx)
		}
		if err != nil {
			t.Skipped = p.words(ctx, err)
			break
		}
		m := measuring{plan: p, subject: s, prompts: prompts, point: point, tell: func(run int) { tell(Step{Index: i, Run: run, Point: point}) }}
		t.Points = append(t.Points, m.measure(ctx))
		tell(Step{Index: i, Run: p.Runs, Point: t.Points[i], Over: true})
	}
	return t
}

// one is one request within its bound.
func (p Plan) one(ctx context.Context, c Client, prompt []int, tokens int) (answer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, p.Request, fmt.Errorf("a request took more than %s", p.Request))
	defer cancel()
	a, err := c.stream(ctx, prompt, tokens)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return a, err
}

// words says why something was not measured.
func (p Plan) words(ctx context.Context, err error) string {
	switch {
	case ctx.Err() != nil && errors.Is(context.Cause(ctx), context.Canceled):
		return "interrupted"
	case ctx.Err() != nil:
		return context.Cause(ctx).Error()
	}
	return err.Error()
}

// measuring is one point while it is measured.
type measuring struct {
	plan    Plan
	subject Subject
	prompts *prompts
	point   Point
	tell    func(run int)

	ttft, cached, reading, writing, total, engineReading, engineWriting []float64
}

func (m *measuring) measure(ctx context.Context) Point {
	if m.point.Skipped = m.tooMuch(); m.point.Skipped != "" {
		return m.point
	}
	for run := range m.plan.Runs {
		m.tell(run + 1)
		if err := m.run(ctx); err != nil {
			m.point.Skipped = m.plan.words(ctx, err)
			break
		}
	}
	return m.sum()
}

// length is the prompt's, in tokens.
func (m *measuring) length() int { return max(m.point.Depth, shortest) }

// tooMuch says why the tier cannot do it; "" when it can.
func (m *measuring) tooMuch() string {
	t, need := m.subject.Tier, m.length()+m.plan.Tokens
	switch {
	case t.Context > 0 && need > t.Context:
		return fmt.Sprintf("its context is %d tokens, and this takes %d", t.Context, need)
	case m.subject.Limit > 0 && m.point.Streams > m.subject.Limit:
		return fmt.Sprintf("at most %d at a time are let through", m.subject.Limit)
	}
	return ""
}

// run is one round of requests at the same time, and, of a single one, the same prompt again.
func (m *measuring) run(ctx context.Context) error {
	type result struct {
		answer
		err error
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	results := make(chan result)
	var last []int
	for range m.point.Streams {
		prompt := m.prompts.next(m.length())
		last = prompt
		go func() {
			a, err := m.plan.one(ctx, m.subject.Client, prompt, m.plan.Tokens)
			results <- result{a, err}
		}()
	}
	var answers []answer
	var failed error
	for range m.point.Streams {
		r := <-results
		if r.err != nil && failed == nil {
			failed = r.err
			cancel(r.err) // with one missing the others are not what was asked for
		}
		answers = append(answers, r.answer)
	}
	if failed != nil {
		return failed
	}
	m.add(answers)
	if m.point.Streams > 1 || m.point.Depth == 0 {
		return nil
	}
	again, err := m.plan.one(ctx, m.subject.Client, last, 2)
	if err == nil {
		m.cached = append(m.cached, again.first.Seconds())
		m.point.CachedCount = max(m.point.CachedCount, again.cached)
	}
	return err
}

// add takes the answers of one round.
func (m *measuring) add(answers []answer) {
	begun, ended, tokens := answers[0].begun, answers[0].ended, 0
	for _, a := range answers {
		m.point.Prompt = a.prompt
		m.ttft = append(m.ttft, a.first.Seconds())
		if m.point.Depth > 0 {
			m.reading = rate(m.reading, a.prompt-a.cached, a.first)
			if a.readingRate > 0 {
				m.engineReading = append(m.engineReading, a.readingRate)
			}
		}
		m.writing = rate(m.writing, a.tokens-1, a.last-a.first)
		if a.writingRate > 0 {
			m.engineWriting = append(m.engineWriting, a.writingRate)
		}
		if a.begun.Before(begun) {
			begun = a.begun
		}
		if a.ended.After(ended) {
			ended = a.ended
		}
		tokens += a.tokens - 1
	}
	m.total = rate(m.total, tokens, ended.Sub(begun))
}

// rate appends how many a second; nothing where there is nothing to divide.
func rate(samples []float64, n int, in time.Duration) []float64 {
	if n < 1 || in <= 0 {
		return samples
	}
	return append(samples, float64(n)/in.Seconds())
}

// sum is the point with its figures.
func (m *measuring) sum() Point {
	p := m.point
	p.TTFT, p.CachedTTFT, p.Reading, p.Writing, p.Total = figure(m.ttft), figure(m.cached), figure(m.reading), figure(m.writing), figure(m.total)
	p.EngineReading, p.EngineWriting = figure(m.engineReading), figure(m.engineWriting)
	b, ok := bound(m.subject.Tier.Bandwidth, m.subject.Cost, p.Prompt, p.Streams)
	if !ok || p.Total == nil {
		return p
	}
	percent := p.Total.Median / b * 100
	p.KV, p.Bound, p.Percent = m.subject.Cost.KV(p.Prompt), &b, &percent
	return p
}

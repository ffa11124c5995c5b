package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"
)

// scale is how much abuse there is.
type scale struct {
	idle    int           // connections that nothing is asked on; the gateway takes a few more
	readers int           // that take what they asked for slowly, or never
	writers int           // that send their request slowly, or never to its end
	cut     int           // requests whose body ends in the middle
	headers int           // requests with a header of 1 MiB
	random  int           // streams of bytes that are no request, or nearly one
	linger  time.Duration // how long those that are slow go on
	patient bool          // wait until the gateway ends those that are too slow, and for all to be closed after each scenario
}

var (
	fullScale  = scale{1000, 200, 200, 200, 60, 10_000, 3 * time.Second, true}
	shortScale = scale{200, 40, 40, 40, 12, 1000, 500 * time.Millisecond, false}
)

// spare is how many connections the gateway takes beside the idle ones. At its default of 1024 for the full scale.
const spare = 24

// goodClients ask on during all abuse.
const goodClients = 4

// abuse is one scenario; what it returns says in words what was answered.
type abuse struct {
	name string
	do   func(*abuser) (string, error)
}

func abuses() []abuse {
	return []abuse{
		{"nobody", func(a *abuser) (string, error) { time.Sleep(a.linger); return "", nil }},
		{"idle connections", (*abuser).idleConnections},
		{"slow readers", (*abuser).slowReaders},
		{"slow writers", (*abuser).slowWriters},
		{"bodies cut off", (*abuser).cutBodies},
		{"headers of 1 MiB", (*abuser).longHeaders},
		{"random bytes", (*abuser).randomBytes},
		{"mutated requests", (*abuser).mutatedRequests},
	}
}

// abuser has what scenarios need of the rig.
type abuser struct {
	scale
	address string
	pid     int           // of the gateway
	pause   time.Duration // how long it may leave a client without an answer who then ends its side
}

// abused is what one scenario showed.
type abused struct {
	name, answers string
	others        result
	resident      uint64 // most, in bytes, while it went on
}

// measureAbuse does one scenario after the other, while some clients ask on whose answers are checked. What a scenario has
// opened must be closed in the gateway soon after, too.
func measureAbuse(r *rig, s scale) ([]abused, error) {
	r.tierd.limit(s.idle + spare)
	g, err := r.freshGateway()
	if err != nil {
		return nil, err
	}
	a := &abuser{s, r.tierd.address(), g.pid(), 20 * time.Millisecond}
	before, err := a.files()
	if err != nil {
		return nil, err
	}
	if _, err := r.client.do(job{Kind: smallJob, Address: a.address, Conns: goodClients, Requests: 2000}); err != nil {
		return nil, err
	}
	var list []abused
	all := abuses()
	for i, one := range all {
		result, err := a.during(r.client, one)
		// Kept connections to the engine make this take some seconds: where time is short, once for all.
		if err == nil && (s.patient || i == len(all)-1) {
			err = a.settle(before)
		}
		if err = errors.Join(err, silent(r.engine.log)); err != nil {
			return nil, fmt.Errorf("abuse by %s: %w", one.name, err)
		}
		list = append(list, result)
	}
	return list, noPanic(g.log)
}

// during does one scenario while good clients ask on.
func (a *abuser) during(c *client, one abuse) (abused, error) {
	if err := resetPeak(a.pid); err != nil {
		return abused{}, err
	}
	j := job{Kind: smallJob, Address: a.address, Conns: goodClients, Open: true}
	if err := c.begin(j); err != nil {
		return abused{}, err
	}
	answers, err := one.do(a)
	others, otherErr := c.finish(j)
	if otherErr != nil {
		otherErr = fmt.Errorf("a good client: %w", otherErr)
	}
	_, peak, peakErr := resident(a.pid)
	return abused{one.name, answers, others, peak}, errors.Join(err, otherErr, peakErr)
}

// files counts the gateway's descriptors.
func (a *abuser) files() (int, error) {
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", a.pid))
	return len(list), err
}

// settle waits until the gateway has no more descriptors than when it had done nothing, but for a few: it may just be
// talking to tierd. Connections to the engine are kept for some seconds.
func (a *abuser) settle(before int) error {
	const few = 4
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		n, err := a.files()
		if err != nil || n <= before+few {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("the gateway has %d open files half a minute after, and had %d before", n, before)
		}
	}
}

// silent is an error when the engine complained: then the gateway has passed on what is no request.
func silent(log string) error {
	text, err := os.ReadFile(log)
	if err == nil && len(text) > 0 {
		err = fmt.Errorf("the engine got what is no request: %s", text[:min(len(text), 1<<10)])
	}
	return err
}

func noPanic(log string) error {
	text, err := os.ReadFile(log)
	if at := bytes.Index(text, []byte("panic")); err == nil && at >= 0 {
		err = fmt.Errorf("the gateway panicked: %s", text[at:min(len(text), at+1<<10)])
	}
	return err
}

// abuseTable prints what the scenarios showed.
func abuseTable(w io.Writer, list []abused) error {
	out := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(out, "abuse by\tothers' p50 ms\tp99 ms\tworst ms\treq/s\tresident MiB\tanswers")
	for _, a := range list {
		fmt.Fprintf(out, "%s\t%.2f\t%.2f\t%.1f\t%.0f\t%.1f\t%s\n", a.name, millis(a.others.P50), millis(a.others.P99), millis(a.others.Max),
			rate(sample{result: a.others}), float64(a.resident)/(1<<20), a.answers)
	}
	fmt.Fprintln(out)
	return out.Flush()
}

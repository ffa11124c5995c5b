package guard

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

const (
	traceVersion = 1
	maxTraceLine = 1 << 20 // bytes: a look at MaxTiers takes a fiftieth
)

// entry is one line of a trace. The first has a version, the lines and the pace in force, and what the guard knew when the
// trace begins, if it had looked before. Each of the others has a look and what was decided, or new lines and a new pace.
type entry struct {
	Version  int       `json:"version,omitempty"`
	Lines    *Lines    `json:"lines,omitempty"`
	Pace     *Pace     `json:"pace,omitempty"`
	State    *memory   `json:"state,omitempty"`
	Look     *Facts    `json:"look,omitempty"`
	Decision *Decision `json:"decision,omitempty"`
}

// Writer writes a trace: lines of JSON.
type Writer struct{ to *json.Encoder }

// NewWriter begins a trace of a guard as it is now.
func NewWriter(w io.Writer, g *Guard) (*Writer, error) {
	e := entry{Version: traceVersion, Lines: &g.lines, Pace: &g.pace}
	if g.Looked {
		e.State = &g.memory
	}
	t := &Writer{to: json.NewEncoder(w)}
	return t, t.to.Encode(e)
}

// Set writes that the guard was given other lines and another pace.
func (t *Writer) Set(l Lines, p Pace) error { return t.to.Encode(entry{Lines: &l, Pace: &p}) }

// Look writes one look and what was decided.
func (t *Writer) Look(f *Facts, d Decision) error { return t.to.Encode(entry{Look: f, Decision: &d}) }

// TraceError is a line of a trace that cannot be read.
type TraceError struct {
	Line int // from 1
	Err  error
}

func (e *TraceError) Error() string { return fmt.Sprintf("line %d of the trace: %v", e.Line, e.Err) }

func (e *TraceError) Unwrap() error { return e.Err }

// Difference is a look at which another decision is taken today than was then.
type Difference struct {
	Line      int // from 1
	Then, Now Decision
}

func (e *Difference) Error() string {
	return fmt.Sprintf("line %d of the trace: %s (%s, next look in %s) was decided then, and %s (%s, next look in %s) is now", e.Line,
		e.Then.Act, e.Then.AppendText(nil), e.Then.Next, e.Now.Act, e.Now.AppendText(nil), e.Now.Next)
}

// Replay has a guard decide anew on every look of a trace, and calls each, if there is one, with every look and its decision.
// It ends with the number of looks, and with a *TraceError at a line that cannot be read, or with a *Difference at the first
// decision that is not the one of the trace.
func Replay(r io.Reader, each func(f *Facts, d Decision)) (looks int, err error) {
	var g *Guard
	lines, n := bufio.NewScanner(r), 0
	lines.Buffer(nil, maxTraceLine)
	for lines.Scan() {
		n++
		e, err := parseEntry(lines.Bytes(), n == 1)
		switch {
		case err != nil:
			return looks, &TraceError{n, err}
		case n == 1:
			g = New(*e.Lines, *e.Pace)
			if e.State != nil {
				g.memory = *e.State
				g.Units = append(make([]unit, 0, 2*MaxTiers), e.State.Units...)
			}
		case e.Lines != nil:
			g.Set(*e.Lines, *e.Pace)
		default:
			d := g.Step(e.Look)
			if d != *e.Decision {
				return looks, &Difference{Line: n, Then: *e.Decision, Now: d}
			}
			looks++
			if each != nil {
				each(e.Look, d)
			}
		}
	}
	if err := lines.Err(); err != nil {
		return looks, &TraceError{n + 1, err}
	}
	if n == 0 {
		return 0, &TraceError{1, errors.New("it is empty")}
	}
	return looks, nil
}

// parseEntry reads one line and checks what Step relies on.
func parseEntry(line []byte, first bool) (entry, error) {
	var e entry
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&e); err != nil {
		return e, err
	}
	if dec.More() {
		return e, errors.New("there is more than one value")
	}
	head := e.Lines != nil && e.Pace != nil && e.Look == nil && e.Decision == nil
	switch {
	case first && e.Version != traceVersion:
		return e, fmt.Errorf("it is no trace of version %d", traceVersion)
	case first && !head:
		return e, errors.New("the first line has lines and a pace, and no look")
	case first && e.State != nil:
		return e, e.State.check()
	case first:
		return e, nil
	case e.Version != 0 || e.State != nil:
		return e, errors.New("a version and a state are in the first line alone")
	case head:
		return e, nil
	case e.Look == nil || e.Decision == nil || e.Lines != nil || e.Pace != nil:
		return e, errors.New("it has neither a look with its decision, nor lines with a pace")
	case len(e.Look.Tiers) > MaxTiers:
		return e, fmt.Errorf("it has %d tiers, and %d is the most", len(e.Look.Tiers), MaxTiers)
	}
	return e, nil
}

// check is whether a guard can go on from here.
func (m *memory) check() error {
	const most = 1 << 40 // looks, some hundred years of them
	repeated := slices.ContainsFunc(m.Units, func(u unit) bool { return u.Unit == "" })
	switch {
	case m.Trend.Count < 0 || m.Trend.Count > most || m.Past.Count < 0 || m.Past.Count > most:
		return errors.New("its state counts looks that cannot have been")
	case m.Looked && m.Past.Count == 0 || repeated:
		return errors.New("its state has a unit without a name, or looks without a past")
	case len(m.Units) > MaxTiers:
		return fmt.Errorf("its state has %d units, and %d is the most", len(m.Units), MaxTiers)
	case m.Open.Phase > gone:
		return fmt.Errorf("its state has an action in phase %d", m.Open.Phase)
	case m.Lead < 0 || m.Lead > time.Hour:
		return fmt.Errorf("its state has a lead of %s", m.Lead)
	}
	return nil
}

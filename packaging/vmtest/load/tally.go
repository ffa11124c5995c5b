package load

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Outcome is how a request ended.
type Outcome string

// The outcomes. Of those above the line a user's program recovers by itself; whoever meets one below it has been let down.
const (
	OK      Outcome = "ok"      // the whole text, by the right model
	Clear   Outcome = "clear"   // 502 or 503 with an error object that has a code and a message
	Broken  Outcome = "broken"  // the connection broke before the answer's head
	Cut     Outcome = "cut"     // it broke within the answer, so that the client sees it
	Refused Outcome = "refused" // nobody accepts the connection
	// ---
	Failed     Outcome = "failed"      // any other status, or one without an error object
	Short      Outcome = "short"       // an answer that ended in good order and is not complete
	WrongModel Outcome = "wrong-model" // another model's answer
	WrongText  Outcome = "wrong-text"  // not the text that was asked for
	Hung       Outcome = "hung"        // not over within the bound
)

// Result is one request from its start to its end, with all its attempts.
type Result struct {
	At      float64 // seconds since the load began
	Wait    float64 // until the head of the last answer, in seconds
	Took    float64 // until its end, in seconds
	Tier    string
	Port    int
	Model   string
	Stream  bool
	Outcome Outcome
	Status  string `json:",omitempty"` // of an answer that is none: "503 tier_not_ready"
	By      string `json:",omitempty"` // the model that answered
	Detail  string `json:",omitempty"`
	Retries int    `json:",omitempty"` // attempts before the last one, each answered by 503 with Retry-After
}

// Tally is what a load came to. Times are seconds.
type Tally struct {
	Requests int
	Streams  int             // of these, how many were streams
	Outcomes map[Outcome]int // adds up to Requests
	Statuses map[string]int  // of what is Clear or Failed
	Retried  int             // requests that were put off at least once
	By       map[string]int  // right answers by the model that gave them
	Longest  map[string]float64
	// LongestWait is the longest time from a request's start to the head of an answer, LongestWhole to its end, among all requests.
	LongestWait, LongestWhole float64
	MedianWait, P99Wait       float64
	Faults                    []string

	mu    sync.Mutex
	waits []float64
}

// maxFaults bounds the faults that are told in full.
const maxFaults = 24

// add counts one result.
func (t *Tally) add(r Result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.Outcomes == nil {
		t.Outcomes, t.Statuses = map[Outcome]int{}, map[string]int{}
		t.By, t.Longest = map[string]int{}, map[string]float64{}
	}
	t.Requests++
	if r.Stream {
		t.Streams++
	}
	t.Outcomes[r.Outcome]++
	if r.Status != "" {
		t.Statuses[r.Status]++
	}
	if r.Retries > 0 {
		t.Retried++
	}
	if r.Outcome == OK {
		t.By[r.By]++
	} else if len(t.Faults) < maxFaults {
		t.Faults = append(t.Faults, fmt.Sprintf("at %.3f s, after %.3f s, %s on port %d (stream %t): %s: %s",
			r.At, r.Took, r.Tier, r.Port, r.Stream, r.Outcome, r.Detail))
	}
	t.waits = append(t.waits, r.Wait)
	t.Longest[r.Tier] = max(t.Longest[r.Tier], r.Wait)
	t.LongestWait, t.LongestWhole = max(t.LongestWait, r.Wait), max(t.LongestWhole, r.Took)
}

// finish works out what needs all results.
func (t *Tally) finish() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.waits) == 0 {
		return
	}
	slices.Sort(t.waits)
	t.MedianWait, t.P99Wait = t.waits[len(t.waits)/2], t.waits[len(t.waits)*99/100]
}

// Count is the number of requests with one of the outcomes.
func (t *Tally) Count(outcomes ...Outcome) (n int) {
	for _, o := range outcomes {
		n += t.Outcomes[o]
	}
	return n
}

// NotOK is every request that did not get its whole, right answer.
func (t *Tally) NotOK() int { return t.Requests - t.Outcomes[OK] }

// String is the tally in one line, and a line for each fault.
func (t *Tally) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d requests, %d of them streams:", t.Requests, t.Streams)
	for _, o := range slices.Sorted(maps.Keys(t.Outcomes)) {
		fmt.Fprintf(&b, " %s %d", o, t.Outcomes[o])
	}
	fmt.Fprintf(&b, "; retried %d; statuses %v; answered by %v", t.Retried, t.Statuses, t.By)
	seconds := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)).Round(time.Millisecond) }
	fmt.Fprintf(&b, "; wait p50 %v, p99 %v, longest %v; longest whole %v", seconds(t.MedianWait), seconds(t.P99Wait), seconds(t.LongestWait), seconds(t.LongestWhole))
	for _, fault := range t.Faults {
		b.WriteString("\n\t" + fault)
	}
	return b.String()
}

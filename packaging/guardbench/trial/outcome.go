package trial

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Outcome is what a run comes to.
type Outcome struct {
	Run
	Victims   []string       `json:"victims,omitempty"` // tiers that ended, the first first
	Load      bool           `json:"load,omitempty"`    // the load ended before its time
	Right     bool           `json:"right"`
	Wrong     []string       `json:"wrong,omitempty"` // victims that no right choice has
	Crossed   bool           `json:"crossed"`         // the soft line
	Term      *time.Duration `json:"term,omitempty"`  // from there until a victim saw SIGTERM; nil: none did
	Exit      *time.Duration `json:"exit,omitempty"`  // until the first was gone
	Back      *time.Duration `json:"back,omitempty"`  // until memory was above the line again for good
	Least     int64          `json:"least"`           // bytes available
	UnderHard time.Duration  `json:"under_hard"`
	Stalled   time.Duration  `json:"stalled"` // all tasks waited for memory
	OOMKills  int64          `json:"ooms"`
	RSS       int64          `json:"rss,omitempty"`    // bytes
	Crashed   bool           `json:"crash,omitempty"`  // the guard itself ended
	Broken    bool           `json:"broken,omitempty"` // the VM's systemd ended in it
	Failed    string         `json:"failed,omitempty"` // why there is nothing else: the VM hung, or the like
}

// good is how long memory has to stay above the line to count as back.
const good = 300 * time.Millisecond

// Outcome reads the record.
func (r *Record) Outcome() Outcome {
	o := Outcome{Run: r.Run, OOMKills: r.OOMKills, RSS: r.RSS, Crashed: r.Crashed, Broken: r.Broken, Least: r.Start}
	for name := range r.Exits {
		if name == Load {
			o.Load = true
		} else {
			o.Victims = append(o.Victims, name)
		}
	}
	slices.SortFunc(o.Victims, func(a, b string) int { return int(r.Exits[a] - r.Exits[b]) })
	s, _ := Find(r.Scenario)
	o.Right, o.Wrong = s.judge(o.Victims, o.Load)
	if n := len(r.Samples); n > 0 {
		o.Stalled = micros(r.Samples[n-1].Full - r.Samples[0].Full)
	}
	last := int64(0)
	for _, sample := range r.Samples {
		o.Least = min(o.Least, sample.Available)
		if sample.Available < Hard {
			o.UnderHard += micros(sample.At - last)
		}
		last = sample.At
	}
	if from, ok := crossing(r.Samples); ok {
		o.Crossed = true
		o.Term, o.Exit, o.Back = first(r.Terms, from), first(r.Exits, from), back(r.Samples, from)
	}
	return o
}

// crossing is when the soft line was crossed first: between two samples, since on a machine that is out of memory the one who
// samples has to wait as well.
func crossing(samples []Sample) (at int64, ok bool) {
	i := slices.IndexFunc(samples, func(s Sample) bool { return s.Available < Soft })
	if i <= 0 {
		return 0, i == 0
	}
	before, after := samples[i-1], samples[i]
	return before.At + (after.At-before.At)*(before.Available-Soft)/(before.Available-after.Available), true
}

// first is the time from the crossing to the earliest: negative where somebody acted before it, or a little where samples were
// far apart.
func first(times map[string]int64, from int64) *time.Duration {
	var least *time.Duration
	for _, at := range times {
		if d := micros(at - from); least == nil || d < *least {
			least = &d
		}
	}
	return least
}

// back is the time from the crossing to the sample from which on memory stays above the line for a while.
func back(samples []Sample, from int64) *time.Duration {
	begin := int64(-1)
	for _, s := range samples {
		switch {
		case s.At < from:
		case s.Available < Soft:
			begin = -1
		case begin < 0:
			begin = s.At
		case micros(s.At-begin) >= good:
			d := micros(begin - from)
			return &d
		}
	}
	return nil
}

// judge says whether these were the right ones, and who was not. A victim that some right choice has is not wrong by itself:
// it may have been one too many.
func (s Scenario) judge(victims []string, load bool) (right bool, wrong []string) {
	may := map[string]bool{}
	for _, c := range s.Right {
		right = right || c.fits(victims, load)
		for _, name := range append(slices.Clone(c.Must), c.May...) {
			may[name] = true
		}
	}
	for _, v := range victims {
		if !may[v] {
			wrong = append(wrong, v)
		}
	}
	return right, wrong
}

func (c Choice) fits(victims []string, load bool) bool {
	for _, name := range c.Must {
		if !slices.Contains(victims, name) {
			return false
		}
	}
	for _, v := range victims {
		if !slices.Contains(c.Must, v) && !slices.Contains(c.May, v) {
			return false
		}
	}
	return len(victims) <= c.Most && load == c.Load
}

// Fate is who ended, for a person: "reviewer, utility", "-", "coder and the load".
func (o Outcome) Fate() string {
	who := strings.Join(o.Victims, ", ")
	switch {
	case o.Failed != "":
		return "no result"
	case o.Load && who == "":
		return "the load"
	case o.Load:
		return who + " and the load"
	case who == "":
		return "-"
	}
	return who
}

// Line is the outcome in one line, to be followed while runs go on.
func (o Outcome) Line() string {
	if o.Failed != "" {
		return o.Failed
	}
	word := "RIGHT"
	if !o.Right {
		word = "wrong"
	}
	return fmt.Sprintf("%s: %s; SIGTERM %s ms, exit %s ms, back %s ms, least %d MiB, %.2f s under the hard line, %d OOM kills",
		word, o.Fate(), ms(o.Term), ms(o.Exit), ms(o.Back), o.Least>>20, o.UnderHard.Seconds(), o.OOMKills)
}

func ms(d *time.Duration) string {
	if d == nil {
		return "-"
	}
	return fmt.Sprintf("%.0f", millis(*d))
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
func micros(n int64) time.Duration   { return time.Duration(n) * time.Microsecond }

package guard

import "time"

const (
	shortSpan = 100 * time.Millisecond
	longSpan  = 300 * time.Millisecond
	apart     = 20 * time.Millisecond // points of a trend: 32 of them are more than longSpan
)

// trend is Available over the last looks.
type trend struct {
	Points [32]point `json:"points"`
	Count  int       `json:"count"` // of all that were added
}

type point struct {
	At        time.Duration `json:"at"`
	Available uint64        `json:"available"`
}

// at is the i-th point back, 0 the newest.
func (t *trend) at(i int) point { return t.Points[(t.Count-1-i)%len(t.Points)] }

func (t *trend) add(at time.Duration, available uint64) {
	if t.Count > 1 && at-t.at(1).At < apart { // the newest is replaced, so that it is never an old one
		t.Count--
	}
	t.Points[t.Count%len(t.Points)] = point{at, available}
	t.Count++
}

// slope is how fast Available has changed from the newest point that is at least a span old, in bytes a second.
func (t *trend) slope(span time.Duration) (int64, bool) {
	now := t.at(0)
	for i := 1; i < min(t.Count, len(t.Points)); i++ {
		p := t.at(i)
		if age := now.At - p.At; age >= span {
			return int64(float64(int64(now.Available-p.Available)) / age.Seconds()), true
		}
	}
	return 0, false
}

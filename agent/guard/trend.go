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

// slope is how fast Available has changed from the newest point that is at least a span old, in bytes a second, and how many
// looks ago that was; 0 looks: there is none.
func (t *trend) slope(span time.Duration) (rate int64, looks int) {
	now := t.at(0)
	for i := 1; i < min(t.Count, len(t.Points)); i++ {
		p := t.at(i)
		if age := now.At - p.At; age >= span {
			return int64(float64(int64(now.Available-p.Available)) / age.Seconds()), i
		}
	}
	return 0, 0
}

// fall is how fast Available falls for certain, in bytes a second: as fast as over a third of a second and still over the last
// looks. What one look alone has seen may have been one step down, which ended there.
func (t *trend) fall() uint64 {
	long, looks := t.slope(longSpan)
	short, _ := t.slope(shortSpan)
	last, recent := t.slope(apart)
	if looks == 0 || recent == looks {
		return 0
	}
	return falling(max(long, short, last))
}

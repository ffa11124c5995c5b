package bench

import "fmt"

// Bandwidth is how much a tier's engine can read of the memory that holds its model.
type Bandwidth struct {
	Bytes    float64 `json:"bytes_per_second"`
	Source   string  `json:"source"`   // where the figure comes from, for a person
	Measured bool    `json:"measured"` // by a short test that reads with the CPU: the memory may be able to do more
}

// String is "256 GB/s (theoretical, LPDDR5X-8000 of 256 bits)".
func (b Bandwidth) String() string {
	form := "%.3g GB/s (%s)"
	if b.Bytes >= 1e12 { // or it would be 1.2e+03
		form = "%.0f GB/s (%s)"
	}
	return fmt.Sprintf(form, b.Bytes/1e9, b.Source)
}

// Cost is what an engine has to read for a token, in bytes.
type Cost struct {
	Weights uint64                 // once for a token of each stream; 0: not known
	KV      func(depth int) uint64 // for a token of one stream, behind so many others
}

// bound is how many tokens a second the memory allows to so many streams at that depth. Streams share one pass through the
// weights. Of a mixture that is too much for them unless all their tokens go to the same experts: it is a bound, not an
// expectation. ok is false where something of it is not known.
func bound(b *Bandwidth, c Cost, depth, streams int) (perSecond float64, ok bool) {
	if b == nil || b.Bytes <= 0 || c.Weights == 0 || c.KV == nil {
		return 0, false
	}
	n := float64(streams)
	return n * b.Bytes / (float64(c.Weights) + n*float64(c.KV(depth))), true
}

package units

import (
	"fmt"
	"strings"
)

// Charge is the memory that a unit takes once it is loaded, by what it is for. Weights, KV and Overhead are zero when
// nothing is known of the model.
type Charge struct {
	Weights  Bytes // the model's tensors, as the engine holds them
	KV       Bytes // the KV cache of all requests at once, with the constant state of linear layers
	Overhead Bytes // the engine's buffers beside both
	Device   Bytes // what of these three lies in the GPU's pool; the rest is RAM
	Host     Bytes // what the processes of a GPU unit take of the RAM besides. Where the pool is RAM too, Overhead covers it
	Mapped   Bytes // the part of Weights that stays in the page cache of a mapped file, which MemAvailable counts as free
	Measured Bytes // the most that an earlier run of the same definition took; 0: not known
	Written  Bytes // `memory` in tiers.toml, which stands in place of the estimate; 0: not written
}

// Estimate is the sum of the parts.
func (c Charge) Estimate() Bytes { return c.Weights + c.KV + c.Overhead }

// Total is what admission counts: what tiers.toml says, else the larger of the estimate and what was measured.
func (c Charge) Total() Bytes {
	if c.Written > 0 {
		return c.Written
	}
	return max(c.Estimate(), c.Measured)
}

// String is the charge with its parts: "42.5GiB (27.5GiB weights + 12GiB KV cache + 3GiB overhead)".
func (c Charge) String() string {
	var parts []string
	for _, p := range []struct {
		size Bytes
		name string
	}{{c.Weights, "weights"}, {c.KV, "KV cache"}, {c.Overhead, "overhead"}} {
		if p.size > 0 {
			parts = append(parts, p.size.String()+" "+p.name)
		}
	}
	text := strings.Join(parts, " + ")
	switch {
	case c.Written > 0 && text == "":
		return fmt.Sprintf("%s (as tiers.toml says)", c.Written)
	case c.Written > 0:
		return fmt.Sprintf("%s (as tiers.toml says; the estimate is %s: %s)", c.Written, c.Estimate(), text)
	case c.Measured > c.Estimate():
		return fmt.Sprintf("%s (measured in an earlier run; the estimate was %s: %s)", c.Measured, c.Estimate(), text)
	}
	return fmt.Sprintf("%s (%s)", c.Total(), text)
}

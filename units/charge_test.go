package units

import "testing"

func TestWhatTiersTomlSaysStandsInPlaceOfTheEstimate(t *testing.T) {
	estimate := Charge{Weights: 3 * GiB, KV: 2 * GiB, Overhead: GiB}
	for _, c := range []struct {
		name     string
		measured Bytes
		written  Bytes
		want     Bytes
	}{
		{"nothing else is known", 0, 0, 6 * GiB},
		{"an earlier run took less", 5 * GiB, 0, 6 * GiB},
		{"an earlier run took more", 7 * GiB, 0, 7 * GiB},
		{"written below the estimate", 0, 4 * GiB, 4 * GiB},
		{"written, and an earlier run took more", 7 * GiB, 4 * GiB, 4 * GiB},
	} {
		t.Run(c.name, func(t *testing.T) {
			charge := estimate
			charge.Measured, charge.Written = c.measured, c.written
			if got := charge.Total(); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestAChargeIsWrittenWithItsParts(t *testing.T) {
	parts := Charge{Weights: 27 * GiB, KV: 12 * GiB, Overhead: 3 * GiB}
	measured, written := parts, parts
	measured.Measured = 43 * GiB
	written.Written = 40 * GiB
	for _, c := range []struct {
		charge Charge
		want   string
	}{
		{parts, "42GiB (27GiB weights + 12GiB KV cache + 3GiB overhead)"},
		{measured, "43GiB (measured in an earlier run; the estimate was 42GiB: 27GiB weights + 12GiB KV cache + 3GiB overhead)"},
		{written, "40GiB (as tiers.toml says; the estimate is 42GiB: 27GiB weights + 12GiB KV cache + 3GiB overhead)"},
		{Charge{Written: GiB}, "1GiB (as tiers.toml says)"},
	} {
		if got := c.charge.String(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

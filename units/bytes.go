// Package units turns tiers.toml and the host's size into systemd units. It is pure: it is handed bytes, numbers and a
// file system to look into, starts nothing and talks to nobody.
package units

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Bytes is an amount of memory. In tiers.toml it is always written with its unit: "12GiB", "512MiB".
type Bytes uint64

// The units in which amounts are written.
const (
	KiB Bytes = 1 << 10
	MiB Bytes = 1 << 20
	GiB Bytes = 1 << 30
	TiB Bytes = 1 << 40
)

var byteUnits = []struct {
	name string
	size Bytes
}{{"TiB", TiB}, {"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB}}

// maxBytes keeps sums of amounts far from overflow: 1 PiB.
const maxBytes = 1 << 50

// UnmarshalText reads "12GiB", "42.5 GiB" or "512MiB". A bare number and a decimal unit (GB) are refused: the two kinds of
// gigabyte differ by 7 %, which is more than the margin between two models.
func (b *Bytes) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	for _, u := range byteUnits {
		num, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		f, err := parseDecimal(strings.TrimSpace(num))
		if err != nil || f*float64(u.size) > maxBytes {
			break
		}
		*b = Bytes(math.Round(f * float64(u.size)))
		return nil
	}
	return fmt.Errorf("size %s is not a number followed by GiB or MiB, as in \"12GiB\"", quote(s))
}

// String is the amount in its largest fitting unit with at most two decimals: "42.5GiB", "512MiB", "0".
func (b Bytes) String() string {
	for _, u := range byteUnits {
		if b >= u.size {
			return strconv.FormatFloat(math.Round(float64(b)/float64(u.size)*100)/100, 'f', -1, 64) + u.name
		}
	}
	if b == 0 {
		return "0"
	}
	return strconv.FormatUint(uint64(b), 10) + "B"
}

// Tokens is a number of tokens. In tiers.toml it is written "64K" (65536) or as the plain number.
type Tokens int

// UnmarshalText reads "64K", "1M" or "8192".
func (t *Tokens) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	num, factor := s, 1
	if n, ok := strings.CutSuffix(s, "K"); ok {
		num, factor = n, 1<<10
	} else if n, ok := strings.CutSuffix(s, "M"); ok {
		num, factor = n, 1<<20
	}
	n, err := strconv.ParseUint(num, 10, 31)
	if err != nil || n*uint64(factor) > math.MaxInt32 {
		return fmt.Errorf("%s is not a number of tokens, as in \"64K\" or 65536", quote(s))
	}
	*t = Tokens(n * uint64(factor))
	return nil
}

// parseDuration reads "30s", "20m", "1h30m". Numbers without a unit are refused.
func parseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(strings.TrimSpace(s))
	if err != nil || d < 0 || d > 366*24*time.Hour {
		return 0, fmt.Errorf("%s is not a length of time, as in \"30s\", \"20m\" or \"1h30m\"", quote(s))
	}
	return d, nil
}

// parseDecimal reads digits with at most one point: what ParseFloat takes besides (signs, exponents, hex, inf, nan) is no
// way to write an amount of memory.
func parseDecimal(s string) (float64, error) {
	if s == "" || strings.Trim(s, "0123456789.") != "" {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseFloat(s, 64)
}

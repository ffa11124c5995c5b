package units

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestSizesAreReadWithTheirUnit(t *testing.T) {
	for text, want := range map[string]Bytes{
		"12GiB": 12 * GiB, "512MiB": 512 * MiB, "42.5GiB": 42*GiB + 512*MiB, " 1 TiB ": TiB, "64KiB": 64 * KiB,
		"0GiB": 0, ".5GiB": 512 * MiB, "1024TiB": 1024 * TiB,
	} {
		var b Bytes
		if err := b.UnmarshalText([]byte(text)); err != nil || b != want {
			t.Errorf("%q is %d, %v; want %d", text, b, err, want)
		}
	}
}

func TestAnythingElseIsNoSize(t *testing.T) {
	for _, text := range []string{
		"", "12", "12GB", "12G", "GiB", "-1GiB", "+1GiB", "1e3GiB", "0x1GiB", "NaNGiB", "infGiB", "1_000MiB", "1.2.3GiB",
		"12gib", "12 GiBs", "1025TiB", "99999999999999999999TiB", ".GiB",
	} {
		b := 7 * GiB
		if err := b.UnmarshalText([]byte(text)); err == nil || b != 7*GiB {
			t.Errorf("%q was read as %d (%v)", text, b, err)
		}
	}
}

func TestSizesAreWrittenInTheLargestFittingUnit(t *testing.T) {
	for b, want := range map[Bytes]string{
		0: "0", 1: "1B", 1023: "1023B", KiB: "1KiB", 512 * MiB: "512MiB", 42*GiB + 512*MiB: "42.5GiB",
		127898 * MiB: "124.9GiB", 2 * TiB: "2TiB", GiB - 1: "1024MiB",
	} {
		if got := b.String(); got != want {
			t.Errorf("%d is written %q, want %q", uint64(b), got, want)
		}
	}
}

func TestASizeReadsBackWithinItsRounding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := Bytes(rapid.Uint64Range(uint64(KiB), maxBytes).Draw(t, "bytes"))
		var back Bytes
		if err := back.UnmarshalText([]byte(b.String())); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		if math.Abs(float64(back)-float64(b)) > 0.005*float64(b)+1 {
			t.Fatalf("%d became %s and then %d", uint64(b), b, uint64(back))
		}
	})
}

func TestTokensAreReadWithTheirUnit(t *testing.T) {
	for text, want := range map[string]Tokens{"64K": 65536, "1M": 1 << 20, "8192": 8192, "0": 0, " 32K": 32768} {
		var n Tokens
		if err := n.UnmarshalText([]byte(text)); err != nil || n != want {
			t.Errorf("%q is %d, %v; want %d", text, n, err, want)
		}
	}
	for _, text := range []string{"", "K", "64k", "64KiB", "-1", "1.5K", "3000M", "2147483648", "9999999999999999999K"} {
		var n Tokens
		if err := n.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was read as %d", text, n)
		}
	}
}

func TestDurationsAreReadWithTheirUnit(t *testing.T) {
	for text, want := range map[string]time.Duration{"30s": 30 * time.Second, "20m": 20 * time.Minute, "1h30m": 90 * time.Minute, "0s": 0} {
		if d, err := parseDuration(text); err != nil || d != want {
			t.Errorf("%q is %v, %v; want %v", text, d, err, want)
		}
	}
	for _, text := range []string{"", "30", "never", "-1s", "30 sec", "1d", "99999h"} {
		if d, err := parseDuration(text); err == nil {
			t.Errorf("%q was read as %v", text, d)
		}
	}
}

func FuzzBytes(f *testing.F) {
	for _, seed := range []string{"12GiB", "512MiB", "1e9GiB", "", "0.1KiB"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var b Bytes
		if err := b.UnmarshalText([]byte(text)); err == nil && b > maxBytes {
			t.Errorf("%q was read as %d", text, b)
		}
	})
}

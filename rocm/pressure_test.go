package rocm

import (
	"testing"
	"time"
)

const memoryPressure = "some avg10=1.50 avg60=0.25 avg300=100.00 total=1204418\nfull avg10=0.00 avg60=0.00 avg300=0.02 total=903112\n"

func TestPressure(t *testing.T) {
	p, err := parsePressure([]byte(memoryPressure))
	if err != nil {
		t.Fatal(err)
	}
	same(t, "some", p.Some, &Stall{Avg10: 1.5, Avg60: 0.25, Avg300: 100, Total: 1204418 * time.Microsecond})
	same(t, "full", p.Full, &Stall{Avg300: 0.02, Total: 903112 * time.Microsecond})
	// Before 5.13 the CPU's file has one line. What later kernels may add is no reason to give up.
	if p, err := parsePressure([]byte("some avg10=0.00 avg60=0.00 avg300=0.00 total=1 avg3600=2.00\n")); err != nil || p.Some == nil || p.Full != nil {
		t.Errorf("got %+v, %v", p, err)
	}
	for _, text := range []string{
		"most avg10=0.00 avg60=0.00 avg300=0.00 total=0", "some", "some avg10=0.00 avg60=0.00 total=0", "some avg10=-1 avg60=0.00 avg300=0.00 total=0",
		"some avg10=101 avg60=0.00 avg300=0.00 total=0", "some avg10=NaN avg60=0.00 avg300=0.00 total=0",
		"some avg10=0.00 avg60=0.00 avg300=0.00 total=9223372036854775807", "some avg10=0 avg10=0 avg10=0 total=1",
	} {
		if p, err := parsePressure([]byte(text)); err == nil {
			t.Errorf("%q is %+v", text, p)
		}
	}
}

func FuzzParsePressure(f *testing.F) {
	f.Add([]byte(memoryPressure))
	f.Add([]byte("some avg10=0.00 avg60=0.00 avg300=0.00 total=1\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := parsePressure(data)
		for _, s := range []*Stall{p.Some, p.Full} {
			if s != nil && (err != nil || s.Total < 0 || !(s.Avg10 >= 0 && s.Avg60 <= 100)) {
				t.Errorf("%+v, %v", *s, err)
			}
		}
	})
}

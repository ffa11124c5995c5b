package rocm

import (
	"context"
	"reflect"
	"testing"

	"github.com/tierd/tierd/rocm/rocmtest"
)

func TestSensors(t *testing.T) {
	root := rocmtest.Unpack(t, "gtt120")
	hwmon := drmClass + "/card1/device/hwmon/"
	write(t, root, hwmon+"hwmon1/name", "nvme\n") // as below a bridge; not the card's
	write(t, root, hwmon+"hwmon1/temp1_input", "99000\n")
	h := host(root)
	s := h.Snapshot(context.Background()).GPUs[0].Sensors
	same(t, "busy", s.Busy, new(37))
	same(t, "temperature", s.Temperature, new(52000))
	same(t, "power", s.Power, new(uint64(68012000)))
	same(t, "clock", s.Clock, new(uint64(1835000000)))

	replace(t, root, hwmon+"hwmon5/power1_average", removed)
	write(t, root, hwmon+"hwmon5/power1_input", "1000\n")
	write(t, root, hwmon+"hwmon5/temp1_input", "-5000\n")
	s = h.Snapshot(context.Background()).GPUs[0].Sensors
	same(t, "power by its newer name", s.Power, new(uint64(1000)))
	same(t, "temperature in winter", s.Temperature, new(-5000))
}

func TestCarveOut(t *testing.T) {
	c := host(rocmtest.Unpack(t, "gtt120")).Snapshot(context.Background()).GPUs[0].CarveOut
	if c == nil || len(c.Options) != 10 {
		t.Fatalf("got %s", show(c))
	}
	same(t, "selected", c.Selected, new(0))
	want := []CarveOutOption{{0, "Minimum (512 MB)", new(uint64(512 << 20))}, {1, "(1 GB)", new(uint64(1 << 30))}, {9, "High (96 GB)", new(uint64(96 << 30))}}
	if got := []CarveOutOption{c.Options[0], c.Options[1], c.Options[9]}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %s", show(&got))
	}
	if c := host(rocmtest.Unpack(t, "carve96")).Snapshot(context.Background()).GPUs[0].CarveOut; c != nil {
		t.Errorf("firmware without a choice offers %s", show(c))
	}
	if got, err := parseCarveOuts([]byte("3: Auto\n")); err != nil || got[0].Size != nil || got[0].Text != "Auto" {
		t.Errorf("an option without a size: %+v, %v", got, err)
	}
	for _, text := range []string{"(1 TB)", "96 GB)", "96 GB", "(x GB)", "( GB)", "(-1 GB)", "(GB)", "(1 GB) or so", "(1  GB)"} {
		if got, err := parseCarveOuts([]byte("3: High " + text)); err != nil || got[0].Size != nil {
			t.Errorf("the size of %q is %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"Auto", "x: Auto (1 GB)", "\n"} {
		if got, err := parseCarveOuts([]byte(text)); err == nil {
			t.Errorf("%q is %+v", text, got)
		}
	}
}

func FuzzSensors(f *testing.F) {
	f.Add([]byte("37\n"))
	f.Add([]byte("-5000"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if n, err := parsePercent(data); n < 0 || n > 100 || err != nil && n != 0 {
			t.Errorf("%d %%, %v", n, err)
		}
		parseMillidegrees(data)
		parseFlag(data)
	})
}

func FuzzParseCarveOuts(f *testing.F) {
	f.Add([]byte("0: Minimum (512 MB)\n1:  (1 GB)\n9: High (96 GB)\n"))
	f.Add([]byte("7: (999999 GB)"))
	f.Fuzz(func(t *testing.T, data []byte) {
		options, err := parseCarveOuts(data)
		for _, o := range options {
			if err != nil || o.Index < 0 || o.Size != nil && *o.Size > 1<<50 {
				t.Errorf("%+v, %v", o, err)
			}
		}
	})
}

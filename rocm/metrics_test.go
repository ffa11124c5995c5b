package rocm

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/tierd/tierd/rocm/rocmtest"
)

// metricsFile is the gpu_metrics of the loaded machine, which its archive of texts cannot hold.
func metricsFile(t testing.TB) []byte {
	data, err := os.ReadFile("testdata/gpu_metrics-gtt120")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestMetrics(t *testing.T) {
	root := rocmtest.Unpack(t, "gtt120")
	write(t, root, drmClass+"/card1/device/gpu_metrics", string(metricsFile(t)))
	m := host(root).Snapshot(context.Background()).GPUs[0].Metrics
	if m == nil || m.Format != 3 || m.Content != 0 {
		t.Fatalf("got %s", show(m))
	}
	// The same as the other files of the card say of that moment.
	same(t, "activity", m.Activity, new(37.0))
	same(t, "temperature", m.Temperature, new(52000))
	same(t, "power of the chip", m.SocketPower, new(uint64(68012)))
	same(t, "power of the GPU", m.GPUPower, new(uint64(47608)))
	same(t, "clock", m.Clock, new(uint64(1835)))
	same(t, "clock of the memory", m.MemoryClock, new(uint64(1000)))
	same(t, "reads", m.DRAMReads, new(uint64(1200)))
	same(t, "writes", m.DRAMWrites, new(uint64(300)))
}

func TestWhatTheFirmwareDoesNotMeasureIsNil(t *testing.T) {
	data := metricsFile(t)
	for i := metricsHeader; i < len(data); i++ {
		data[i] = 0xff
	}
	m, err := parseMetrics(data)
	if err != nil || m != (Metrics{Format: 3}) {
		t.Errorf("got %s, %v", show(&m), err)
	}
}

func TestMetricsOfAnotherLayout(t *testing.T) {
	// A discrete card, an older APU, and whatever comes after 3.0.
	for _, version := range [][2]byte{{1, 3}, {2, 4}, {3, 1}, {9, 0}} {
		m, err := parseMetrics([]byte{8, 0, version[0], version[1], 1, 2, 3, 4})
		if err != nil || m != (Metrics{Format: version[0], Content: version[1]}) {
			t.Errorf("%v is %s, %v", version, show(&m), err)
		}
	}
	for text, data := range map[string][]byte{"header": {8, 0, 3}, "says that it has 264": metricsFile(t)[:200], "3.0 has 264": {8, 0, 3, 0, 1, 2, 3, 4}} {
		if m, err := parseMetrics(data); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %s, %v", text, show(&m), err)
		}
	}
}

func FuzzParseMetrics(f *testing.F) {
	f.Add(metricsFile(f))
	f.Add([]byte{4, 0, 1, 3})
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseMetrics(data)
		if err != nil && m != (Metrics{}) || err == nil && m.Activity != nil && !(*m.Activity >= 0 && *m.Activity < 656) {
			t.Errorf("%s, %v", show(&m), err)
		}
	})
}

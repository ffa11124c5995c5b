package main

import (
	"fmt"
	"testing"

	"github.com/tierd/tierd/agent/bench"
	"github.com/tierd/tierd/rocm"
)

func pointer(n uint64) *uint64 { return &n }

func TestBandwidthIsOfTheBestSource(t *testing.T) {
	halo := &rocm.GPU{APU: true, KFD: &rocm.KFD{}}
	halo.KFD.Gfx = "gfx1151"
	for _, row := range []struct {
		rule  string
		speed *rocm.MemorySpeed
		gpu   *rocm.GPU
		read  float64
		want  string
	}{
		{"the firmware knows", &rocm.MemorySpeed{Transfers: 7500e6, Bits: 256}, halo, 1, "240 GB/s (theoretical, 7500 MT/s by 256 bits as the firmware says)"},
		{"Strix Halo is known", nil, halo, 1, "256 GB/s (theoretical, LPDDR5X-8000 by 256 bits as Strix Halo has)"},
		{"else it is measured, and marked", nil, nil, 41.2e9, "41.2 GB/s (by a short test that read with the CPU; it may be more)"},
		{"else it is not known", nil, nil, 0, "<nil>"},
	} {
		t.Run(row.rule, func(t *testing.T) {
			got := hostBandwidth(row.speed, row.gpu, func() float64 { return row.read })
			if fmt.Sprint(got) != row.want || got != nil && got.Measured != (row.read > 1) {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestAGPUWithMemoryOfItsOwnHasItsOwnBandwidth(t *testing.T) {
	r := &benchRun{read: func(uint64) float64 { return 5e9 }}
	discrete := rocm.Snapshot{GPUs: []rocm.GPU{{AMD: true}}, Memory: rocm.Memory{MemAvailable: pointer(8 << 30)}}
	if got := r.bandwidth(discrete, true); got != nil {
		t.Errorf("on the GPU: %v", got)
	}
	if got := r.bandwidth(discrete, false); got == nil {
		t.Error("on the CPU it is not known")
	}
	r.given = &bench.Bandwidth{Bytes: 960e9}
	if got := r.bandwidth(discrete, true); got != r.given {
		t.Errorf("what was given: %v", got)
	}
}

func TestReadingMemoryTakesTime(t *testing.T) {
	if got := readSpeed(1<<20, 3); got < 1e6 || got > 1e15 {
		t.Errorf("%v bytes a second", got)
	}
	if got := readMemory(leastRead*freePart - 1); got != 0 {
		t.Errorf("with little room %v bytes a second", got)
	}
	words := make([]uint64, 1003)
	var want uint64
	for i := range words {
		words[i] = uint64(i * i)
		want += words[i]
	}
	if got := sum(words); got != want {
		t.Errorf("%d, want %d", got, want)
	}
}

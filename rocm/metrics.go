package rocm

import (
	"encoding/binary"
	"fmt"
)

// Metrics is what the firmware of the GPU measured, from the binary gpu_metrics. Only the layout of Strix Halo, 3.0, is
// known here; of another only the version is filled. nil: the firmware does not measure it.
type Metrics struct {
	Format, Content uint8 // version of the layout

	Activity    *float64 // percent of the time that the GPU computed
	Temperature *int     // m°C, of the GPU
	SocketPower *uint64  // mW, of the whole chip
	GPUPower    *uint64  // mW, of the GPU's part
	Clock       *uint64  // MHz, of the GPU
	MemoryClock *uint64  // MHz
	// DRAMReads and DRAMWrites are MB/s of the memory that CPU and GPU share: what decoding is bound by.
	DRAMReads, DRAMWrites *uint64
}

// Offsets in struct gpu_metrics_v3_0 (kgd_pp_interface.h), little-endian with C's padding.
const (
	metricsHeader = 4   // u16 size of all, u8 format, u8 content
	metricsV3     = 264 // bytes of all of it

	atTemperature = 4   // u16, 0.01 °C
	atActivity    = 42  // u16, 0.01 %
	atDRAMReads   = 94  // u16, MB/s
	atDRAMWrites  = 96  // u16, MB/s
	atSocketPower = 112 // u32, mW
	atGPUPower    = 124 // u32, mW
	atClock       = 174 // u16, MHz
	atMemoryClock = 186 // u16, MHz
)

func parseMetrics(data []byte) (Metrics, error) {
	if len(data) < metricsHeader {
		return Metrics{}, fmt.Errorf("has %d bytes, fewer than its header", len(data))
	}
	if size := int(binary.LittleEndian.Uint16(data)); size != len(data) {
		return Metrics{}, fmt.Errorf("has %d bytes and says that it has %d", len(data), size)
	}
	m := Metrics{Format: data[2], Content: data[3]}
	if m.Format != 3 || m.Content != 0 {
		return m, nil
	}
	if len(data) < metricsV3 {
		return Metrics{}, fmt.Errorf("has %d bytes; version 3.0 has %d", len(data), metricsV3)
	}
	// What is not measured is all ones.
	word := func(at int) *uint64 {
		n := uint64(binary.LittleEndian.Uint16(data[at:]))
		if n == 1<<16-1 {
			return nil
		}
		return &n
	}
	long := func(at int) *uint64 {
		n := uint64(binary.LittleEndian.Uint32(data[at:]))
		if n == 1<<32-1 {
			return nil
		}
		return &n
	}
	if centi := word(atTemperature); centi != nil {
		t := int(*centi) * 10
		m.Temperature = &t
	}
	if centi := word(atActivity); centi != nil {
		a := float64(*centi) / 100
		m.Activity = &a
	}
	m.SocketPower, m.GPUPower = long(atSocketPower), long(atGPUPower)
	m.Clock, m.MemoryClock = word(atClock), word(atMemoryClock)
	m.DRAMReads, m.DRAMWrites = word(atDRAMReads), word(atDRAMWrites)
	return m, nil
}

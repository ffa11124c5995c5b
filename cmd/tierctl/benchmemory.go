package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tierd/tierd/agent/bench"
	"github.com/tierd/tierd/rocm"
)

// givenBandwidth reads --bandwidth: "256", or "256GB/s". nil: it was not given.
func givenBandwidth(text string) (*bench.Bandwidth, error) {
	if text == "" {
		return nil, nil
	}
	number := strings.TrimSpace(strings.TrimSuffix(text, "GB/s"))
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || !(n > 0 && n <= 1e6) {
		return nil, fmt.Errorf("%q is not a number of GB/s, as in 256", text)
	}
	return &bench.Bandwidth{Bytes: n * 1e9, Source: "by --bandwidth"}, nil
}

// bandwidth is that of the memory in which a unit's model is; nil: not known.
func (r *benchRun) bandwidth(s rocm.Snapshot, onGPU bool) *bench.Bandwidth {
	if r.given != nil {
		return r.given
	}
	gpu, _ := s.TierGPU("")
	if onGPU && (gpu == nil || !gpu.APU) { // it has memory of its own
		return nil
	}
	if !r.looked {
		speed, _ := rocm.ReadMemorySpeed("/") // where it cannot be read there are other ways
		read := func() float64 {
			if free := s.Memory.Free(); free != nil {
				return r.read(*free)
			}
			return 0
		}
		r.memory, r.looked = hostBandwidth(speed, gpu, read), true
	}
	return r.memory
}

// hostBandwidth takes the best source that there is.
func hostBandwidth(speed *rocm.MemorySpeed, gpu *rocm.GPU, read func() float64) *bench.Bandwidth {
	switch {
	case speed != nil:
		return &bench.Bandwidth{
			Bytes: float64(speed.Bandwidth()), Source: fmt.Sprintf("theoretical, %d MT/s by %d bits as the firmware says", speed.Transfers/1e6, speed.Bits),
		}
	case gpu != nil && gpu.Gfx() == "gfx1151": // Strix Halo has its memory soldered on, all of one kind
		return &bench.Bandwidth{Bytes: 256e9, Source: "theoretical, LPDDR5X-8000 by 256 bits as Strix Halo has"}
	}
	if n := read(); n > 0 {
		return &bench.Bandwidth{Bytes: n, Source: "by a short test that read with the CPU; it may be more", Measured: true}
	}
	return nil
}

// The test reads more than any cache holds, several times: the best time is the one in which nobody else read. It makes do
// with a part of what is free, and is not made where that would be less than caches hold.
const (
	mostRead   = 512 << 20
	leastRead  = 64 << 20
	freePart   = 8
	readPasses = 5
)

// readMemory measures how many bytes a second this machine's processors read together; 0: there is no room for that.
func readMemory(free uint64) float64 {
	size := min(free/freePart, mostRead)
	if size < leastRead {
		return 0
	}
	defer debug.FreeOSMemory() // models are about to need it
	return readSpeed(int(size), readPasses)
}

func readSpeed(size, passes int) float64 {
	parts := make([][]uint64, runtime.GOMAXPROCS(0))
	for i := range parts {
		parts[i] = make([]uint64, size/8/len(parts))
		for at := 0; at < len(parts[i]); at += 512 { // the kernel gives pages when they are written
			parts[i][at] = 1
		}
	}
	var best float64
	for range passes {
		from := time.Now()
		total := sumAll(parts)
		if took := time.Since(from).Seconds(); took > 0 {
			best = max(best, float64(size)/took)
		}
		runtime.KeepAlive(total) // or the compiler might leave out reads whose sum nobody wants
	}
	return best
}

func sumAll(parts [][]uint64) uint64 {
	sums := make([]uint64, len(parts))
	var wg sync.WaitGroup
	for i, part := range parts {
		wg.Go(func() { sums[i] = sum(part) })
	}
	wg.Wait()
	var total uint64
	for _, s := range sums {
		total += s
	}
	return total
}

// sum adds in four chains, so that adding is not what it waits for.
func sum(words []uint64) uint64 {
	var a, b, c, d uint64
	for len(words) >= 8 {
		a += words[0] + words[4]
		b += words[1] + words[5]
		c += words[2] + words[6]
		d += words[3] + words[7]
		words = words[8:]
	}
	for _, w := range words {
		a += w
	}
	return a + b + c + d
}

// Package budget decides, from numbers alone, what may be in memory at the same time, and what gives way for what.
//
// Three sums have to hold before a unit loads. What the tiers were promised, with the reserve, is at most the RAM. What
// of it lies on the GPU is at most what ROCm can use there. And what the host really has free now, less what tiers were
// promised and have not taken yet, holds the unit and still leaves what always has to stay free: that catches what others
// use. The first two need no live figures, so that the same sums answer "what if".
package budget

import (
	"time"

	"github.com/tierd/tierd/units"
)

// The pools that ROCm may take memory from.
const (
	GTT  = "gtt"  // system memory that the GPU maps: a part of the RAM
	VRAM = "vram" // memory that the BIOS carved out: apart from the RAM
)

// Host is what there is to share out. What is not known is nil, and nothing is checked against it.
type Host struct {
	RAM      *units.Bytes // MemTotal
	Free     *units.Bytes // MemAvailable less CmaFree, now
	Reserve  units.Bytes  // of the RAM, never promised to tiers
	KeepFree units.Bytes  // of the RAM, has to stay free after a load whatever was promised
	GPU      *GPU
}

// GPU is the pool of the GPU that tiers run on.
type GPU struct {
	Pool   string      // GTT or VRAM
	Size   units.Bytes // what ROCm can use of it
	Others units.Bytes // held by processes that are no tiers
	Leaked units.Bytes // in use and owned by no process: lost until the next boot
	Broken string      // why nothing may be loaded there whatever its size, one sentence; "" when something may
}

// Pool is where the host's GPU has its memory, "" without a GPU.
func (h Host) Pool() string {
	if h.GPU == nil {
		return ""
	}
	return h.GPU.Pool
}

// lost is RAM that nobody owns and nobody gets.
func (h Host) lost() units.Bytes {
	if h.Pool() == GTT {
		return h.GPU.Leaked
	}
	return 0
}

// Need is what a unit takes of each pool. Where the GPU's pool is a part of the RAM, GPU is a part of RAM too.
type Need struct {
	RAM units.Bytes
	GPU units.Bytes
}

// Of is what a charge means on a host whose GPU has its memory in that pool.
func Of(c units.Charge, pool string) Need {
	total, device := c.Total(), c.Device
	if e := c.Estimate(); e > 0 { // a total that was written or measured is shared out as the estimate is
		device = units.Bytes(float64(total) * (float64(c.Device) / float64(e)))
	}
	device = min(device, total)
	if pool == VRAM {
		return Need{RAM: total - device + c.Host, GPU: device}
	}
	return Need{RAM: total, GPU: device}
}

// Phase is how far the unit of a claim is.
type Phase string

// The phases.
const (
	Loading  Phase = "loading"  // admitted, not ready yet
	Retrying Phase = "retrying" // failed, and systemd will start it again before long: its room is kept
	Ready    Phase = "ready"
	Ending   Phase = "ending" // draining or stopping: its memory comes back by itself
)

// Claim is one unit that is in memory, on its way there or on its way out, with what decides whether it gives way.
type Claim struct {
	Unit, Tier string
	Need       Need
	Taken      units.Bytes // the part of Need.RAM that Host.Free lacks already
	Phase      Phase
	Priority   int           // 0 to 100, the lowest gives way first
	Pinned     bool          // never gives way
	Busy       bool          // requests are in flight
	Idle       time.Duration // since the last request ended, or since it was ready; 0 when busy
	Resident   time.Duration // since it was ready
	Keeps      time.Duration // how long after that it is spared
	Reload     units.Bytes   // what it would have to read to come back
}

// promised is what the claim may still take of what is free now.
func (c Claim) promised() units.Bytes {
	if c.Phase == Ending {
		return 0
	}
	return c.Need.RAM - min(c.Need.RAM, c.Taken)
}

// Ask is a unit that wants to load.
type Ask struct {
	Unit, Tier string
	Need       Need
	Evict      bool          // others may give way for it
	Waited     time.Duration // since it asked
	MaxWait    time.Duration // from then on busy tiers, and those that came up just now, are spared no longer
	Settling   bool          // who gave way for it has ended just now, and its memory may take a moment to come back
	Beside     bool          // it comes up while another variant of its tier serves on: that one counts, and nobody gives way
}

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/tierd/tierd/agent/guard"
	"golang.org/x/sys/unix"
)

// How often what costs more than a look is read.
const (
	ramCalm = time.Second           // memory.stat: the kernel adds up what all CPUs have counted, tens of microseconds
	ramNear = 50 * time.Millisecond // near the line, or after a tier was told to go
	gpuOld  = 15 * time.Second      // a sample of GPU memory counts no longer; see gpuCalm
)

// host is what is read at each look, through files that stay open.
type host struct {
	meminfo, pressure int // pressure is -1 where the kernel has none
	trigger           int // pressure with a trigger, to be polled; -1: none could be had
	gtt               sample
	buf               [16 << 10]byte // a memory.stat has 2 KiB, and a meminfo 1.5
}

func openHost(root string) (*host, error) {
	h := &host{pressure: -1, trigger: -1}
	var err error
	path := filepath.Join(root, "proc/meminfo")
	if h.meminfo, err = open(path, unix.O_RDONLY); err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	if n, errno := pread(h.meminfo, h.buf[:], 0); errno != 0 {
		return nil, &os.PathError{Op: "read", Path: path, Err: errno}
	} else if _, ok := parseMeminfo(h.buf[:n]); !ok {
		return nil, fmt.Errorf("%s: has no MemAvailable, which the kernel shows since 3.14", path)
	}
	// Without CONFIG_PSI, or with psi=0, the guard looks by the clock alone.
	path = filepath.Join(root, "proc/pressure/memory")
	if h.pressure, err = open(path, unix.O_RDONLY); err != nil {
		h.pressure = -1
		return h, nil
	}
	if root == "/" {
		h.trigger = armTrigger(path)
	}
	return h, nil
}

// look fills f, of which only the slice of tiers is used again. It is false when the kernel does not tell how much memory
// there is.
func (h *host) look(f *guard.Facts, t *table) bool {
	now := time.Duration(boottime())
	n, errno := pread(h.meminfo, h.buf[:], 0)
	if errno != 0 || n == len(h.buf) {
		return false
	}
	m, ok := parseMeminfo(h.buf[:n])
	if !ok {
		return false
	}
	f.At, f.Stale = now, t.stale
	f.Available, f.Total, f.SwapFree, f.SwapTotal = m.free(), m.total, m.swapFree, m.swapTotal
	f.PSI = false
	if h.pressure >= 0 {
		if n, errno := pread(h.pressure, h.buf[:], 0); errno == 0 && n < len(h.buf) {
			f.Full, f.PSI = parseFull(h.buf[:n])
		}
	}
	f.GTT = h.gtt.amount(now, gpuOld)
	near := t.near(f.Available)
	f.Tiers = f.Tiers[:len(t.tiers)]
	for i := range t.tiers {
		tier, w := &f.Tiers[i], t.units[i]
		tier.Tier = t.tiers[i]
		h.lookAt(tier, w, now, near || w.killing)
	}
	return true
}

// lookAt reads one tier. A cgroup that is gone has nobody in it.
func (h *host) lookAt(tier *guard.TierFacts, w *watched, now time.Duration, near bool) {
	n, errno := pread(w.events, h.buf[:], 0)
	switch up, ok := parsePopulated(h.buf[:n]); {
	case errno == unix.ENODEV:
		w.up = false
	case errno == 0 && ok:
		w.up = up
	}
	every := ramCalm
	if near {
		every = ramNear
	}
	switch {
	case !w.up:
		w.ram, w.ramAt = guard.Amount{Known: w.stat >= 0}, 0
	case w.stat >= 0 && now-w.ramAt >= every:
		n, errno := pread(w.stat, h.buf[:], 0)
		held, ok := parseHeld(h.buf[:n])
		w.ram, w.ramAt = guard.Amount{Bytes: held, Known: ok && errno == 0 && n < len(h.buf)}, now
	}
	tier.Up, tier.RAM, tier.Lost = w.up, w.ram, w.lost
	tier.GPU = w.gpu.amount(now, gpuOld)
}

func (h *host) close() {
	for _, fd := range []int{h.meminfo, h.pressure, h.trigger} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

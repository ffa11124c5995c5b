package main

import (
	"bytes"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/tierd/tierd/rocm"
)

// sampler reads what the GPU's driver tells. Such a read may hang for ever while a GPU does, so it has a goroutine of its own,
// and what it has read last counts no longer than gpuOld.
type sampler struct {
	root  string
	table *atomic.Pointer[table]
	gtt   *sample
	cards []string // files with the GTT in use, one a GPU
}

func newSampler(root string, h *hot) *sampler {
	cards, _ := filepath.Glob(filepath.Join(root, "sys/class/drm/card*/device/mem_info_gtt_used")) // the pattern is well-formed
	return &sampler{root: root, table: &h.next, gtt: &h.gtt, cards: cards}
}

// run takes a sample each time that it is told to, until the channel is closed.
func (s *sampler) run(again <-chan struct{}) {
	for range again {
		s.sample()
	}
}

// sample writes down what can be read; what cannot grows old.
func (s *sampler) sample() {
	if used, ok := s.used(); ok {
		s.gtt.set(used, boottime())
	}
	for _, w := range s.table.Load().units {
		if !w.onGPU {
			continue
		}
		pids, err := pidsIn(filepath.Join(s.root, cgroups, w.cgroup, "cgroup.procs"))
		if err != nil {
			continue
		}
		if held, err := rocm.HeldGTT(s.root, pids); err == nil {
			w.gpu.set(held, boottime())
		}
	}
}

// used is the sum over all GPUs; not ok where there is none, or one that does not tell.
func (s *sampler) used() (sum uint64, ok bool) {
	for _, path := range s.cards {
		data, err := os.ReadFile(path)
		if err != nil {
			return 0, false
		}
		n, fine := number(bytes.TrimSpace(data), 63)
		if !fine {
			return 0, false
		}
		sum += n
	}
	return sum, len(s.cards) > 0
}

// pidsIn reads a cgroup.procs by its path: the descriptor is the hot thread's.
func pidsIn(path string) ([]int, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var pids []int
	for {
		var pid int
		if pid, data = nextPID(data); pid == 0 {
			return pids, nil
		}
		pids = append(pids, pid)
	}
}

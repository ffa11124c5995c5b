package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/budget"
	"github.com/tierd/tierd/rocm"
	"github.com/tierd/tierd/units"
)

const (
	// hostAge is how old what is known of the GPU may be before it is looked at again.
	hostAge = time.Minute
	// movingAge is the same while a tier on the GPU loads or ends.
	movingAge = time.Second
	// leakTime is for how long memory that nobody owns has to be there, with no tier loading or ending, to count as lost. The
	// driver takes a moment to clear up after a process.
	leakTime = 30 * time.Second
	leakLook = 10 * time.Second
)

// gpuView is what is known of the GPU. It belongs to the loop.
type gpuView struct {
	snapshot rocm.Snapshot
	pool     *budget.GPU // of the snapshot; nil: there is none
	at       time.Time   // when it was taken; zero: never
	looking  bool
	timer    bool
	leaked   units.Bytes // counted as lost
	suspect  time.Time   // since when memory is there that nobody owns; zero: none is
}

// watchGPU looks at the GPU again when what is known of it is old. It runs after everything that the loop does.
func (a *Agent) watchGPU() {
	g := &a.gpu
	if g.looking || a.ctx.Err() != nil {
		return
	}
	age := hostAge
	switch {
	case a.gpuMoving():
		age = movingAge
	case !g.suspect.IsZero():
		age = leakLook
	}
	if wait := age - time.Since(g.at); !g.at.IsZero() && wait > 0 {
		if age < hostAge {
			a.watchGPUIn(wait)
		}
		return
	}
	a.lookAtGPU()
}

func (a *Agent) watchGPUIn(wait time.Duration) {
	if a.gpu.timer {
		return
	}
	a.gpu.timer = true
	a.spawn(func(ctx context.Context) {
		select {
		case <-time.After(wait):
			a.post(func() { a.gpu.timer = false })
		case <-ctx.Done():
		}
	})
}

// gpuMoving tells whether memory of the GPU is being taken or given back.
func (a *Agent) gpuMoving() bool {
	for name, s := range a.seen {
		if a.unit(name).GPU && (s.ActiveState == "activating" || s.ActiveState == "deactivating") {
			return true
		}
	}
	return false
}

// lookAtGPU takes a snapshot beside the loop: a GPU that hangs blocks whoever reads its files, up to the reader's limit.
func (a *Agent) lookAtGPU() {
	a.gpu.looking = true
	a.spawn(func(ctx context.Context) {
		s := a.opts.Kernel.Snapshot(ctx)
		a.post(func() { a.learnGPU(s) })
	})
}

func (a *Agent) learnGPU(s rocm.Snapshot) {
	g := &a.gpu
	first := g.at.IsZero()
	g.looking, g.snapshot, g.pool, g.at = false, s, budget.GPUOf(s, ""), time.Now()
	for _, p := range s.Problems {
		a.opts.Log.Debug("cannot read all of the host", "err", p)
	}
	a.noteLeak(g.pool)
	if first || len(a.line) > 0 {
		a.judge()
	}
}

// noteLeak believes in a leak once it was there for a while. What is lost then stays lost until it is seen to be back.
func (a *Agent) noteLeak(gpu *budget.GPU) {
	g := &a.gpu
	switch {
	case gpu == nil || gpu.Leaked == 0:
		g.suspect, g.leaked = time.Time{}, 0
	case a.gpuMoving():
		g.suspect = time.Time{}
	case g.suspect.IsZero():
		g.suspect = time.Now()
	case time.Since(g.suspect) >= leakTime && g.leaked != gpu.Leaked:
		text := fmt.Sprintf("%s of GPU memory is in use and belongs to no process: it comes back with a reboot only", gpu.Leaked)
		if g.leaked == 0 {
			a.opts.Log.Warn("GPU memory leaked", "bytes", uint64(gpu.Leaked))
			a.events.add(api.Event{Kind: "host", Text: text})
		}
		g.leaked = gpu.Leaked
	}
}

// poolNow is the GPU's pool as admission knows it.
func (a *Agent) poolNow() *budget.GPU {
	if a.gpu.pool == nil {
		return nil
	}
	pool := *a.gpu.pool
	pool.Leaked = a.gpu.leaked
	return &pool
}

// Host is what the kernel says of this host, not older than movingAge.
func (a *Agent) Host(ctx context.Context) (rocm.Snapshot, error) {
	last, err := inLoop(ctx, a, func() (gpuView, error) { return a.gpu, nil })
	if err != nil || !last.at.IsZero() && time.Since(last.at) < movingAge {
		return last.snapshot, err
	}
	s := a.opts.Kernel.Snapshot(ctx)
	return inLoop(ctx, a, func() (rocm.Snapshot, error) { a.learnGPU(s); return s, nil })
}

package agent

import "strings"

// gpuLock is held in locks, where no unit has such a name, by the task whose unit loads on the GPU.
const gpuLock = "the GPU"

// gpuTurn waits until nothing else loads on the GPU, whoever started it: two models that load side by side take longer than
// one after the other, and their sum may not fit while they load. release lets the next one load.
func (a *Agent) gpuTurn(t *task) (release func(), err error) {
	if _, err := inLoop(t.ctx, a, func() (bool, error) { a.queued[t.unit] = true; return true, nil }); err != nil {
		return nil, err
	}
	defer a.post(func() { delete(a.queued, t.unit) })
	if err := a.lock(t.ctx, gpuLock); err != nil {
		return nil, err
	}
	release = func() { a.post(func() { a.unlock(gpuLock) }) }
	if err := a.await(t.ctx, func() bool { return a.loader(t.unit) == "" }); err != nil {
		release()
		return nil, err
	}
	return release, nil
}

// loader is the tier that loads on the GPU now, apart from this unit, "" when none does. One that systemd only waits with
// before it tries again does not load.
func (a *Agent) loader(except string) string {
	for name, s := range a.seen {
		if name != except && a.unit(name).GPU && s.ActiveState == "activating" && !strings.HasPrefix(s.SubState, "auto-restart") {
			return s.Tier
		}
	}
	return ""
}

// queue says what a unit that is to load on the GPU waits for, "" when it waits for nothing.
func (a *Agent) queue(unit string) string {
	if !a.queued[unit] {
		return ""
	}
	if tier := a.loader(unit); tier != "" {
		return "waits for " + tier + " to load"
	}
	return ""
}

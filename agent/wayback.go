package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/tierd/tierd/agent/api"
)

// switchingName is the folder for what switches that are at work would have to start again, a file a tier. It lies in /run:
// after a boot nothing runs that could be taken back.
const switchingName = "switching"

// wayOut is a switch in which the one variant ends before the other is up. systemd carries it out whatever becomes of tierd,
// and yet only tierd knows what to start again when the new one does not come up.
type wayOut struct {
	Unit   string `json:"unit"`
	Before string `json:"before"`
}

// keepWayOut notes a switch before it begins. It does not touch the loop's state.
func (a *Agent) keepWayOut(t *task) {
	if a.opts.RunDir == "" || t.back == "" {
		return
	}
	dir := filepath.Join(a.opts.RunDir, switchingName)
	text, err := json.Marshal(wayOut{t.unit, t.back})
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, t.tier+".new"), text, 0o644)
	}
	if err == nil {
		err = os.Rename(filepath.Join(dir, t.tier+".new"), filepath.Join(dir, t.tier))
	}
	if err != nil {
		a.opts.Log.Warn("a restart of tierd would not know the way back of this switch", "tier", t.tier, "err", err)
	}
}

// dropWayOut forgets a switch that is over. One that the end of tierd interrupts is not.
func (a *Agent) dropWayOut(tier string) {
	if a.opts.RunDir == "" || a.ctx.Err() != nil {
		return
	}
	if err := os.Remove(filepath.Join(a.opts.RunDir, switchingName, tier)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.opts.Log.Warn("a switch that is over stays noted", "tier", tier, "err", err)
	}
}

// loadWaysOut reads which switches an earlier tierd has left, by tier.
func loadWaysOut(runDir string) (map[string]wayOut, error) {
	list := map[string]wayOut{}
	if runDir == "" {
		return list, nil
	}
	dir := os.DirFS(filepath.Join(runDir, switchingName))
	entries, err := fs.ReadDir(dir, ".")
	if errors.Is(err, fs.ErrNotExist) {
		return list, nil
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".new") { // tierd was killed while it wrote it, so nothing had begun
			continue
		}
		text, readErr := fs.ReadFile(dir, e.Name())
		var w wayOut
		if readErr == nil {
			readErr = json.Unmarshal(text, &w)
		}
		if readErr != nil {
			err = errors.Join(err, fmt.Errorf("cannot read which switch was at work: %s: %w", e.Name(), readErr))
			continue
		}
		list[e.Name()] = w
	}
	return list, err
}

// takeUp goes on with the switches of an earlier tierd, once it is known what runs.
func (a *Agent) takeUp() {
	if len(a.waysOut) == 0 || !a.configured || a.observations == 0 || a.systemdErr != nil || a.ctx.Err() != nil {
		return
	}
	for tier, w := range a.waysOut {
		delete(a.waysOut, tier)
		u, s := a.unit(w.Unit), a.seen[w.Unit]
		loads := a.states[w.Unit].State == api.Starting || a.states[w.Unit].State == api.Failed || s.Job != 0
		if u.Tier != tier || !loads || a.sibling(w.Unit) != "" || a.conflict(tier) != nil {
			a.dropWayOut(tier)
			continue
		}
		a.opts.Log.Warn("an earlier tierd ended during a switch, which goes on", "tier", tier, "unit", w.Unit, "before", w.Before)
		req := api.TierRequest{Action: "switch", Variant: u.Variant}
		jobs := []job{{op: opStart, tier: tier, unit: w.Unit, replaces: []string{w.Before}, back: w.Before}}
		a.begin("switch", summaryOf(tier, req), switchKey(tier, req), []string{tier}, append(jobs, wayBack(tier, w.Before, 0)...), nil)
	}
}

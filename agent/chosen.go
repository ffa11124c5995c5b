package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/units"
)

const (
	chosenName = "chosen.json" // in the state directory
	maxChosen  = 1 << 20       // bytes of the file
)

// choices are the variants that tiers were last served by, which is how somebody chooses one: by a switch, a start of it, a
// mode that names it. Requests, idle stops and starts that name none leave it at that. They hold until the machine starts
// again, as `systemctl start` does: what is to last stands in tiers.toml.
type choices struct {
	Boot  string            `json:"boot"` // the kernel's boot_id
	Tiers map[string]choice `json:"tiers"`
}

// choice is the variant of one tier.
type choice struct {
	Variant string    `json:"variant"`
	Ready   time.Time `json:"ready"` // since when it was so, or is
}

// bootID tells this boot of the machine from others (random(4)); "" where the kernel does not say.
func bootID(root string) string {
	text, err := os.ReadFile(filepath.Join(root, "proc/sys/kernel/random/boot_id"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// loadChosen reads what an earlier tierd of the same boot has left. A file that cannot be read costs the choices, and no
// more.
func loadChosen(dir, boot string) (choices, error) {
	none := choices{Boot: boot, Tiers: map[string]choice{}}
	file, err := os.Open(filepath.Join(dir, chosenName))
	if dir == "" || errors.Is(err, fs.ErrNotExist) {
		return none, nil
	}
	if err != nil {
		return none, fmt.Errorf("cannot read which variants were chosen: %w", err)
	}
	defer file.Close()
	var kept choices
	if err := json.NewDecoder(io.LimitReader(file, maxChosen)).Decode(&kept); err != nil {
		return none, fmt.Errorf("cannot read which variants were chosen: %s: %w", file.Name(), err)
	}
	if kept.Boot != boot || kept.Tiers == nil {
		return none, nil
	}
	return kept, nil
}

// preferred is the unit that a tier is started as when nobody names a variant: the one that served it last, else the first
// in tiers.toml. It is empty for a tier that is not there.
func (a *Agent) preferred(tier string) units.Unit {
	if a.plan == nil {
		return units.Unit{}
	}
	if c, known := a.chosen.Tiers[tier]; known {
		if u, there := a.plan.Variant(tier, c.Variant); there && c.Variant != "" {
			return u
		}
	}
	u, _ := a.plan.Variant(tier, "")
	return u
}

// noteServing notes which variants serve the tiers now. The first of the file needs no note on disk unless there is another
// one. Of two that are up in a switch it is the one that takes the requests.
func (a *Agent) noteServing() {
	changed := false
	for _, tier := range a.tierNames() {
		unit := a.shownUnit(tier)
		s := a.seen[unit]
		old, noted := a.chosen.Tiers[tier]
		now := choice{s.Variant, s.Since}
		if a.states[unit].State != api.Ready || s.Tier == "" || old == now {
			continue
		}
		a.chosen.Tiers[tier] = now
		changed = changed || now.Variant != old.Variant && (noted || !a.unit(unit).Default)
	}
	if !changed {
		return
	}
	now := choices{a.chosen.Boot, maps.Clone(a.chosen.Tiers)}
	a.keep(&a.chosenFile, a.opts.StateDir, "which variants were chosen", func(dir string) error { return replaceFile(dir, chosenName, now) })
}

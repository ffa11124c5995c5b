package agent

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/tierd/tierd/agent/api"
)

// How long a tier that gave way to memory pressure rests: longer with each time that follows within restMemory of the one before.
// After mostStops within restMemory it stays down until somebody starts it.
var restPauses = []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute}

const (
	restMemory = time.Hour
	mostStops  = 3
	restsName  = "guard-rests.json" // in /run: after a boot nothing gave way
	maxRests   = 1 << 20            // bytes of the file
)

// rest is what is remembered of a tier that gave way to memory pressure, until somebody starts it or an hour has passed.
type rest struct {
	Unit  string      `json:"unit"`
	Text  string      `json:"text"`  // what the guard said
	Stops []time.Time `json:"stops"` // within restMemory of the last one
	Step  int         `json:"step"`  // which of restPauses
	Until time.Time   `json:"until"`
	Down  bool        `json:"down,omitempty"` // until somebody starts it
	Over  bool        `json:"over,omitempty"` // it may be started again, or was: kept for the count
}

// again is the rest after one more stop.
func (r rest) again(unit, text string, now time.Time) rest {
	step := 0
	if n := len(r.Stops); n > 0 && now.Sub(r.Stops[n-1]) <= restMemory {
		step = min(r.Step+1, len(restPauses)-1)
	}
	stops := append(slices.DeleteFunc(slices.Clone(r.Stops), func(at time.Time) bool { return now.Sub(at) > restMemory }), now)
	return rest{Unit: unit, Text: text, Stops: stops, Step: step, Until: now.Add(restPauses[step]), Down: len(stops) >= mostStops}
}

// words are why it rests, for the state of its unit.
func (r rest) words() string {
	if !r.Down {
		return r.told()
	}
	return r.told() + "; it stays down until somebody starts it"
}

// told is what happened.
func (r rest) told() string {
	text := pressureWords + r.Text
	if len(r.Stops) >= mostStops {
		text += fmt.Sprintf("; that was %d times within an hour", len(r.Stops))
	}
	return text
}

// pressureWords begin the reason of what the guard stopped.
const pressureWords = "gave way to memory pressure: "

// rest notes that a tier gave way.
func (a *Agent) rest(tier, unit, text string) {
	r := a.guard.rests[tier].again(unit, text, time.Now())
	r.Down = r.Down || a.manual(tier)
	a.guard.rests[tier] = r
	a.gave[unit] = r.words()
	a.opts.Log.Info("it rests for a while", "tier", tier, "unit", unit, "until", r.Until, "stays_down", r.Down, "stops", len(r.Stops))
	if len(r.Stops) >= mostStops {
		a.events.add(api.Event{Kind: "guard", Tier: tier, Unit: unit, Text: tier + " " + r.words()})
	}
	a.keepRests()
}

// rests tells whether a tier is not to be started without an order.
func (a *Agent) rests(tier string) bool {
	r, known := a.guard.rests[tier]
	return known && !r.Over
}

// restOf is what a request for a tier that rests is told, nil when it may start or may wait for it: then waits is true.
func (a *Agent) restOf(tier string) (told *api.Error, waits bool) {
	if !a.rests(tier) {
		return nil, false
	}
	r := a.guard.rests[tier]
	left := time.Until(r.Until)
	if !r.Down && left <= a.holdOf(tier) {
		return nil, true
	}
	e := &api.Error{Kind: api.KindBudget, Class: api.ClassPressure, Message: tier + " " + r.words(), Hint: "tierctl start " + tier}
	if !r.Down {
		e.RetryAfter = left.Seconds()
	}
	return e, false
}

// holdOf is how long requests wait for a tier.
func (a *Agent) holdOf(tier string) time.Duration {
	if a.plan == nil {
		return defaultHold
	}
	t, _ := a.plan.Config.Tier(tier)
	return a.plan.Config.HoldOf(t)
}

// rouse ends the rest of tiers, and forgets what led to it: somebody has given an order.
func (a *Agent) rouse(tiers ...string) {
	before := len(a.guard.rests)
	for _, tier := range tiers {
		delete(a.guard.rests, tier)
	}
	if len(a.guard.rests) != before {
		a.keepRests()
	}
}

// isBack notes that a tier serves, whoever started it. How often it gave way still counts.
func (a *Agent) isBack(tier string) {
	if r, known := a.guard.rests[tier]; known && (!r.Over || r.Down) {
		r.Over, r.Down = true, false
		a.guard.rests[tier] = r
		a.keepRests()
	}
}

// forgetRests drops those of which the hour is over, and those of tiers that are no longer in tiers.toml.
func (a *Agent) forgetRests() {
	maps.DeleteFunc(a.guard.rests, func(tier string, r rest) bool {
		_, known := a.plan.Config.Tier(tier)
		return !known || r.Over && time.Since(r.Stops[len(r.Stops)-1]) > restMemory
	})
}

// resting lists the tiers that rest, by name.
func (a *Agent) resting() []api.GuardRest {
	var list []api.GuardRest
	for tier, r := range a.guard.rests {
		if r.Over {
			continue
		}
		out := api.GuardRest{Tier: tier, Unit: r.Unit, Text: r.told(), Stops: len(r.Stops)}
		if !r.Down {
			out.Until = r.Until
		}
		list = append(list, out)
	}
	slices.SortFunc(list, func(x, y api.GuardRest) int { return cmp.Compare(x.Tier, y.Tier) })
	return list
}

// keepRests leaves the rests for a tierd after this one, which would start tiers at once otherwise.
func (a *Agent) keepRests() {
	rests := maps.Clone(a.guard.rests)
	a.keep(&a.guard.restsFile, a.opts.RunDir, "which tiers rest", func(dir string) error {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		return replaceFile(dir, restsName, rests)
	})
}

// loadRests reads what an earlier tierd has left. What makes no sense is not taken.
func loadRests(dir string) (map[string]rest, error) {
	none := map[string]rest{}
	if dir == "" {
		return none, nil
	}
	path := filepath.Join(dir, restsName)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return none, nil
	}
	var text []byte
	if err == nil && info.Size() > maxRests {
		err = fmt.Errorf("%s has %d bytes", path, info.Size())
	}
	if err == nil {
		text, err = os.ReadFile(path)
	}
	if err != nil {
		return none, fmt.Errorf("cannot read which tiers rest: %w", err)
	}
	rests, err := parseRests(text)
	if err != nil {
		return none, fmt.Errorf("cannot read which tiers rest: %s: %w", path, err)
	}
	latest := time.Now().Add(restPauses[len(restPauses)-1])
	for tier, r := range rests {
		if r.Until.After(latest) { // the clock was set back since
			r.Until = latest
			rests[tier] = r
		}
	}
	return rests, nil
}

func parseRests(text []byte) (map[string]rest, error) {
	rests := map[string]rest{}
	if err := json.Unmarshal(text, &rests); err != nil {
		return nil, err
	}
	if rests == nil { // the text is null
		rests = map[string]rest{}
	}
	for tier, r := range rests {
		if len(r.Stops) == 0 || r.Step < 0 || r.Step >= len(restPauses) {
			return nil, fmt.Errorf("%q has no stop, or a step that there is not", tier)
		}
	}
	return rests, nil
}

package units

import (
	"reflect"
	"slices"
)

// Differs lists the keys of [gateway] that are not as they were, in the order of the manual.
func (g Gateway) Differs(before Gateway) []string { return differs(g, before) }

// Settings lists the keys outside of [gateway] that are not as they were and are no part of a unit, so that they hold without
// a restart: "host.reserve", "tier.coder.hold", "mode.full". A tier that is new or gone is not taken apart.
func (c *Config) Settings(before *Config) []string {
	var keys []string
	for _, key := range differs(c.Host, before.Host) {
		keys = append(keys, "host."+key)
	}
	for _, key := range differs(c.Guard, before.Guard) {
		keys = append(keys, "guard."+key)
	}
	for _, t := range c.Tiers {
		old, known := before.Tier(t.Name)
		if !known {
			continue
		}
		for _, key := range differs(t, old) {
			if key != "variant" && key != "drain" { // the unit has them in its command line
				keys = append(keys, "tier."+t.Name+"."+key)
			}
		}
	}
	for _, m := range slices.Concat(c.Modes, before.Modes) {
		key := "mode." + m.Name
		if !slices.Contains(keys, key) && !slices.Equal(c.members(m.Name), before.members(m.Name)) {
			keys = append(keys, key)
		}
	}
	return keys
}

// members are a mode's tiers as written, nil when there is no such mode.
func (c *Config) members(mode string) []string {
	for _, m := range c.Modes {
		if m.Name == mode {
			return m.Tiers
		}
	}
	return nil
}

func differs[T any](a, b T) []string {
	var keys []string
	now, old := reflect.ValueOf(a), reflect.ValueOf(b)
	for f := range now.Type().Fields() {
		if key := f.Tag.Get("toml"); key != "" && key != "-" && !same(now.FieldByIndex(f.Index), old.FieldByIndex(f.Index)) {
			keys = append(keys, key)
		}
	}
	return keys
}

// same takes an empty list for one that was left out, which DeepEqual does not.
func same(a, b reflect.Value) bool {
	if a.Kind() == reflect.Slice && a.Len() == 0 && b.Len() == 0 {
		return true
	}
	return reflect.DeepEqual(a.Interface(), b.Interface())
}

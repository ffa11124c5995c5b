package units

import "reflect"

// Differs names the keys of [gateway] that are others than in before, in the order of the manual.
func (g Gateway) Differs(before Gateway) []string {
	var keys []string
	now, old := reflect.ValueOf(g), reflect.ValueOf(before)
	for i, key := range keysOf(now.Type()) {
		if !same(now.Field(i), old.Field(i)) {
			keys = append(keys, key)
		}
	}
	return keys
}

// same takes an empty list for one that was left out, which DeepEqual does not.
func same(a, b reflect.Value) bool {
	if a.Kind() == reflect.Slice || a.Kind() == reflect.Map {
		if a.Len() == 0 && b.Len() == 0 {
			return true
		}
	}
	return reflect.DeepEqual(a.Interface(), b.Interface())
}

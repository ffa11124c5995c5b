package units

import "reflect"

// Differs names the keys of [gateway] that are others than in before, in the order of the manual.
func (g Gateway) Differs(before Gateway) []string {
	var keys []string
	now, old := reflect.ValueOf(g), reflect.ValueOf(before)
	for i, key := range keysOf(now.Type()) {
		if !reflect.DeepEqual(now.Field(i).Interface(), old.Field(i).Interface()) {
			keys = append(keys, key)
		}
	}
	return keys
}

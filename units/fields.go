package units

import "reflect"

// newElement makes a named table with its defaults.
func newElement(t reflect.Type, name string) reflect.Value {
	v := reflect.New(t).Elem()
	switch e := v.Addr().Interface().(type) {
	case *Tier:
		*e = defaultTier()
	case *Variant:
		*e = defaultVariant()
	case *Key:
		*e = defaultKey()
	}
	v.FieldByName("Name").SetString(name)
	return v
}

func fieldOf(v reflect.Value, key string) (reflect.Value, bool) {
	for f, field := range v.Fields() {
		if tag := f.Tag.Get("toml"); tag == key && tag != "" && tag != "-" {
			return field, true
		}
	}
	return reflect.Value{}, false
}

func keysOf(t reflect.Type) []string {
	var keys []string
	for f := range t.Fields() {
		if tag := f.Tag.Get("toml"); tag != "" && tag != "-" {
			keys = append(keys, tag)
		}
	}
	return keys
}

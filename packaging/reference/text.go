package main

import (
	_ "embed"
	"fmt"
	"strings"
)

// keys.md has what each table and each key is for, and what a key is when it is left out where that is no plain value. It is
// the one place of these texts: both pages are made of it.
//
//go:embed keys.md
var keysText string

// note is what is said of a key.
type note struct {
	text string
	left string // what it is when it is left out; "": the types say so
}

// notes are the texts by table, and by table and key.
type notes struct {
	tables map[string]string
	keys   map[[2]string]note
}

// parseNotes reads keys.md: `# table`, its text, and `## key` with its text, whose last paragraph may begin with "Left out:".
func parseNotes(text string) (notes, error) {
	n := notes{map[string]string{}, map[[2]string]note{}}
	for _, section := range strings.Split("\n"+text, "\n# ")[1:] {
		parts := strings.Split(section, "\n## ")
		table, about, _ := strings.Cut(parts[0], "\n")
		if _, twice := n.tables[table]; twice {
			return n, fmt.Errorf("keys.md has the table %s twice", table)
		}
		n.tables[table] = strings.TrimSpace(about)
		for _, part := range parts[1:] {
			name, body, _ := strings.Cut(part, "\n")
			at := [2]string{table, name}
			if _, twice := n.keys[at]; twice {
				return n, fmt.Errorf("keys.md has the key %s of %s twice", name, table)
			}
			said, left, _ := strings.Cut(body, "\nLeft out:")
			n.keys[at] = note{strings.TrimSpace(said), strings.TrimSuffix(oneLine(left), ".")}
		}
	}
	return n, nil
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// derived are the keys that fill in one another: what the sample gets for them is no default to write down.
var derived = map[[2]string]bool{
	{"host", "default_mode"}: true, {"engine.NAME", "kind"}: true, {"tier.NAME", "role"}: true,
	{"tier.NAME.variant.NAME", "served_name"}: true, {"tier.NAME.variant.NAME", "memory"}: true,
}

// faultsOf compares the texts with the keys of the types, both ways.
func (n notes) faultsOf(all []table) []string {
	var faults []string
	known := map[[2]string]bool{}
	for _, t := range all {
		if n.tables[t.name] == "" {
			faults = append(faults, fmt.Sprintf("keys.md says nothing of the table %s", t.name))
		}
		for _, k := range t.keys {
			at := [2]string{t.name, k.name}
			known[at] = true
			said := n.keys[at]
			plain := len(k.defaults) > 0 || len(k.must) > 0
			switch {
			case said.text == "":
				faults = append(faults, fmt.Sprintf("keys.md says nothing of the key %s of %s", k.name, t.name))
			case said.left == "" && !plain:
				faults = append(faults, fmt.Sprintf("keys.md does not say what %s of %s is when it is left out", k.name, t.name))
			case said.left != "" && plain && !derived[at]:
				faults = append(faults, fmt.Sprintf("keys.md says what %s of %s is when it is left out; the types do", k.name, t.name))
			}
		}
	}
	for at := range n.keys {
		if !known[at] {
			faults = append(faults, fmt.Sprintf("keys.md has the key %s of %s, which tierd does not know", at[1], at[0]))
		}
	}
	return faults
}

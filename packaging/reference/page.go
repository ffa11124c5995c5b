package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tierd/tierd/units"
)

const pageHead = `# tiers.toml, key by key

Made by ` + "`go run ./packaging/reference`" + ` from the types that tierd reads the file into and from the checks that it puts it through: edit
` + "`packaging/reference/keys.md`" + ` for a text, and the code for anything else. The same is in ` + "`man tiers.toml`" + `.

` + "`/etc/tierd/tiers.toml`" + ` is TOML 1.0. Unknown keys are faults, and so is a key that means nothing to the variant's engine. ` +
	"`tierctl check`" + ` shows every
fault with its line, ` + "`tierctl reload`" + ` has tierd read the file. Every user can read it: no secret belongs here.

| type | is written |
|---|---|
| size | ` + "`\"12GiB\"`, `\"512MiB\"`" + `, with a binary unit; ` + "`\"12GB\"`" + ` is refused |
| time | ` + "`\"30s\"`, `\"20m\"`, `\"1h30m\"`" + ` |
| tokens | ` + "`\"64K\"` (65536), `\"1M\"`, `65536`" + ` |
| tables | ` + "`[tier.NAME]`" + `, in which you choose the name: small letters, digits and dashes |

`

// page is docs/tiers.toml.md.
func page(all []table, n notes) string {
	var b strings.Builder
	b.WriteString(pageHead)
	for _, t := range all {
		fmt.Fprintf(&b, "- [[%s]](#%s): %s\n", t.name, anchor(t.name), codeWords(each(t.keys, func(k key) string { return k.name }), ""))
	}
	for _, t := range all {
		fmt.Fprintf(&b, "\n## [%s]\n\n%s\n", t.name, n.tables[t.name])
		for _, k := range t.keys {
			said := n.keys[[2]string{t.name, k.name}]
			fmt.Fprintf(&b, "\n### %s\n\n*%s*\n\n%s\n", k.name, strings.Join(k.facts(said), "; "), said.text)
		}
	}
	return b.String()
}

// anchor is what a reader's program makes of the heading of a table.
func anchor(table string) string { return strings.ToLower(strings.ReplaceAll(table, ".", "")) }

// facts are what there is to know of a key besides its text: type, what it may be, engines, and what it is when left out.
func (k key) facts(said note) []string {
	facts := []string{k.wants}
	switch {
	case len(k.words) > 0 && strings.HasPrefix(k.wants, "list"):
		facts = append(facts, "of "+codeWords(k.words, `"`))
	case len(k.words) == 1:
		facts = append(facts, "only "+codeWords(k.words, `"`))
	case len(k.words) > 0:
		facts = append(facts, "one of "+codeWords(k.words, `"`))
	case k.low != "":
		facts = append(facts, trimTime(k.low)+" to "+trimTime(k.high))
	}
	if k.engines != nil {
		facts = append(facts, "for "+strings.Join(k.engines, " and "))
	}
	return append(facts, k.leftOut(said)...)
}

func (k key) leftOut(said note) []string {
	switch {
	case said.left != "":
		return []string{"left out: " + said.left}
	case len(k.must) == len(engines):
		return []string{"must be given"}
	case len(k.must) > 0:
		var kinds []string
		for _, e := range engines {
			if slices.Contains(k.must, e.name) {
				kinds = appendNew(kinds, e.kind)
			}
		}
		if len(kinds) == 1 || slices.Contains(kinds, units.KindRemote) {
			return []string{"must be given"} // all that know it need it
		}
		return []string{"must be given for " + strings.Join(kinds, " and ")}
	}
	var values []string
	for _, v := range k.defaults {
		text := "`" + v.text + "`"
		if len(k.defaults) > 1 {
			text += " for " + k.who(v)
		}
		values = append(values, text)
	}
	return []string{"left out: " + strings.Join(values, ", ")}
}

// who are the engines of a value, all ways of running llama as one.
func (k key) who(v value) string {
	names := slices.Clone(v.engines)
	if cpu, gpu := slices.Index(names, "llama on the CPU"), slices.Index(names, "llama on the GPU"); cpu >= 0 && gpu >= 0 {
		names[cpu] = "llama"
		names = slices.Delete(names, gpu, gpu+1)
	}
	return strings.Join(names, " and ")
}

// trimTime writes a bound of time as a person would: 1h, not 1h0m0s.
func trimTime(s string) string {
	if t, ok := strings.CutSuffix(s, "m0s"); ok {
		s = t + "m"
	}
	if t, ok := strings.CutSuffix(s, "h0m"); ok {
		s = t + "h"
	}
	return s
}

func codeWords(words []string, quote string) string {
	return strings.Join(each(words, func(w string) string { return "`" + quote + w + quote + "`" }), ", ")
}

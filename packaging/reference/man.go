package main

import (
	"fmt"
	"strings"
)

// Between these lines of tiers.toml(5) stand the keys; the rest of the page is written by hand.
const (
	manFrom = "# [host]\n"
	manTo   = "# QUIRKS\n"
)

// manual puts the keys into the text of tiers.toml(5).
func manual(old string, all []table, n notes) (string, error) {
	head, rest, ok := strings.Cut(old, manFrom)
	_, tail, ok2 := strings.Cut(rest, manTo)
	if !ok || !ok2 {
		return "", fmt.Errorf("tiers.toml.5.md lacks the heading %q or %q, between which the keys stand", strings.TrimSpace(manFrom), strings.TrimSpace(manTo))
	}
	var b strings.Builder
	b.WriteString(head)
	for _, t := range all {
		fmt.Fprintf(&b, "# [%s]\n\n%s\n\n", t.name, inManual(n.tables[t.name]))
		for _, k := range t.keys {
			said := n.keys[[2]string{t.name, k.name}]
			facts := strings.Join(k.facts(said), "; ")
			fmt.Fprintf(&b, "**%s**\n:   %s (%s)\n\n", k.name, inManual(strings.ReplaceAll(said.text, "\n", "\n    ")), inManual(facts))
		}
	}
	b.WriteString(manTo + tail)
	return b.String(), nil
}

// inManual has code in bold, as a manual page has it. What is in quotes is plain.
func inManual(s string) string {
	parts := strings.Split(s, "`")
	for i := 1; i < len(parts); i += 2 {
		switch {
		case strings.HasPrefix(parts[i], `"`) || strings.HasPrefix(parts[i], "["):
		case strings.ContainsAny(parts[i], " -/"):
			parts[i] = "**" + parts[i] + "**"
		default:
			parts[i] = "*" + strings.ReplaceAll(parts[i], "_", `\_`) + "*"
		}
	}
	return strings.Join(parts, "")
}

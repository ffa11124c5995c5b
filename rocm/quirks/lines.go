package quirks

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

var (
	header  = regexp.MustCompile(`^\s*\[\[?\s*([A-Za-z0-9_-]+)\s*\]`)
	keyForm = regexp.MustCompile(`^\s*"?([A-Za-z0-9_-]+)"?\s*=`)
)

// linesOf finds where each entry and each of its keys stands. What only looks like one, in a text of several lines,
// costs a fault its right line and nothing else.
func linesOf(text string) map[string]int {
	lines, heads, number := map[string]int{}, map[string]int{}, 0
	entry := ""
	note := func(key string) {
		if _, ok := lines[key]; !ok {
			lines[key] = number
		}
	}
	for line := range strings.Lines(text) {
		number++
		if m := header.FindStringSubmatch(line); m != nil {
			entry = fmt.Sprintf("%s %d", m[1], heads[m[1]])
			heads[m[1]]++
			note(m[1])
			note(entry)
		} else if m := keyForm.FindStringSubmatch(line); m != nil {
			note(strings.TrimSpace(entry + " " + m[1]))
		}
	}
	return lines
}

// quoted is a value as faults show it: bounded and on one line.
func quoted(s string) string {
	const most = 60
	if utf8.RuneCountInString(s) > most {
		s = string([]rune(s)[:most]) + "..."
	}
	return strconv.Quote(s)
}

// oneLine is a text without line ends and doubled spaces.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

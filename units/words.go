package units

import (
	"fmt"
	"strconv"
	"strings"
)

// How faults put things into words: bounded in length and on one line, whatever the file holds.

// describe names a TOML value of the wrong type without repeating much of it.
func describe(raw any) string {
	switch v := raw.(type) {
	case string:
		return "the text " + quote(v)
	case int64, float64, bool:
		return fmt.Sprintf("%v", v)
	case []any, []map[string]any:
		return "a list"
	case map[string]any:
		return "a table"
	}
	return "a date"
}

// in says in which table a key stands: " in [tier.chat]"; nothing at the top.
func in(path []string) string {
	if len(path) == 0 {
		return ""
	}
	table := strings.Trim(quote(strings.Join(path, ".")), `"`)
	return fmt.Sprintf(" in [%s]", table)
}

func oneLine(s string) string { return strings.Trim(quote(strings.Join(strings.Fields(s), " ")), `"`) }

// quote is a value as faults show it: bounded, whatever the file holds.
func quote(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "..."
	}
	return strconv.Quote(s)
}

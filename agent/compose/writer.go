package compose

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/BurntSushi/toml"
)

// writer makes the text, and remembers of each line where it comes from.
type writer struct {
	file  string // the env file
	lines []line
}

type line struct {
	text string
	from origin
}

func (w *writer) bytes() []byte {
	var b bytes.Buffer
	for _, l := range w.lines {
		b.WriteString(l.text)
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// comment writes words as lines of comments. Control characters end no line: what stands behind them must stay a comment.
func (w *writer) comment(format string, args ...any) {
	text := strings.Map(printable, fmt.Sprintf(format, args...))
	w.lines = append(w.lines, line{text: strings.TrimRight("# "+text, " ")})
}

func printable(r rune) rune {
	if unicode.IsControl(r) || r == unicode.ReplacementChar {
		return '?'
	}
	return r
}

func (w *writer) blank() { w.lines = append(w.lines, line{}) }

// table begins one, behind an empty line.
func (w *writer) table(from origin, parts ...string) {
	for i, p := range parts {
		if strings.Trim(p, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" { // refused by units, which has to see it
			parts[i] = quoted(p)
		}
	}
	w.blank()
	w.put("["+strings.Join(parts, ".")+"]", from)
}

func (w *writer) put(text string, from origin) {
	if c := strings.Map(printable, from.String()); c != "" {
		text += "  # " + c
	}
	w.lines = append(w.lines, line{text, from})
}

// set writes a key of the table at hand.
func (w *writer) set(key string, v any, from origin) {
	w.put(key+" = "+quoted(v), from)
}

// text writes a value that may be left out.
func (w *writer) text(key string, v value) {
	if v.there() {
		w.set(key, v.text, v.from)
	}
}

// number writes a whole number. What is none goes through as a text, for units to refuse at its line.
func (w *writer) number(key string, v value) {
	if !v.there() {
		return
	}
	if n, err := strconv.Atoi(v.text); err == nil {
		w.set(key, n, v.from)
		return
	}
	w.set(key, v.text, v.from)
}

// tokens writes "64K" where it is one.
func (w *writer) tokens(key string, v value) {
	if n, err := strconv.Atoi(v.text); err == nil && n > 0 && n%1024 == 0 {
		w.set(key, fmt.Sprintf("%dK", n/1024), v.from)
		return
	}
	w.number(key, v)
}

// each writes a list, one element a line.
func (w *writer) each(key string, list []value) {
	if len(list) == 0 {
		return
	}
	w.lines = append(w.lines, line{key + " = [", list[0].from})
	for _, v := range list {
		w.put("  "+quoted(v.text)+",", v.from)
	}
	w.lines = append(w.lines, line{"]", list[0].from})
}

// quoted is a value as TOML has it.
func quoted(v any) string {
	text, err := toml.Marshal(map[string]any{"v": v})
	if err != nil { // strings, numbers and booleans alone
		panic(err)
	}
	return strings.TrimSuffix(strings.TrimPrefix(string(text), "v = "), "\n")
}

func quotedKey(name string) string {
	if name != "" && strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") == "" {
		return name
	}
	return quoted(name)
}

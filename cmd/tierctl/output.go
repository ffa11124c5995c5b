package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	formatText = "text"
	formatJSON = "json"
)

var formats = []string{formatText, formatJSON}

// writeJSON writes the API's result as it is, indented.
func (a *app) writeJSON(v any) error {
	text, err := jsonText(v)
	if err == nil {
		_, err = a.stdout.Write(text)
	}
	if err != nil {
		return fmt.Errorf("cannot write the result: %w", err)
	}
	return nil
}

func jsonText(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return b.Bytes(), err
}

// cell is one field of a table; paint is the escape sequence around it, which takes no width.
type cell struct {
	text  string
	paint string
}

// row is one line of a table with what belongs beneath it.
type row struct {
	cells []cell
	notes []string
}

// writeTable aligns the columns. Notes stand beneath their row, indented to the second column.
func writeTable(w io.Writer, header []string, rows []row) {
	widths := columnWidths(header, rows)
	head := make([]cell, len(header))
	for i, h := range header {
		head[i] = cell{text: h}
	}
	writeRow(w, widths, head)
	below := widths[0] + columnGap
	for _, r := range rows {
		writeRow(w, widths, r.cells)
		for _, n := range r.notes {
			say(w, below, strings.Repeat(" ", below)+n)
		}
	}
}

func columnWidths(header []string, rows []row) []int {
	widths := make([]int, len(header))
	for i, h := range header {
		widths[i] = utf8.RuneCountInString(h)
	}
	for _, r := range rows {
		for i, c := range r.cells {
			widths[i] = max(widths[i], utf8.RuneCountInString(c.text))
		}
	}
	return widths
}

// tableWidth is how many columns of a terminal the table takes, without its notes.
func tableWidth(header []string, rows []row) int {
	sum := columnGap * (len(header) - 1)
	for _, w := range columnWidths(header, rows) {
		sum += w
	}
	return sum
}

const columnGap = 2

func writeRow(w io.Writer, widths []int, cells []cell) {
	var b strings.Builder
	for i, c := range cells {
		pad := widths[i] - utf8.RuneCountInString(c.text) + columnGap
		if i == len(cells)-1 {
			pad = 0
		}
		b.WriteString(painted(c.text, c.paint))
		b.WriteString(strings.Repeat(" ", pad))
	}
	fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
}

// shorten cuts text to width, with an ellipsis in its last place.
func shorten(text string, width int) string {
	if width <= 0 || utf8.RuneCountInString(text) <= width {
		return text
	}
	return string([]rune(text)[:width-1]) + "…"
}

// formatAge writes how long ago something was, with at most two units.
func formatAge(d time.Duration) string {
	d = max(d, 0).Truncate(time.Second)
	const day = 24 * time.Hour
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm %ds", d/time.Minute, d%time.Minute/time.Second)
	case d < day:
		return fmt.Sprintf("%dh %dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd %dh", d/day, d%day/time.Hour)
}

// list writes names as a person would.
func list(names []string) string { return strings.Join(names, ", ") }

// count writes a number with its noun in the right form.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// warning marks a line as one; faults of tiers.toml carry the word behind their line number already.
func warning(text string) string {
	if strings.Contains(text, "warning: ") {
		return text
	}
	return "warning: " + text
}

// writePairs writes names and what there is to say of each, aligned. A text that is empty takes its line with it.
func writePairs(w io.Writer, indent string, pairs []pair) {
	width := 0
	for _, p := range pairs {
		if p.text != "" {
			width = max(width, utf8.RuneCountInString(p.name))
		}
	}
	for _, p := range pairs {
		if p.text != "" {
			say(w, len(indent)+width+columnGap, fmt.Sprintf("%s%-*s  %s", indent, width, p.name, p.text))
		}
	}
}

package main

import (
	"bytes"
	"fmt"
	"os"
)

// Markers of the part of a document that a bench writes.
const (
	beginMarker = "<!-- figures: begin, written by make bench-guard -->\n"
	endMarker   = "<!-- figures: end -->\n"
)

// replaceFigures writes what was seen between the markers of a document.
func replaceFigures(path string, r reported) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	figures := "\n" + r.table
	if r.figures != "" {
		figures += "\n```\n" + r.figures + "```\n"
	}
	text, err = between(text, figures+"\n")
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, text, 0o644)
}

// between replaces what is between the markers.
func between(text []byte, figures string) ([]byte, error) {
	head, rest, began := bytes.Cut(text, []byte(beginMarker))
	_, tail, ended := bytes.Cut(rest, []byte(endMarker))
	if !began || !ended {
		return nil, fmt.Errorf("there are no lines %q and %q", beginMarker, endMarker)
	}
	return []byte(string(head) + beginMarker + figures + endMarker + string(tail)), nil
}

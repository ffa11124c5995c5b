// Command reference writes what there is to know of each key of tiers.toml: docs/tiers.toml.md, and the keys in the manual page
// tiers.toml(5). Facts come from package units, texts from keys.md. Run it from the top of the tree.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

//go:generate go run . ../..

func main() {
	top := "."
	if len(os.Args) > 1 {
		top = os.Args[1]
	}
	if err := run(top); err != nil {
		fmt.Fprintln(os.Stderr, "reference:", err)
		os.Exit(1)
	}
}

func run(top string) error {
	pages, err := generate(top)
	if err != nil {
		return err
	}
	for _, p := range pages {
		if err := os.WriteFile(filepath.Join(top, p.name), []byte(p.text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

type generated struct{ name, text string }

// generate makes both pages.
func generate(top string) ([]generated, error) {
	all := tables()
	n, err := parseNotes(keysText)
	if err != nil {
		return nil, err
	}
	if faults := n.faultsOf(all); len(faults) > 0 {
		return nil, errors.New(strings.Join(faults, "\n"))
	}
	const manPage = "docs/man/tiers.toml.5.md"
	old, err := os.ReadFile(filepath.Join(top, manPage))
	if err != nil {
		return nil, err
	}
	man, err := manual(string(old), all, n)
	return []generated{{"docs/tiers.toml.md", page(all, n)}, {manPage, man}}, err
}

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/tierd/tierd/packaging/guardbench/trial"
)

// store keeps outcomes in a file, a line each, so that a long bench can be interrupted.
type store struct {
	file     *os.File
	outcomes []trial.Outcome
}

// openStore opens the results in a folder, and forgets those of earlier runs unless they are to be kept.
func openStore(dir string, keep bool) (*store, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	flags := os.O_CREATE | os.O_RDWR | os.O_APPEND
	if !keep {
		flags |= os.O_TRUNC
	}
	f, err := os.OpenFile(filepath.Join(dir, "runs.jsonl"), flags, 0o644)
	if err != nil {
		return nil, err
	}
	s := &store{file: f}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		var o trial.Outcome
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			return nil, errors.Join(fmt.Errorf("%s:%d: %w", f.Name(), n, err), f.Close())
		}
		s.outcomes = append(s.outcomes, o)
	}
	return s, errors.Join(lines.Err())
}

func (s *store) add(o trial.Outcome) error {
	line, err := json.Marshal(o)
	if err != nil {
		return err
	}
	s.outcomes = append(s.outcomes, o)
	_, err = s.file.Write(append(line, '\n'))
	return err
}

// missing are the planned runs of which there is no result yet. One that failed is tried again.
func (s *store) missing(p plan) plan {
	return slices.DeleteFunc(slices.Clone(p), func(r trial.Run) bool {
		return slices.ContainsFunc(s.outcomes, func(o trial.Outcome) bool { return o.Run == r && o.Failed == "" })
	})
}

// complete says whether every planned run was made, with a result or without.
func (s *store) complete(p plan) bool {
	return !slices.ContainsFunc(p, func(r trial.Run) bool {
		return !slices.ContainsFunc(s.outcomes, func(o trial.Outcome) bool { return o.Run == r })
	})
}

func (s *store) close() error { return s.file.Close() }

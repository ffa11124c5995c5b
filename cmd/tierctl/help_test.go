package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestHelp holds the help of every command to a file, so that a change of words is read in the diff.
func TestHelp(t *testing.T) {
	t.Setenv("TIERD_SOCKET", "/elsewhere") // help must not depend on it
	for _, path := range commandPaths(newApp().rootCommand()) {
		name := strings.Join(path, "-")
		t.Run(name, func(t *testing.T) {
			var out, errs strings.Builder
			a := newApp()
			a.stdout, a.stderr = &out, &errs
			if status := a.run(append(path[1:], "--help")); status != 0 || errs.String() != "" {
				t.Fatalf("status %d, stderr %q", status, errs.String())
			}
			golden := filepath.Join("testdata", "help", name+".txt")
			if *update {
				if err := os.WriteFile(golden, []byte(out.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if out.String() != string(want) {
				t.Errorf("help differs from %s (-update rewrites it):\n%s", golden, out.String())
			}
		})
	}
}

// TestHelpReadsAsAWhole: every command has an example that calls it, lines fit a terminal, and takes --format.
func TestHelpReadsAsAWhole(t *testing.T) {
	root := newApp().rootCommand()
	for _, cmd := range root.Commands() {
		if cmd.IsAdditionalHelpTopicCommand() || cmd.Hidden {
			continue
		}
		if !strings.Contains(cmd.Example, "tierctl "+cmd.Name()) {
			t.Errorf("%s: no example", cmd.Name())
		}
		for line := range strings.Lines(cmd.Long + "\n" + cmd.Example) {
			if n := len([]rune(strings.TrimRight(line, "\n"))); n > 90 {
				t.Errorf("%s: a line of %d characters: %s", cmd.Name(), n, line)
			}
		}
		if cmd.InheritedFlags().Lookup("format") == nil {
			t.Errorf("%s: does not take --format", cmd.Name())
		}
	}
}

func commandPaths(cmd *cobra.Command) [][]string {
	paths := [][]string{strings.Fields(cmd.CommandPath())}
	for _, sub := range cmd.Commands() {
		paths = append(paths, commandPaths(sub)...)
	}
	return paths
}

package main

import (
	"strings"
	"testing"

	"github.com/tierd/tierd/packaging/pages"
)

// TestPagesCallTierctlAsItIs parses every tierctl line of README.md and docs: commands and flags exist, and in a block of
// commands the arguments are such that the command takes. Most of them are also run in a bed; what no bed can do is held here.
func TestPagesCallTierctlAsItIs(t *testing.T) {
	all, err := pages.Read("../..")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, p := range all {
		for _, b := range p.Blocks {
			for _, s := range b.Steps() {
				for _, words := range s.Lines() {
					if words[0] != "tierctl" {
						continue
					}
					found++
					if fault := wrong(words[1:], true); fault != "" {
						t.Errorf("%s:%d: %s: %s", p.Name, s.Line, strings.Join(words, " "), fault)
					}
				}
			}
		}
		for _, s := range p.Spans {
			for _, words := range forms(s.Text) {
				found++
				if fault := wrong(words, false); fault != "" {
					t.Errorf("%s:%d: `%s`: %s", p.Name, s.Line, s.Text, fault)
				}
			}
		}
	}
	if found < 60 {
		t.Errorf("only %d calls of tierctl were found", found)
	}
}

// forms are the command lines that a piece of inline code stands for: `tierctl start|stop TIER [--evict]` is two. Some stand
// beside each other in one piece: `tierctl up` && ... is read up to the first command.
func forms(text string) [][]string {
	rest, ok := strings.CutPrefix(strings.TrimPrefix(text, "sudo "), "tierctl ")
	if !ok {
		return nil
	}
	rest, _, _ = strings.Cut(rest, " && ")
	rest, _, _ = strings.Cut(rest, " | ")
	words := strings.Fields(strings.NewReplacer("[", "", "]", "", "...", "", `\|`, "|").Replace(rest))
	all := [][]string{nil}
	for _, w := range words {
		var next [][]string
		for _, form := range all {
			for _, one := range strings.Split(w, "|") {
				next = append(next, append(form[:len(form):len(form)], one))
			}
		}
		all = next
	}
	return all
}

// wrong tells what cobra finds wrong with a command line, "" when it would run. Without whole, arguments may be missing.
func wrong(words []string, whole bool) string {
	root := newApp().rootCommand()
	root.InitDefaultHelpCmd()
	cmd, rest, err := root.Find(words)
	if err != nil {
		return err.Error()
	}
	if cmd == root && len(words) > 0 && !strings.HasPrefix(words[0], "-") {
		return "there is no such command"
	}
	cmd.InitDefaultHelpFlag()
	if err := cmd.ParseFlags(rest); err != nil && (whole || !strings.Contains(err.Error(), "needs an argument")) {
		return err.Error()
	}
	if cmd.Name() == "help" {
		if about, _, err := root.Find(cmd.Flags().Args()); err != nil || about == root {
			return "there is no help on that"
		}
		return ""
	}
	if !whole {
		return ""
	}
	if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
		return err.Error()
	}
	return ""
}

func TestWhatIsWrongWithACallOfTierctl(t *testing.T) {
	for _, c := range []struct {
		line  string
		whole bool
		wrong string
	}{
		{"up full", true, ""},
		{"up", true, ""},
		{"up --boot", true, ""},
		{"upp", true, "unknown command"},
		{"up --fast", true, "unknown flag"},
		{"start", true, "wrong number of arguments"},
		{"start", false, ""},
		{"start TIER --evict", false, ""},
		{"guard test --rate 1GiB/s", true, ""},
		{"help exit-status", true, ""},
		{"help exit-state", true, "there is no help on that"},
		{"--help", true, ""},
	} {
		got := wrong(strings.Fields(c.line), c.whole)
		if c.wrong == "" && got != "" || !strings.Contains(got, c.wrong) {
			t.Errorf("tierctl %s: got %q, want %q", c.line, got, c.wrong)
		}
	}
}

func TestOnePieceOfCodeMayBeSeveralCalls(t *testing.T) {
	for text, want := range map[string]string{
		"tierctl start|stop TIER":         "start TIER/stop TIER",
		"tierctl budget [--mode MODE]":    "budget --mode MODE",
		"sudo tierctl up full":            "up full",
		"systemctl status tierd":          "",
		"tierctl check && tierctl reload": "check",
	} {
		var got []string
		for _, words := range forms(text) {
			got = append(got, strings.Join(words, " "))
		}
		if strings.Join(got, "/") != want {
			t.Errorf("%s: %q", text, got)
		}
	}
}

package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"unicode/utf8"
)

func stateAfter(t *testing.T, command string) *os.ProcessState {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", command)
	cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatal("no shell")
	}
	return cmd.ProcessState
}

func TestExplain(t *testing.T) {
	strong, weak := &finding{classBudget, "Out of memory", false}, &finding{classModel, "The model could not be loaded", true}
	tests := []struct {
		name, command string
		found         *finding
		last          string
		status        int
		words         string
	}{
		{"what the log said", "exit 1", strong, "", 71, "Out of memory"},
		{"what the log said, before the signal", "kill -ABRT $$", strong, "", 71, "Out of memory"},
		{"a weak word for an exit", "exit 1", weak, "", 66, "could not be loaded"},
		{"no weak word for a kill", "kill -KILL $$", weak, "", 137, "SIGKILL"},
		{"SIGTERM from outside", "kill -TERM $$", nil, "", 143, "SIGTERM"},
		{"a forbidden system call", "kill -SYS $$", nil, "", 70, "sandbox"},
		{"an illegal instruction", "kill -ILL $$", nil, "", 70, "another CPU"},
		{"last words", "exit 7", nil, "Error: no", 70, "exit status 7; its last words: Error: no"},
	}
	for _, test := range tests {
		got := explain(stateAfter(t, test.command), test.found, test.last)
		if got.status != test.status || !strings.Contains(got.text, test.words) {
			t.Errorf("%s: %d %q, want %d and %q", test.name, got.status, got.text, test.status, test.words)
		}
	}
}

func TestEveryClassHasAStatusOfItsOwn(t *testing.T) {
	seen := map[int]string{}
	for class, status := range statusOf {
		if other, taken := seen[status]; taken || status <= 2 {
			t.Errorf("%s and %s share status %d", class, other, status)
		}
		seen[status] = class
	}
}

func FuzzOneLine(f *testing.F) {
	f.Add("a\nb\x00\xff" + strings.Repeat("ä", 600))
	f.Fuzz(func(t *testing.T, text string) {
		line := oneLine(text)
		if !utf8.ValidString(line) || strings.ContainsAny(line, "\n\r\x00\x1b") || len(line) > longestLine+len("…") {
			t.Errorf("%q gives %q", text, line)
		}
	})
}

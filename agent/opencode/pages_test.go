package opencode

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestThePageHasTheSizes holds the table of docs/opencode.md to what plans are checked with.
func TestThePageHasTheSizes(t *testing.T) {
	text, err := os.ReadFile("../../docs/opencode.md")
	if err != nil {
		t.Fatal(err)
	}
	for what, needs := range map[string]int{
		"the primary agent": primaryNeeds, "a subagent": subagentNeeds, "titles alone": smallNeeds,
		"Sisyphus of oh-my-opencode": sisyphusNeeds, "its oracle, librarian and categories": workerNeeds,
	} {
		row := fmt.Sprintf("| %s | %d,%03d |", what, needs/1000, needs%1000)
		if !strings.Contains(string(text), row) {
			t.Errorf("the page lacks %q", row)
		}
	}
}

//go:build vmtest

package vmtest

import (
	"fmt"
	"strings"
	"testing"
)

// TestOpenCodeAnswers has each of the four agents answer once, with a real llama-server behind each. What a model of that size
// says is beside the point, as is that it calls no tools.
func TestOpenCodeAnswers(t *testing.T) {
	t.Parallel()
	c := withClient(t, "opencode-real-tiers.toml", nil)
	before := c.apply(t)
	var chats []*chat
	for _, agent := range []string{"primary", "coder", "reviewer", "utility"} {
		// `run` takes the primary agent, without a word, where it is asked for one that only works for others.
		c.must(asAnn(agent, fmt.Sprintf(`echo '{"agent": {"%s": {"mode": "all"}}}' >opencode.json`, agent)))
		chats = append(chats, c.open(agent, "--agent", agent, "--title", agent, "Say hello."))
	}
	for i, name := range []string{"primary · orchestrator", "coder · coder", "reviewer · reviewer", "utility · utility"} {
		s := chats[i]
		s.end(t, "", 0)
		if !strings.Contains(s.Stderr, "> "+name) {
			t.Errorf("another agent than %s answered:\n%s", name, s.Stderr)
		}
		if strings.TrimSpace(s.Stdout) == "" {
			t.Errorf("%s said nothing:\n%s", name, s.Stderr)
		}
		port := []int{8001, 8002, 8011, 8012}[i]
		words := c.must(fmt.Sprintf("curl -s 127.0.0.1:%d/metrics | awk '/^llamacpp:(prompt_tokens|tokens_predicted)_total/ { print $2 }'", port))
		fmt.Printf("opencode %s: %s tokens read and written\n", s.name, strings.Join(strings.Fields(words), " and "))
	}
	c.nothingLeft(t)
	c.undo(t, before)
}

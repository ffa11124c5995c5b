//go:build vmtest

package vmtest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tierd/tierd/packaging/vmtest/script"
)

// slowLoad is how long the reviewer takes to load: longer than the client's own patience with a server that refuses.
const slowLoad = 60 * time.Second

// TestOpenCodeSession has the real client hold sessions, several at once, while tiers load, are switched and fail.
func TestOpenCodeSession(t *testing.T) {
	t.Parallel()
	s := sessions()
	c := withClient(t, "opencode-tiers.toml", s)
	before := c.apply(t)
	c.verify(t)
	c.must("tierctl stop reviewer")
	s.Load = map[string]script.Duration{"reviewer": script.Duration(slowLoad)}
	c.say(s)

	four := c.open("four", "Do the work (four).")
	cut := c.open("cut", "-m", "local_coder/coder", "Say something (cut).")
	switched := make(chan error, 1)
	go func() { switched <- four.switches() }()

	t.Run("a request that is too long is followed by a compaction", func(t *testing.T) {
		for _, name := range []string{"llama", "vllm"} {
			turns := c.open(name, "-m", "local_coder/coder", "A long question ("+name+").").finish(t, "GOES-ON", 5)
			if len(by(turns, "summary")) != 1 {
				t.Errorf("%s: not one compaction:\n%s", name, tell(turns))
			}
		}
	})
	t.Run("a tier that says when to come again is asked then", func(t *testing.T) {
		turns := c.open("busy", "-m", "local_coder/coder", "A question (busy).").end(t, "GOES-ON", 4)
		if busy := by(turns, "busy"); len(busy) != 2 || busy[1].At.Sub(busy[0].At) < 2*time.Second {
			t.Errorf("not two refusals with two seconds between them:\n%s", tell(turns))
		}
	})
	t.Run("another model goes on with a session", func(t *testing.T) {
		c.open("model", "Who is there (model)?").end(t, "The first one answers.", 2)
		turns := c.open("model", "-c", "-m", "local_coder/coder", "And now (model)?").end(t, "The second one goes on.", 1)
		if len(turns) == 1 && turns[0].Messages < 4 {
			t.Errorf("the second model got %d messages, without those of the first", turns[0].Messages)
		}
	})
	t.Run("a session of four agents goes on", func(t *testing.T) {
		if err := <-switched; err != nil {
			t.Fatal(err)
		}
		turns := four.end(t, "ALL-DONE", 14)
		checkFour(t, c, four, turns)
	})
	t.Run("a stream that is cut is not asked for again and again", func(t *testing.T) {
		turns := by(cut.finish(t, "", 7), "cut") // and a title
		if cut.Exit == 0 || !strings.Contains(cut.Stderr, "Error") || len(turns) != 6 {
			t.Errorf("%d requests, and the client ended with status %d:\n%s", len(turns), cut.Exit, cut.Stderr)
		}
		for i := 1; i < len(turns); i++ {
			// It waits twice as long each time, half a minute at most, and tells by its own clock when the stream broke.
			gap, least := turns[i].At.Sub(turns[i-1].At), min(time.Second<<i, 30*time.Second)
			fmt.Printf("opencode cut: request %d after %.1f s\n", i+1, gap.Seconds())
			if gap < least {
				t.Errorf("request %d came after %s, not %s:\n%s", i+1, gap, least, tell(turns))
			}
		}
	})
	t.Run("nothing leaves the machine", func(t *testing.T) { c.nothingLeft(t) })
	t.Run("undo takes back what was written", func(t *testing.T) { c.undo(t, before) })
	t.Run("the plugin answers", func(t *testing.T) { c.plugin(t) })
}

// switches has the orchestrator's variant changed twice: in the middle of a stream, which takes six seconds, and while the
// session waits for the reviewer.
func (s *chat) switches() error {
	for _, step := range []struct{ rule, variant string }{{"to two at once", "other"}, {"to the reviewer", "main"}} {
		if err := s.await(step.rule); err != nil {
			return err
		}
		if _, err := s.c.Must(s.c.ctx, "tierctl switch-orch "+step.variant); err != nil {
			return err
		}
	}
	return nil
}

// checkFour looks at what the four agents asked for.
func checkFour(t *testing.T, c *client, s *chat, turns []script.Turn) {
	t.Helper()
	const requests = 12
	one := func(rule string) script.Turn {
		t.Helper()
		found := by(turns, rule)
		if len(found) != 1 {
			t.Fatalf("rule %q answered %d times, not once:\n%s", rule, len(found), tell(turns))
		}
		return found[0]
	}
	if len(turns) != requests {
		t.Errorf("%d requests, and %d are what it takes:\n%s", len(turns), requests, tell(turns))
	}
	if title := one("title"); title.Tier != "utility" || len(title.Tools) > 0 {
		t.Errorf("the title was asked of %s", title.Tier)
	}
	// The variants are those of the switches: one in the middle of an answer, which was finished, and one between two.
	asked, back, end := one("to two at once"), one("to the reviewer"), one("end")
	if got := asked.Variant + " " + back.Variant + " " + end.Variant; got != "main other main" {
		t.Errorf("the orchestrator's answers came from %s", got)
	}
	coding, looking := one("write"), one("look")
	if coding.Parent != asked.Session || looking.Parent != asked.Session || coding.Session == looking.Session {
		t.Errorf("coder and utility do not work for the session %s:\n%s", asked.Session, tell(turns))
	}
	if coding.At.After(one("looked").At) || looking.At.After(one("written").At) {
		t.Errorf("coder and utility did not work at the same time:\n%s", tell(turns))
	}
	reading := one("read")
	if wait := reading.At.Sub(back.At); wait < slowLoad {
		t.Errorf("the reviewer was asked after %s, and loads for %s", wait, slowLoad)
	}
	for _, may := range []struct {
		turn  script.Turn
		tools string
	}{{reading, "edit write bash task todowrite"}, {looking, "edit write bash task todowrite webfetch skill"}, {coding, "task"}} {
		for tool := range strings.FieldsSeq(may.tools) {
			if slices.Contains(may.turn.Tools, tool) {
				t.Errorf("%s is offered the tool %s", may.turn.Tier, tool)
			}
		}
	}
	if notes := c.must("cat /home/ann/four/notes.txt"); notes != "A note." {
		t.Errorf("the notes are %q", notes)
	}
	for _, turn := range []script.Turn{asked, coding, reading, looking} {
		fmt.Printf("opencode four: first prompt of %s: %d tools, about %d tokens, max_tokens %d\n", turn.Tier, len(turn.Tools), turn.Tokens, turn.MaxTokens)
	}
}

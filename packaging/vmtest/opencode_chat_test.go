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

// chat is one run of the client.
type chat struct {
	Result
	c     *client
	name  string
	begin time.Time
	took  time.Duration
	done  chan struct{}
	err   error
}

// patient bounds a run of the client; only a hang meets it.
const patient = 4 * time.Minute

// open starts `opencode run` in a folder of the chat's own, where it leaves nothing to be asked.
func (c *client) open(name string, words ...string) *chat {
	s := &chat{c: c, name: name, begin: time.Now(), done: make(chan struct{})}
	command := fmt.Sprintf("timeout -k 5 %d opencode run", int(patient.Seconds()))
	for _, w := range words {
		command += " " + quote(w)
	}
	command = asAnn(name, command+" </dev/null")
	go func() {
		defer close(s.done)
		s.Result, s.err = c.Run(c.ctx, command)
		s.took = time.Since(s.begin)
	}()
	return s
}

// end waits for the run and prints what it came to. A run that shows an error or does not say the words fails the test.
func (s *chat) end(t *testing.T, words string, most int) []script.Turn {
	t.Helper()
	turns := s.finish(t, words, most)
	if s.Exit != 0 || strings.Contains(s.Stderr, "Error") {
		t.Errorf("%s: the client ended with status %d:\n%s%s", s.name, s.Exit, s.Stdout, s.Stderr)
	}
	return turns
}

// finish is end for a run that may show errors.
func (s *chat) finish(t *testing.T, words string, most int) []script.Turn {
	t.Helper()
	<-s.done
	if s.err != nil {
		t.Fatalf("%s: %v\n%s%s", s.name, s.err, s.Stdout, s.Stderr)
	}
	turns, err := s.turns()
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("opencode %s: %.1f s, %d requests, status %d\n", s.name, s.took.Seconds(), len(turns), s.Exit)
	if !strings.Contains(s.Stdout, words) {
		t.Errorf("%s: the client never says %q:\n%s%s", s.name, words, s.Stdout, s.Stderr)
	}
	if len(turns) > most {
		t.Errorf("%s: %d requests, and %d are enough:\n%s", s.name, len(turns), most, tell(turns))
	}
	return turns
}

// turns are the requests of the chat: of the sessions whose first one has the chat's name in its words, and of those that work
// for them.
func (s *chat) turns() (mine []script.Turn, err error) {
	all, err := s.c.record()
	session := map[string]bool{}
	for _, turn := range all {
		if turn.At.Before(s.begin) {
			continue
		}
		if strings.Contains(turn.Last, "("+s.name+")") || session[turn.Parent] {
			session[turn.Session] = true
		}
		if session[turn.Session] {
			mine = append(mine, turn)
		}
	}
	return mine, err
}

// record is every request that reached an engine, in order.
func (c *client) record() ([]script.Turn, error) {
	journal, err := c.Must(c.ctx, "journalctl --no-pager -q -o cat -t tier-orch -t tier-coder -t tier-reviewer -t tier-utility")
	if err != nil {
		return nil, err
	}
	all, err := script.Record(journal)
	slices.SortStableFunc(all, func(a, b script.Turn) int { return a.At.Compare(b.At) })
	return all, err
}

// await waits until a rule has answered in a chat.
func (s *chat) await(rule string) error {
	for {
		turns, err := s.turns()
		if err != nil || slices.ContainsFunc(turns, func(turn script.Turn) bool { return turn.Rule == rule }) {
			return err
		}
		select {
		case <-s.done:
			return fmt.Errorf("%s ended before rule %q held:\n%s%s\n%s", s.name, rule, s.Stdout, s.Stderr, tell(turns))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// tell is the turns as lines to read.
func tell(turns []script.Turn) string {
	var out strings.Builder
	for i, turn := range turns {
		gap := 0.0
		if i > 0 {
			gap = turn.At.Sub(turns[i-1].At).Seconds()
		}
		fmt.Fprintf(&out, "+%.1f s %s/%s, rule %q, status %d, %d tools, %d tokens, max_tokens %d, last %.80q\n",
			gap, turn.Tier, turn.Variant, turn.Rule, turn.Status, len(turn.Tools), turn.Tokens, turn.MaxTokens, turn.Last)
	}
	return out.String()
}

// by are the turns that a rule answered.
func by(turns []script.Turn, rule string) (mine []script.Turn) {
	for _, turn := range turns {
		if turn.Rule == rule {
			mine = append(mine, turn)
		}
	}
	return mine
}

//go:build vmtest

package vmtest

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// patience bounds each command of a scenario: far more than any of them should take, so that a hang ends with a journal.
const patience = 3 * time.Minute

// scene is what one scenario has made so far.
type scene struct {
	bed     *Bed
	pids    map[string]string
	streams map[string]*stream
}

// stream is a streamed completion that runs beside the scenario.
type stream struct {
	first chan struct{} // closed at the first token
	done  chan struct{} // closed at the end; text and err are set then
	text  string
	err   error
}

type sceneKey struct{}

func of(ts *testscript.TestScript) *scene       { return ts.Value(sceneKey{}).(*scene) }
func sceneOf(env *testscript.Env) *scene        { return env.Values[sceneKey{}].(*scene) }
func wait() (context.Context, func())           { return context.WithTimeout(context.Background(), patience) }
func usage(ts *testscript.TestScript, s string) { ts.Fatalf("usage: %s", s) }

// close reports the bed's journal when the scenario failed, and removes the bed.
func (s *scene) close(env *testscript.Env) {
	if s.bed == nil {
		return
	}
	if t, ok := env.T().(interface{ Failed() bool }); ok && t.Failed() {
		env.T().Log("the bed's journal:\n" + s.bed.Journal())
	}
	if err := s.bed.Close(); err != nil {
		env.T().Log("cannot remove the bed: ", err)
	}
}

// theBed is the scenario's bed; a command that comes before boot is a fault of the scenario.
func (s *scene) theBed(ts *testscript.TestScript) *Bed {
	if s.bed == nil {
		ts.Fatalf("the scenario has not booted its bed: begin with `boot`")
	}
	return s.bed
}

// target reads where a completion is asked for: 8001 is a tier's port, 8001/coder a port and a model name, coder a model
// name on the common port.
func target(word string) (port int, model string) {
	number, name, _ := strings.Cut(word, "/")
	if port, err := strconv.Atoi(number); err == nil {
		return port, name
	}
	return 8000, word
}

// shell makes one shell command of a scenario's words. A single word is a script as it is.
func shell(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = quote(w)
	}
	return strings.Join(quoted, " ")
}

// quote makes one word for a shell, whatever is in it.
func quote(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

// start begins a stream and waits for its first token, or its failure.
func (s *scene) start(b *Bed, name, where string, tokens int) error {
	port, model := target(where)
	st := &stream{first: make(chan struct{}), done: make(chan struct{})}
	if s.streams == nil {
		s.streams = map[string]*stream{}
	}
	s.streams[name] = st
	go func() {
		ctx, cancel := wait()
		defer cancel()
		defer close(st.done)
		st.text, st.err = b.Stream(ctx, port, model, "Tell a long story about a lighthouse.", tokens, func() { close(st.first) })
	}()
	select {
	case <-st.first:
		return nil
	case <-st.done:
		return fmt.Errorf("stream %s ended at once: %w", name, st.err)
	}
}

package opencode

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/tierd/tierd/agent/openai"
)

const (
	// maxStdout bounds `debug config` and `models`: a configuration takes some KiB, the list of all hosted models some 100.
	maxStdout = 8 << 20
	maxStderr = 64 << 10
	// lastWords is how long its children may hold the pipes once the client is dead.
	lastWords = 2 * time.Second
)

// run runs the client where the user is, with the user's environment and what keeps it from looking up names, and returns what it
// prints. It and whatever it started are gone when this returns.
func (c Client) run(ctx context.Context, limit time.Duration, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	command := "`" + strings.Join(append([]string{c.Path}, args...), " ") + "`"
	out, words := bounded{most: maxStdout}, bounded{most: maxStderr}
	cmd := exec.CommandContext(ctx, c.Path, args...)
	cmd.Dir, cmd.Env = c.env.Dir, slices.Concat(c.env.Environ, Variables(false))
	cmd.Stdout, cmd.Stderr = &out, &words
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // npm is a child of it
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = lastWords
	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) { // it is gone, and a child of it holds the pipe
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		err = nil
	}
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, fmt.Errorf("%s has not ended within %s%s", command, limit, because(words.data))
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, fmt.Errorf("%s failed (%w)%s", command, err, because(words.data))
	case out.over:
		return nil, fmt.Errorf("%s printed more than %d MiB", command, maxStdout>>20)
	}
	return out.data, nil
}

// bounded keeps the beginning of what is written to it, and takes the rest without a word: a program whose pipe is closed might
// end otherwise than it would have.
type bounded struct {
	data []byte
	most int
	over bool
}

func (b *bounded) Write(p []byte) (int, error) {
	n := min(len(p), b.most-len(b.data))
	b.data = append(b.data, p[:n]...)
	b.over = b.over || n < len(p)
	return len(p), nil
}

// because puts the client's complaint behind an error.
func because(stderr []byte) string {
	if c := complaint(stderr); c != "" {
		return ": " + c
	}
	return ""
}

// complaint is what the client says went wrong. It says so on a line with "Error:", the place on one behind it, and then perhaps
// shows the whole file; without such a line it is the last one, which is where other programs say it.
func complaint(stderr []byte) string {
	var lines []string
	for line := range bytes.Lines(stderr) {
		if line := strings.TrimSpace(openai.Escapes.ReplaceAllString(string(line), "")); line != "" {
			lines = append(lines, strings.ToValidUTF8(line, "?"))
		}
	}
	if len(lines) == 0 {
		return ""
	}
	text := lines[len(lines)-1]
	if at := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "Error: ") }); at >= 0 {
		text = strings.TrimSuffix(strings.TrimPrefix(lines[at], "Error: "), ":")
		rest := lines[at+1:]
		if place := slices.IndexFunc(rest, isPlace); place >= 0 {
			text += ": " + strings.TrimSpace(strings.TrimPrefix(rest[place], "↳"))
		}
	}
	return openai.Line(text)
}

var placeForm = regexp.MustCompile(`^(↳|\S+ at line \d+, column \d+$)`)

func isPlace(line string) bool { return placeForm.MatchString(line) }

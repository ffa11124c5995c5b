package hub

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Client is Hugging Face's own client, `hf`, which knows further ways of transfer (Xet). It brings the files of a commit that
// tierctl has listed; their checksums are compared here all the same.
type Client struct {
	Program string // absolute
	Hub     *Hub
	Env     []string      // as os.Environ gives it
	Look    time.Duration // between two looks at how much came; 0: 1 s
}

// clientDir is where the client puts its files, with the notes by which it goes on after an end.
const clientDir = "hf"

func (c *Client) transfer(ctx context.Context, p *Pull, w Watcher) error {
	s := p.stage
	dir := path.Join(s.dir, clientDir)
	if err := s.folder.makeDirs(dir); err != nil {
		return err
	}
	var names []string
	begun := map[string]bool{}
	for _, f := range p.Missing {
		if key := f.Sum.key(); !begun[key] && s.size(s.whole(f)) != f.Size {
			begun[key] = true
			names = append(names, f.Path)
		}
	}
	if len(names) == 0 {
		return nil
	}
	if err := c.run(ctx, p, filepath.Join(s.folder.Path, dir), names, w); err != nil {
		return c.better(ctx, p, names[0], err)
	}
	for _, f := range p.Missing {
		if slices.Contains(names, f.Path) {
			if err := s.accept(ctx, path.Join(dir, f.Path), f); err != nil {
				return err
			}
		}
	}
	return nil
}

// better is the hub's own answer for a file, where it refuses that: it says more than the client's last line.
func (c *Client) better(ctx context.Context, p *Pull, name string, err error) error {
	i := slices.IndexFunc(p.Missing, func(f File) bool { return f.Path == name })
	body, _, asked := c.Hub.content(ctx, p.List, p.Missing[i], 0)
	if asked == nil {
		body.Close()
	}
	if refused := (*Refused)(nil); errors.As(asked, &refused) {
		return asked
	}
	return err
}

// accept compares what the client brought with its checksum, and takes it over or removes it.
func (s *stage) accept(ctx context.Context, at string, f File) error {
	root := s.folder.root
	if s.size(at) < 0 {
		return fmt.Errorf("hf ended well, and %s of %s is not there; try --with http", f.Path, s.repo)
	}
	same, err := s.folder.equals(at, f, func(r io.Reader) io.Reader { return &stoppable{ctx, r} })
	switch {
	case err != nil:
		return err
	case !same:
		if err := root.Remove(at); err != nil {
			return err
		}
		return fmt.Errorf("%s of %s was fetched by hf and removed again: %w", f.Path, s.repo, ErrWrongSum)
	}
	if err := root.Remove(s.part(f)); err != nil && !errors.Is(err, fs.ErrNotExist) { // of an earlier pull without the client
		return err
	}
	return root.Rename(at, s.whole(f))
}

// run is one call of the client. It gets the staging folder's lock with it, so that the lock holds as long as either lives.
func (c *Client) run(ctx context.Context, p *Pull, dir string, names []string, w Watcher) error {
	args := []string{"download", p.List.Repo, "--revision", p.List.Commit, "--local-dir", dir, "--"}
	cmd := exec.CommandContext(ctx, c.Program, append(args, names...)...)
	cmd.Env = c.env()
	cmd.ExtraFiles = []*os.File{p.stage.lock}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) } // it keeps what came
	cmd.WaitDelay = 10 * time.Second
	// It ends with this process, however that ends. The kernel sends the signal when the thread that forked is gone.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGINT}
	var said tail
	cmd.Stdout, cmd.Stderr = &said, &said

	stop := make(chan struct{})
	watched := make(chan struct{})
	go func() { defer close(watched); c.watch(p, stop, w) }()
	err := cmd.Run()
	close(stop)
	<-watched
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return &Refused{
			Message: fmt.Sprintf("hf could not fetch %s (%v): %s", p.List.Repo, err, said.lastLine(c.Hub.token.secret)),
			Hint:    "--with http does it without hf",
		}
	}
	return nil
}

// env names the hub and the token for the client; in its arguments every user of the machine could read it.
func (c *Client) env() []string {
	env := slices.DeleteFunc(slices.Clone(c.Env), func(v string) bool {
		return strings.HasPrefix(v, "HF_TOKEN=") || strings.HasPrefix(v, "HF_ENDPOINT=")
	})
	env = append(env, "HF_ENDPOINT="+c.Hub.Endpoint(), "HF_HUB_DISABLE_PROGRESS_BARS=1", "HF_HUB_DISABLE_TELEMETRY=1", "HF_HUB_DISABLE_UPDATE_CHECK=1", "NO_COLOR=1")
	if c.Hub.mayHaveToken(c.Hub.endpoint) {
		return append(env, "HF_TOKEN="+c.Hub.token.secret)
	}
	return append(env, "HF_HUB_DISABLE_IMPLICIT_TOKEN=1")
}

// watch tells how the files in the client's folder grow: it has no other way of saying so that is not for a terminal.
func (c *Client) watch(p *Pull, stop <-chan struct{}, w Watcher) {
	every := c.Look
	if every == 0 {
		every = time.Second
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	told := int64(0)
	look := func() {
		if now := p.stage.clientBytes(); now != told {
			w.Got(now - told)
			told = now
		}
	}
	for {
		select {
		case <-stop:
			look()
			return
		case <-tick.C:
			look()
		}
	}
}

// clientBytes is what takes room in the client's folder: it makes files of their whole size before their bytes come.
func (s *stage) clientBytes() int64 {
	sum := int64(0)
	_ = fs.WalkDir(s.folder.root.FS(), path.Join(s.dir, clientDir), func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // renamed since it was listed
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			if stat, ok := info.Sys().(*syscall.Stat_t); ok {
				sum += min(stat.Blocks*512, info.Size())
			}
		}
		return nil
	})
	return sum
}

// tail keeps the end of what a program writes.
type tail struct{ text []byte }

const keptTail = 4096

func (t *tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p...)
	t.text = bytes.Clone(t.text[max(0, len(t.text)-keptTail):])
	return len(p), nil
}

// lastLine is the last line that says something, without the secret and without what a terminal would obey.
func (t *tail) lastLine(secret string) string {
	last := "it said nothing"
	for line := range strings.Lines(string(t.text)) {
		line = strings.TrimSpace(strings.Map(printable, line))
		if line != "" && !strings.HasPrefix(line, "Hint:") {
			last = line
		}
	}
	if secret != "" {
		last = strings.ReplaceAll(last, secret, "(token)")
	}
	return last
}

func printable(r rune) rune {
	if r < ' ' && r != '\t' || r == 0x7f || r >= 0x80 && r < 0xa0 {
		return -1
	}
	return r
}

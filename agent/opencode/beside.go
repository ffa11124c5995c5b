package opencode

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/tailscale/hujson"
)

// broken refuses for each file that OpenCode reads together with ours and cannot: it would not start (line and column are what it
// says as well), and whoever just ran apply would look for the fault there.
func (p Place) broken(c Changes) ([]*Refused, error) {
	var all []*Refused
	for _, path := range p.merged {
		if slices.ContainsFunc(c.Files, func(f Change) bool { return f.Path == path }) {
			continue
		}
		src, err := readBeside(path)
		var no *Refused
		if errors.As(err, &no) {
			all = append(all, no)
			continue
		}
		if err != nil {
			return all, err
		}
		if at, err := faultIn(src); err != nil {
			all = append(all, refuse(path, "mend it first; nothing was written",
				"%s%s: OpenCode reads this file as well and would not start: %v", path, at, err))
		}
	}
	return all, nil
}

// readBeside reads a file that may be a link, may be absent, and is not ours.
func readBeside(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, nil
	}
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		return nil, refuse(path, "move it away", "%s is %s, and OpenCode would read it as a file", path, noun(info.Mode()))
	case info.Size() > maxFile:
		return nil, refuse(path, "move it away", "%s has %d bytes: that is no configuration, and OpenCode would read it as well", path, info.Size())
	}
	var src []byte
	if err == nil {
		src, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read %s, which OpenCode reads as well: %w", path, cause(err))
	}
	return src, nil
}

var (
	hujsonPlace = regexp.MustCompile(`^hujson: line (\d+), column (\d+): `)
	variable    = regexp.MustCompile(`\{(env|file):[^}\n]+\}`)
	bom         = []byte("\xef\xbb\xbf")
)

// plainly is a configuration as OpenCode parses it: variables are put in before, so that one may stand where a number should, and
// a byte order mark is dropped. Each place keeps its line and column.
func plainly(src []byte) []byte {
	return variable.ReplaceAllFunc(bytes.TrimPrefix(src, bom), func(v []byte) []byte {
		return append([]byte("0"), bytes.Repeat([]byte(" "), len(v)-1)...)
	})
}

// ended is a configuration without a byte order mark and with an end of its last line: a comment without one is an error to hujson.
func ended(src []byte) []byte { return append(bytes.Clone(bytes.TrimPrefix(src, bom)), '\n') }

// faultIn says where and why OpenCode cannot read a configuration. An empty file is none to it, and no fault.
func faultIn(src []byte) (at string, err error) {
	if len(src) == 0 {
		return "", nil
	}
	src = plainly(src)
	v, err := hujson.Parse(src)
	if err != nil { // tried apart: it would move the place of what is missing at the end
		if whole, e := hujson.Parse(ended(src)); e == nil {
			v, err = whole, nil
		}
	}
	if err == nil {
		if _, ok := v.Value.(*hujson.Object); !ok {
			return ":1:1", errors.New("it is not an object")
		}
		return "", nil
	}
	text := err.Error()
	if m := hujsonPlace.FindStringSubmatch(text); m != nil {
		return ":" + m[1] + ":" + m[2], errors.New(strings.TrimPrefix(text, m[0]))
	}
	return "", err
}

// oldPlugin refuses for each file of an earlier oh-my-opencode: at its start the plugin would move it into the file that is to be
// written, and rewrite that.
func (p Place) oldPlugin() []*Refused {
	var all []*Refused
	for _, path := range p.old {
		if isThere(path) {
			all = append(all, refuse(path, fmt.Sprintf("mv %s %s.old   or leave `--with-omo` out", path, path),
				"%s is in the way: oh-my-opencode would move it into %s at its next start", path, filepath.Join("~", ".omo", "omo.jsonc")))
		}
	}
	return all
}

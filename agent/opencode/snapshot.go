package opencode

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// maxFile bounds what is read, and so what is kept: a configuration has a few kilobytes.
const maxFile = 4 << 20

// Snapshot is a file at one time.
type Snapshot struct {
	Exists bool        `json:"exists"`
	Mode   fs.FileMode `json:"mode,omitempty"` // permission bits
	SHA256 string      `json:"sha256,omitempty"`
	Data   []byte      `json:"data,omitempty"`
}

func snapshotOf(data []byte, mode fs.FileMode) Snapshot {
	sum := sha256.Sum256(data)
	return Snapshot{Exists: true, Mode: mode, SHA256: hex.EncodeToString(sum[:]), Data: data}
}

// is tells whether both have the same bytes, or both are absent. The mode is not looked at: whoever narrows it has edited
// nothing.
func (s Snapshot) is(other Snapshot) bool {
	return s.Exists == other.Exists && bytes.Equal(s.Data, other.Data)
}

// check finds what a Snapshot that was read from a disk cannot be.
func (s Snapshot) check() error {
	switch {
	case !s.Exists && (s.Mode != 0 || s.SHA256 != "" || len(s.Data) > 0):
		return errors.New("a file that was not there has bytes")
	case !s.Exists:
		return nil
	case s.Mode&^fs.ModePerm != 0:
		return fmt.Errorf("mode %o has more than permission bits", uint32(s.Mode))
	case snapshotOf(s.Data, s.Mode).SHA256 != s.SHA256:
		return errors.New("bytes and hash do not belong together")
	}
	return nil
}

// snapshotAt reads what is at path. A symbolic link is not followed: it is no file of ours, and what it leads to is somebody's.
func snapshotAt(path string) (Snapshot, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Snapshot{}, nil
	}
	if err != nil {
		return Snapshot{}, fmt.Errorf("cannot look at %s: %w", path, cause(err))
	}
	if !info.Mode().IsRegular() {
		return Snapshot{}, refuse(path, "move it away, or put a file in its place", "%s is %s, not a file", path, noun(info.Mode()))
	}
	if info.Size() > maxFile {
		return Snapshot{}, refuse(path, "move it away", "%s has %d bytes: that is no configuration", path, info.Size())
	}
	// Between the look and this a link may have come: O_NOFOLLOW keeps to what was looked at.
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return Snapshot{}, fmt.Errorf("cannot read %s: %w", path, cause(err))
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return Snapshot{}, fmt.Errorf("cannot read %s: %w", path, cause(err))
	}
	return snapshotOf(data, info.Mode().Perm()), nil
}

func noun(m fs.FileMode) string {
	switch {
	case m&fs.ModeSymlink != 0:
		return "a symbolic link"
	case m.IsDir():
		return "a directory"
	}
	return "a device, a pipe or a socket"
}

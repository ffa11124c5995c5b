package hub

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

// staging is the folder in which files wait until their model is whole. It is in the model folder, so that a rename brings
// them to their place, and no name of a model begins with a dot.
const staging = ".tierd-pull"

// Folder is a model folder that can be written to. Everything in it is opened below an os.Root: neither a hub's names nor
// links lead out of it.
type Folder struct {
	Path string // absolute
	root *os.Root
}

// OpenFolder opens a folder that is there.
func OpenFolder(dir string) (*Folder, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &Folder{Path: dir, root: root}, nil
}

// Close lets go of it.
func (f *Folder) Close() error { return f.root.Close() }

// Mine tells whether the folder is of who runs this process. In one of another user's a program that follows links could be
// led elsewhere.
func (f *Folder) Mine() bool {
	info, err := f.root.Stat(".")
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}

// Room is what is free in the folder's file system for this user, and what should stay free of it: 5 % of its size, at most
// 5 GiB, since a full disk stops more than a download.
func (f *Folder) Room() (free, reserve int64, err error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(f.Path, &s); err != nil {
		return 0, 0, fmt.Errorf("cannot tell how much is free in %s: %w", f.Path, err)
	}
	return int64(s.Bavail) * s.Bsize, min(int64(s.Blocks)*s.Bsize/20, 5<<30), nil
}

// stage is where the files of one repository wait.
type stage struct {
	folder *Folder
	repo   string
	dir    string // below the folder
	lock   *os.File
}

// ErrBusy: another pull of the same repository is at work.
var ErrBusy = errors.New("another pull of it is at work")

// stage opens a repository's staging folder for this process alone, until close.
func (f *Folder) stage(repo string) (*stage, error) {
	s := &stage{folder: f, repo: repo, dir: path.Join(staging, strings.ReplaceAll(repo, "/", "--"))}
	if err := f.makeDirs(s.dir); err != nil {
		return nil, err
	}
	lock, err := f.root.OpenFile(path.Join(s.dir, "lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	// A lock of the kernel's: it ends with the process, however that ends. The file stays, since who has opened it may
	// wait for a lock on a file that is gone.
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, ErrBusy
		}
		return nil, err
	}
	s.lock = lock
	return s, nil
}

func (s *stage) close() error { return s.lock.Close() }

// whole is the path of a file that came and has the right checksum; part that of one on its way.
func (s *stage) whole(f File) string { return path.Join(s.dir, f.Sum.key()) }
func (s *stage) part(f File) string  { return s.whole(f) + ".part" }

// final is where a file of the repository belongs.
func (s *stage) final(f File) string { return path.Join(s.repo, f.Path) }

// size is that of a plain file in the folder; -1: it is not there.
func (s *stage) size(at string) int64 {
	info, err := s.folder.root.Lstat(at)
	if err != nil || !info.Mode().IsRegular() {
		return -1
	}
	return info.Size()
}

// tidy removes what an earlier run left of files that the repository does not have any more, and tells of how many.
func (s *stage) tidy(all []File) (int, error) {
	keep := map[string]bool{"lock": true, recordFile: true, clientDir: true}
	for _, f := range all {
		keep[path.Base(s.whole(f))], keep[path.Base(s.part(f))] = true, true
	}
	dir, err := s.folder.root.Open(s.dir)
	if err != nil {
		return 0, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return 0, err
	}
	gone := 0
	for _, name := range names {
		if !keep[name] {
			if err := s.folder.root.RemoveAll(path.Join(s.dir, name)); err != nil {
				return gone, err
			}
			gone++
		}
	}
	return gone, nil
}

// makeDirs makes a folder and those above it, for other users to look into whatever the umask: tiers run as other users.
func (f *Folder) makeDirs(dir string) error {
	for i, c := range dir + "/" {
		if c != '/' {
			continue
		}
		err := f.root.Mkdir(dir[:i], 0o755)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err == nil {
			err = f.root.Chmod(dir[:i], 0o755)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// equals reads a file of the folder and compares it with a checksum.
func (f *Folder) equals(at string, file File, stop func(io.Reader) io.Reader) (bool, error) {
	r, err := f.root.Open(at)
	if err != nil {
		return false, err
	}
	defer r.Close()
	return file.Sum.matches(stop(r), file.Size)
}

package rocm

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// maxRecording is what a recording may hold, in bytes; one of a busy host holds half a MiB.
const maxRecording = 64 << 20

// OpenPath reads the host under a folder, as Open, or the one in a recording, as OpenRecording.
func OpenPath(name string) (*Host, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return Open(name), nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h, err := OpenRecording(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return h, nil
}

// OpenRecording reads the host as Record saw it. A Snapshot of it says what the one said that was recorded.
func OpenRecording(r io.Reader) (*Host, error) {
	a, err := readArchive(r)
	if err != nil {
		return nil, fmt.Errorf("not a recording of a host: %w", err)
	}
	return newHost(a), nil
}

// archive is a recording in memory: nothing of it is written to disk, so the names in it can do no harm.
type archive struct {
	files  map[string][]byte
	errors map[string]error
	dirs   map[string][]string // sorted
}

func readArchive(r io.Reader) (*archive, error) {
	zip, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	a := &archive{files: map[string][]byte{}, errors: map[string]error{}, dirs: map[string][]string{}}
	limited := &io.LimitedReader{R: zip, N: maxRecording}
	err = a.unpack(tar.NewReader(limited))
	switch {
	case limited.N == 0:
		return nil, errors.New("holds more than " + strconv.Itoa(maxRecording>>20) + " MiB")
	case err != nil:
		return nil, err
	}
	return a, a.finish()
}

func (a *archive) unpack(in *tar.Reader) error {
	for {
		h, err := in.Next()
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case h.Typeflag == tar.TypeDir: // when it was unpacked and packed again
		case h.Typeflag != tar.TypeReg:
			return fmt.Errorf("%s is not a file", quote(h.Name))
		default:
			data, err := io.ReadAll(in)
			if err != nil {
				return err
			}
			name := path.Clean(h.Name)
			a.files[name] = data
			a.enter(name)
		}
	}
}

// finish takes the errors from the manifest, and sorts.
func (a *archive) finish() error {
	if a.files[manifestName] == nil {
		return errors.New("has no " + manifestName)
	}
	var m manifest
	if err := json.Unmarshal(a.files[manifestName], &m); err != nil {
		return fmt.Errorf("%s: %w", manifestName, err)
	}
	if m.Version != 1 {
		return fmt.Errorf("is of version %d, made by another tierctl; this one reads version 1", m.Version)
	}
	for _, e := range m.Errors {
		name := path.Clean(e.File)
		a.errors[name] = e.error()
		a.enter(name)
	}
	for dir, names := range a.dirs {
		slices.Sort(names)
		a.dirs[dir] = slices.Compact(names)
	}
	return nil
}

// enter adds a file to its folder, and that to its own.
func (a *archive) enter(name string) {
	for name != "." && name != "/" {
		parent, base := path.Dir(name), path.Base(name)
		_, known := a.dirs[parent]
		a.dirs[parent] = append(a.dirs[parent], base)
		if known { // and so is the rest of the way up
			return
		}
		name = parent
	}
}

func (a *archive) read(name string, max int) ([]byte, error) {
	if err := a.errors[name]; err != nil {
		return nil, err
	}
	data, ok := a.files[name]
	switch {
	case !ok:
		return nil, unix.ENOENT
	case len(data) > max:
		return nil, tooLarge(max)
	}
	return data, nil
}

func (a *archive) list(name string) ([]string, error) {
	if err := a.errors[name]; err != nil {
		return nil, err
	}
	names, ok := a.dirs[name]
	if !ok {
		return nil, unix.ENOENT
	}
	return names, nil
}

func (a *archive) processes() ([]process, error) {
	names, err := a.list("proc")
	if err != nil {
		return nil, err
	}
	var found []process
	for _, pid := range names {
		p := process{pid: pid, hidden: a.errors["proc/"+pid+"/fd"]}
		for _, fd := range a.dirs["proc/"+pid+"/fdinfo"] {
			// Nothing hangs here, so each file stands alone: which ones were of one card is not recorded.
			p.files = append(p.files, gpuFile{node: fd, fd: fd})
		}
		if isNumber(pid) && (p.hidden != nil || len(p.files) > 0) {
			found = append(found, p)
		}
	}
	return found, nil
}

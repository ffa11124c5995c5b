package rocm

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/rocm/rocmtest"
)

// equal compares two Snapshots but for their time.
func equal(t *testing.T, got, want Snapshot) {
	t.Helper()
	text := func(s Snapshot) string { return fmt.Sprint(s.Problems) }
	if text(got) != text(want) {
		t.Errorf("problems are\n%v\nwant\n%v", text(got), text(want))
	}
	got.Time, want.Time, got.Problems, want.Problems = time.Time{}, time.Time{}, nil, nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", show(&got), show(&want))
	}
}

// record returns a recording of root and the host in it.
func record(t *testing.T, root string) ([]byte, *Host) { return recordFrom(t, host(root)) }

func recordFrom(t *testing.T, from *Host) ([]byte, *Host) {
	t.Helper()
	var file bytes.Buffer
	if err := from.record(context.Background(), &file); err != nil {
		t.Fatal(err)
	}
	h, err := OpenRecording(bytes.NewReader(file.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	return file.Bytes(), h
}

func TestARecordingSaysWhatItsHostSaid(t *testing.T) {
	for _, tree := range rocmtest.Trees {
		t.Run(tree, func(t *testing.T) {
			root := rocmtest.Unpack(t, tree)
			_, h := record(t, root)
			equal(t, h.Snapshot(context.Background()), host(root).Snapshot(context.Background()))
		})
	}
	t.Run("links to GPU files", func(t *testing.T) {
		root := busyHost(t, 101)
		_, h := record(t, root)
		s := h.Snapshot(context.Background())
		equal(t, s, host(root).Snapshot(context.Background()))
		if len(s.Clients) != 2 || !s.ClientsComplete {
			t.Errorf("%d clients, complete: %v", len(s.Clients), s.ClientsComplete)
		}
	})
}

// TestARecordingOfATroubledHost has each kind of problem: nonsense, too much, a folder for a file, a process that may not be
// looked into and a read that hangs.
func TestARecordingOfATroubledHost(t *testing.T) {
	root := rocmtest.Unpack(t, "gtt120")
	write(t, root, "proc/swaps", "nonsense\n")
	write(t, root, "proc/cmdline", strings.Repeat("x", maxFile+1))
	replace(t, root, "sys/class/drm/card1/device/mem_info_vram_used", os.Mkdir)
	replace(t, root, "proc/4520/fdinfo", func(path string, _ os.FileMode) error { return os.Symlink(path, path) }) // a loop
	replace(t, root, "proc/4402/fdinfo/27", func(path string, _ os.FileMode) error { return unix.Mkfifo(path, 0o600) })
	defer release(t, filepath.Join(root, "proc/4402/fdinfo/27"), 2)
	_, h := recordFrom(t, hasty(root))
	s := h.Snapshot(context.Background())
	equal(t, s, hasty(root).Snapshot(context.Background()))
	for _, file := range []string{"/proc/swaps", "/proc/cmdline", "/sys/class/drm/card1/device/mem_info_vram_used", "/proc", "/proc/4402/fdinfo/27"} {
		if !slices.ContainsFunc(s.Problems, func(p Problem) bool { return p.File == file }) {
			t.Errorf("no problem with %s in %v", file, s.Problems)
		}
	}
}

// replace puts something else where a file or folder was.
func replace(t *testing.T, root, name string, make func(string, os.FileMode) error) {
	t.Helper()
	path := filepath.Join(root, name)
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	if err := make(path, 0o755); err != nil {
		t.Fatal(err)
	}
}

// TestARecordingHoldsWhatWasReadAndNoMore lets the kernel tell which files a Snapshot opens.
func TestARecordingHoldsWhatWasReadAndNoMore(t *testing.T) {
	for _, tree := range []string{"gtt120", "carve96", "nonamd"} {
		root := rocmtest.Unpack(t, tree)
		opened := watch(t, root)
		host(root).Snapshot(context.Background())
		want := opened()
		file, _ := record(t, root)
		files := contents(t, file)
		delete(files, manifestName)
		if got := slices.Sorted(maps.Keys(files)); !slices.Equal(got, want) {
			t.Errorf("%s: recorded are\n%s\nread were\n%s", tree, got, want)
		}
		for name, data := range files {
			if there, err := os.ReadFile(filepath.Join(root, name)); err != nil || !bytes.Equal(there, data) {
				t.Errorf("%s: %s is not what is on disk (%v)", tree, name, err)
			}
			if base := filepath.Base(name); base == "environ" || base == "cmdline" && name != "proc/cmdline" {
				t.Errorf("%s: %s is in the recording", tree, name)
			}
		}
	}
}

// contents are the files of a recording.
func contents(t *testing.T, recording []byte) map[string][]byte {
	t.Helper()
	zip, err := gzip.NewReader(bytes.NewReader(recording))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for in := tar.NewReader(zip); ; {
		h, err := in.Next()
		if err == io.EOF {
			return files
		} else if err != nil {
			t.Fatal(err)
		}
		if files[h.Name], err = io.ReadAll(in); err != nil {
			t.Fatal(err)
		}
	}
}

// watch has inotify look at every folder under root. What it returns names the files that were opened since.
func watch(t *testing.T, root string) (opened func() []string) {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	folders := map[int32]string{}
	err = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		w, err := unix.InotifyAddWatch(fd, path, unix.IN_OPEN)
		rel, _ := filepath.Rel(root, path)
		folders[int32(w)] = rel
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return func() []string {
		found := map[string]bool{}
		buf := make([]byte, 1<<20)
		for {
			n, err := unix.Read(fd, buf)
			if err == unix.EAGAIN {
				return slices.Sorted(maps.Keys(found))
			} else if err != nil {
				t.Fatal(err)
			}
			for at := 0; at < n; {
				e := (*unix.InotifyEvent)(unsafe.Pointer(&buf[at]))
				name := string(bytes.TrimRight(buf[at+unix.SizeofInotifyEvent:at+unix.SizeofInotifyEvent+int(e.Len)], "\x00"))
				if e.Mask&unix.IN_ISDIR == 0 {
					found[filepath.Join(folders[e.Wd], name)] = true
				}
				at += unix.SizeofInotifyEvent + int(e.Len)
			}
		}
	}
}

func TestRecordOfThisMachine(t *testing.T) {
	var file bytes.Buffer
	if err := Record(context.Background(), "/", &file); err != nil {
		t.Fatal(err)
	}
	h, err := OpenRecording(bytes.NewReader(file.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if s := h.Snapshot(context.Background()); s.Memory.MemTotal == nil || s.Kernel.Release == "" {
		t.Errorf("got %s", show(&s))
	}
	stopped, stop := context.WithCancel(context.Background())
	stop()
	if err := Record(stopped, "/", &file); !errors.Is(err, context.Canceled) {
		t.Errorf("of one who gave up: %v", err)
	}
	if err := Record(context.Background(), "/", full{}); !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "cannot write the recording") {
		t.Errorf("on a full disk: %v", err)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, unix.ENOSPC }

func TestOpenPathTakesAFolderOrARecording(t *testing.T) {
	root := rocmtest.Unpack(t, "gtt120")
	file := filepath.Join(t.TempDir(), "host.tar.gz")
	recording, _ := record(t, root)
	if err := os.WriteFile(file, recording, 0o644); err != nil {
		t.Fatal(err)
	}
	a, err := OpenPath(root)
	if err != nil {
		t.Fatal(err)
	}
	b, err := OpenPath(file)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, b.Snapshot(context.Background()), a.Snapshot(context.Background()))
	for name, text := range map[string]string{filepath.Join(root, "proc/meminfo"): "gzip", filepath.Join(root, "none"): "no such file"} {
		if _, err := OpenPath(name); err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// pack makes a .tar.gz of files; what ends in / is a folder, in -> a link.
func pack(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	out := tar.NewWriter(zip)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		h := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(files[name])), Typeflag: tar.TypeReg}
		if dir := strings.HasSuffix(name, "/"); dir {
			h.Typeflag = tar.TypeDir
		} else if link, ok := strings.CutSuffix(name, "->"); ok {
			h.Name, h.Typeflag, h.Linkname, h.Size = link, tar.TypeSymlink, files[name], 0
		}
		if err := out.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := out.Write([]byte(files[name])); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestOpenRecordingRefuses(t *testing.T) {
	const good = `{"version": 1}`
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"what is not compressed":            {[]byte("hello, I am no archive"), "gzip"},
		"an archive of something else":      {pack(t, map[string]string{"a": "b"}), "has no recording.json"},
		"a recording cut short":             {pack(t, map[string]string{manifestName: good, "proc/meminfo": "x"})[:60], "unexpected EOF"},
		"a later version":                   {pack(t, map[string]string{manifestName: `{"version": 2}`}), "version 2"},
		"a manifest that makes no sense":    {pack(t, map[string]string{manifestName: `[]`}), manifestName},
		"a link":                            {pack(t, map[string]string{manifestName: good, "proc/meminfo->": "/etc/shadow"}), "is not a file"},
		"more than fits a recording (bomb)": {pack(t, map[string]string{manifestName: good, "x": strings.Repeat("0", maxRecording)}), "64 MiB"},
	} {
		if _, err := OpenRecording(bytes.NewReader(c.data)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestARecordingMayBeUnpackedAndPackedAgain(t *testing.T) {
	h, err := OpenRecording(bytes.NewReader(pack(t, map[string]string{
		"./": "", "./proc/": "", "./" + manifestName: `{"version": 1}`, "./proc/meminfo": "MemTotal: 1 kB\n",
		"../../outside": "is of no use and does no harm",
	})))
	if err != nil {
		t.Fatal(err)
	}
	if s := h.Snapshot(context.Background()); s.Memory.MemTotal == nil || *s.Memory.MemTotal != 1024 || len(s.Problems) > 0 {
		t.Errorf("got %+v", s)
	}
}

func FuzzOpenRecording(f *testing.F) {
	unzip := func(data []byte) []byte {
		zip, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			f.Fatal(err)
		}
		text, err := io.ReadAll(zip)
		if err != nil {
			f.Fatal(err)
		}
		return text
	}
	f.Add(unzip(pack(f, map[string]string{manifestName: `{"version": 1}`, "proc/meminfo": "MemTotal: 1 kB\n"})))
	f.Add(unzip(pack(f, map[string]string{manifestName: `{"version": 1, "errors": [{"file": "proc/7/fd", "errno": 13}]}`, "proc/8/fdinfo/1": client})))
	f.Fuzz(func(t *testing.T, data []byte) {
		var file bytes.Buffer
		zip := gzip.NewWriter(&file)
		zip.Write(data)
		zip.Close()
		if h, err := OpenRecording(&file); err == nil {
			h.Snapshot(t.Context())
		}
	})
}

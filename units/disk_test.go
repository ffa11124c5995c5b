package units

import (
	"io/fs"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/fstest"

	"pgregory.net/rapid"
)

// failingFS is a disk on which one operation, or each from some point on, fails.
type failingFS struct {
	fstest.MapFS
	left  *atomic.Int64 // operations that still succeed
	after bool          // whether those after the one that failed succeed again
	err   error
}

func (f failingFS) try(op, name string) error {
	if n := f.left.Add(-1); n == -1 || n < 0 && !f.after {
		return &fs.PathError{Op: op, Path: name, Err: f.err}
	}
	return nil
}

func (f failingFS) Open(name string) (fs.File, error) {
	if err := f.try("open", name); err != nil {
		return nil, err
	}
	return f.MapFS.Open(name)
}

func (f failingFS) ReadDir(name string) ([]fs.DirEntry, error) {
	if err := f.try("readdir", name); err != nil {
		return nil, err
	}
	return f.MapFS.ReadDir(name)
}

func (f failingFS) Lstat(name string) (fs.FileInfo, error) {
	if err := f.try("lstat", name); err != nil {
		return nil, err
	}
	return f.MapFS.Lstat(name)
}

func (f failingFS) ReadLink(name string) (string, error) {
	if err := f.try("readlink", name); err != nil {
		return "", err
	}
	return f.MapFS.ReadLink(name)
}

// everything is a host on which all that base names is there, the model of the coder behind links.
func everything() fstest.MapFS {
	disk := shelf()
	disk["usr/bin/llama-server"], disk["opt/vllm/bin/vllm"] = program(), program()
	disk["etc/credstore.encrypted/cloud-key"] = file(1)
	disk["models/small.gguf"] = file(70)
	disk["models/org/big"] = link("/disk/plain")
	return disk
}

// A disk that fails in the middle, or may not be looked at, costs what is on it and nothing else.
func TestADiskThatFailsBlocksUnitsAndLosesNone(t *testing.T) {
	c := parse(t, base)
	whole, faults := MakePlan(c, Host{FS: everything()})
	if len(faults) > 0 {
		t.Fatalf("with everything there: %s", lines(faults))
	}
	for _, err := range []error{syscall.EIO, syscall.EACCES, fs.ErrNotExist} {
		for _, after := range []bool{false, true} {
			for n := range int64(120) {
				left := &atomic.Int64{}
				left.Store(n)
				p, faults := MakePlan(c, Host{FS: failingFS{everything(), left, after, err}})
				if len(p.Units) != len(whole.Units) {
					t.Fatalf("%v at operation %d: %d units", err, n, len(p.Units))
				}
				blocked := 0
				for i, u := range p.Units {
					if u.Blocked == "" {
						continue
					}
					blocked++
					if u.Name != whole.Units[i].Name || u.BlockClass == "" || u.Hash == whole.Units[i].Hash {
						t.Errorf("%v at operation %d: %s is blocked (%s) and has the hash %s", err, n, u.Name, u.BlockClass, u.Hash)
					}
				}
				if len(faults) < blocked {
					t.Errorf("%v at operation %d: %d blocked units and %d warnings", err, n, blocked, len(faults))
				}
			}
		}
	}
}

// The agent makes the plan again from the same Config, and several clients may ask it to at the same time.
func TestAPlanLeavesItsConfigAlone(t *testing.T) {
	c, untouched := parse(t, base), parse(t, base)
	disk := everything()
	want, _ := MakePlan(c, Host{FS: disk})
	var plans sync.WaitGroup
	for range 4 {
		plans.Go(func() {
			got, faults := MakePlan(c, Host{FS: disk})
			if len(faults) > 0 || !reflect.DeepEqual(got.Units, want.Units) {
				t.Errorf("another plan of the same differs: %s", lines(faults))
			}
		})
	}
	plans.Wait()
	if !reflect.DeepEqual(c, untouched) {
		t.Error("a plan changed its configuration")
	}
}

func TestAPlanMadeAgainIsThatOfAFreshStart(t *testing.T) {
	names := []string{"usr/bin/llama-server", "opt/vllm/bin/vllm", "etc/credstore.encrypted/cloud-key", "models/small.gguf", "models/org/big"}
	rapid.Check(t, func(t *rapid.T) {
		c, _ := ParseConfig("f", []byte(base))
		disk := everything()
		for _, name := range names {
			if rapid.Bool().Draw(t, name) {
				delete(disk, name)
			}
		}
		before, _ := MakePlan(c, Host{FS: disk})
		for _, name := range names { // some of it comes, some goes
			if rapid.Bool().Draw(t, "then "+name) {
				disk[name] = everything()[name]
			}
		}
		again, faults := MakePlan(c, Host{FS: disk})
		fresh, _ := ParseConfig("f", []byte(base))
		want, wantFaults := MakePlan(fresh, Host{FS: disk})
		if !reflect.DeepEqual(again.Units, want.Units) || lines(faults) != lines(wantFaults) {
			t.Fatalf("%s\nwant\n%s", lines(faults), lines(wantFaults))
		}
		for i, u := range again.Units {
			if old := before.Units[i]; (u.Blocked != old.Blocked) && u.Hash == old.Hash {
				t.Fatalf("%s went from %q to %q and is the same unit", u.Name, old.Blocked, u.Blocked)
			}
		}
	})
}

func TestWhatAModelTakesOnDisk(t *testing.T) {
	for _, row := range []struct {
		rule, at string
		want     Bytes
	}{
		{"a file", "/models/some/small.gguf", 70},
		{"a split file is all its parts, and not those of another split", "/models/split-00001-of-00003.gguf", 60},
		{"a later part is itself", "/models/split-00002-of-00003.gguf", 20},
		{"a folder is its weights", "/models/org/plain", 300},
		{"without safetensors it is whatever lies there", "/models/org/repo-GGUF", 40},
		{"behind links the weights count, not the links", cached + "/snapshots/abc123", 300},
	} {
		m, ok := tree{shelf()}.plainModel(row.at)
		if !ok || m.size != row.want {
			t.Errorf("%s: %d, %v, want %d", row.rule, m.size, ok, row.want)
		}
	}
}

func TestTheRootItselfCanBeLookedAt(t *testing.T) {
	h := tree{fstest.MapFS{"a": file(1), "b": link("/")}}
	for _, at := range []string{"/", "/..", "/b", "/b/b/../b"} {
		if info, real, err := h.stat(at); err != nil || real != "/" || !info.IsDir() {
			t.Errorf("%s: %q, %v", at, real, err)
		}
		if got := strings.Join(h.list(at), " "); got != "a b" {
			t.Errorf("%s holds %q", at, got)
		}
	}
	for _, at := range []string{"/a/x", "/nowhere", "/a"} {
		if got := h.list(at); got != nil {
			t.Errorf("%s holds %q", at, got)
		}
	}
	if _, err := h.readFile("/nowhere"); err == nil {
		t.Error("a file that is not there was read")
	}
}

// failingDisk is the same with models that can be summed up.
type failingDisk struct {
	disk
	ops failingFS
}

func (f failingDisk) Open(name string) (fs.File, error) {
	if err := f.ops.try("open", name); err != nil {
		return nil, err
	}
	return f.disk.Open(name)
}

func (f failingDisk) Lstat(name string) (fs.FileInfo, error) {
	if err := f.ops.try("lstat", name); err != nil {
		return nil, err
	}
	return f.disk.Lstat(name)
}

// A unit that is not blocked has a charge, whenever the disk fails: a charge of nothing would be admitted always.
func TestADiskThatFailsNeverMakesAUnitWithoutACharge(t *testing.T) {
	c := parse(t, edit(t, coderMemory, "", utilityMemory, ""))
	h := sizedWith(qwen3B.folder("BF16", 2), qwen3B.gguf(q4KM, 15))
	whole := h.FS.(disk)
	want, faults := MakePlan(c, h)
	if len(faults) > 0 {
		t.Fatal(lines(faults))
	}
	for _, err := range []error{syscall.EIO, syscall.EACCES, fs.ErrNotExist} {
		for _, after := range []bool{false, true} {
			for n := range int64(150) {
				left := &atomic.Int64{}
				left.Store(n)
				p, _ := MakePlan(c, Host{FS: failingDisk{whole, failingFS{left: left, after: after, err: err}}})
				for i, u := range p.Units {
					if u.Blocked == "" && u.Charge != want.Units[i].Charge {
						t.Fatalf("%v at operation %d: %s is not blocked and takes %s", err, n, u.Name, u.Charge)
					}
				}
			}
		}
	}
}

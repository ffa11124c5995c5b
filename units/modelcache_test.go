package units

import (
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// countingFS counts the files that are opened.
type countingFS struct {
	disk
	opened *atomic.Int64
	fail   *atomic.Bool
}

func (c countingFS) Open(name string) (fs.File, error) {
	if name != "m" && name != "." {
		c.opened.Add(1)
		if c.fail.Load() {
			return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.EIO}
		}
	}
	return c.disk.Open(name)
}

func counting(huge map[string]hugeFile) countingFS {
	return countingFS{newDisk(nil, huge), new(atomic.Int64), new(atomic.Bool)}
}

func TestAModelIsReadOnceUntilItChanges(t *testing.T) {
	disk := counting(map[string]hugeFile{"m.gguf": ggufOf(small(), smallTensors...), "broken.gguf": {nil, 100}})
	h, cache := tree{disk}, new(ModelCache)
	read := func(at string) (*modelFacts, error) { return cache.facts(h, at, KindLlama) }
	first, err := read("/m.gguf")
	if err != nil {
		t.Fatal(err)
	}
	before := disk.opened.Load()
	if again, err := read("/m.gguf"); again != first || err != nil || disk.opened.Load() != before {
		t.Errorf("it was read again: %v, %d files", err, disk.opened.Load()-before)
	}
	disk.MapFS["m.gguf"].ModTime = time.Now()
	if again, err := read("/m.gguf"); again == first || err != nil || disk.opened.Load() != before+1 {
		t.Errorf("a new file was not read: %v", err)
	}
	// The same fault comes of the same file, too.
	_, err = read("/broken.gguf")
	before = disk.opened.Load()
	if _, again := read("/broken.gguf"); again != err || err == nil || disk.opened.Load() != before {
		t.Errorf("%v, then %v", err, again)
	}
}

func TestADiskThatFailsIsLookedAtAgain(t *testing.T) {
	disk := counting(map[string]hugeFile{"m.gguf": ggufOf(small(), smallTensors...)})
	disk.fail.Store(true)
	cache := new(ModelCache)
	if _, err := cache.facts(tree{disk}, "/m.gguf", KindLlama); err == nil || err.Error() != "the model: it cannot be read: input/output error" {
		t.Errorf("got %v", err)
	}
	disk.fail.Store(false)
	if _, err := cache.facts(tree{disk}, "/m.gguf", KindLlama); err != nil {
		t.Errorf("a disk that is well again: %v", err)
	}
}

func TestOnlySoManyModelsAreKept(t *testing.T) {
	huge := map[string]hugeFile{}
	for i := range maxKept + 10 {
		huge[fmt.Sprintf("m%d.gguf", i)] = ggufOf(small(), smallTensors...)
	}
	disk, cache := counting(huge), new(ModelCache)
	read := func(i int) int64 {
		before := disk.opened.Load()
		if _, err := cache.facts(tree{disk}, fmt.Sprintf("/m%d.gguf", i), KindLlama); err != nil {
			t.Fatal(err)
		}
		return disk.opened.Load() - before
	}
	for i := range maxKept + 10 {
		read(i)
		read(0) // asked for all the time
	}
	if len(cache.kept) != maxKept {
		t.Errorf("%d are kept", len(cache.kept))
	}
	if read(0) != 0 || read(maxKept+9) != 0 || read(1) != 1 {
		t.Error("the one that was not asked for the longest goes first")
	}
}

func TestPlansShareACache(t *testing.T) {
	h := sized()
	c := parse(t, edit(t, coderMemory, "", utilityMemory, ""))
	want, _ := MakePlan(c, h)
	var plans sync.WaitGroup
	for range 8 {
		plans.Go(func() {
			for range 5 {
				p, faults := MakePlan(c, h)
				for i, u := range p.Units {
					if u.Charge != want.Units[i].Charge || u.Hash != want.Units[i].Hash {
						t.Errorf("%s: %+v", u.Name, u.Charge)
					}
				}
				if len(faults) > 0 {
					t.Error(lines(faults))
				}
			}
		})
	}
	plans.Wait()
}

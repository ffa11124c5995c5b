package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tierd/tierd/rocm"
)

const someMeminfo = "MemTotal:       131072000 kB\nMemFree:         1000000 kB\nMemAvailable:   98304000 kB\nSwapTotal:       8388604 kB\n" +
	"SwapFree:        4194304 kB\nHugePages_Total:       0\nCmaTotal:         524288 kB\nCmaFree:          262144 kB\n"

func TestMeminfo(t *testing.T) {
	m, ok := parseMeminfo([]byte(someMeminfo))
	want := meminfo{total: 131072000 << 10, available: 98304000 << 10, cma: 262144 << 10, swapFree: 4 << 30, swapTotal: 8388604 << 10, hasTotal: true, hasAvailable: true}
	if !ok || m != want {
		t.Errorf("got %+v, %v", m, ok)
	}
	if m.free() != (98304000-262144)<<10 {
		t.Errorf("free is %d", m.free())
	}
	for name, text := range map[string]string{
		"without MemAvailable":          "MemTotal: 16 kB\n",
		"without MemTotal":              "MemAvailable: 16 kB\n",
		"a negative number":             "MemTotal: 16 kB\nMemAvailable: -1 kB\n",
		"another unit":                  "MemTotal: 16 MB\nMemAvailable: 1 kB\n",
		"no number":                     "MemTotal: 16 kB\nMemAvailable: kB\n",
		"a number beyond 64 bits":       "MemTotal: 16 kB\nMemAvailable: 99999999999999999999 kB\n",
		"malformed swap, which is read": "MemTotal: 16 kB\nMemAvailable: 1 kB\nSwapFree: x kB\n",
		"nothing at all":                "",
	} {
		if m, ok := parseMeminfo([]byte(text)); ok {
			t.Errorf("%s: %+v", name, m)
		}
	}
}

func TestFull(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       time.Duration
		ok         bool
	}{
		{"both lines", "some avg10=0.00 avg60=0.00 avg300=0.02 total=1204418\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=500000\n", 500 * time.Millisecond, true},
		{"the kernel has none", "some avg10=0.00 avg60=0.00 avg300=0.02 total=1204418\n", 0, false},
		{"a total that is none", "full avg10=0.00 total=many\n", 0, false},
		{"an empty file", "", 0, false},
	} {
		if got, ok := parseFull([]byte(test.text)); got != test.want || ok != test.ok {
			t.Errorf("%s: %s, %v", test.name, got, ok)
		}
	}
}

func TestHeld(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       uint64
		ok         bool
	}{
		{"page cache is given back by itself", "anon 100\nfile 5000\nkernel 30\nshmem 7\nslab_reclaimable 10\n", 127, true},
		{"before 5.18 there is no kernel", "anon 100\nshmem 7\n", 107, true},
		{"less than nothing is nothing", "anon 1\nslab_reclaimable 10\n", 0, true},
		{"without anon nothing is known", "kernel 30\n", 0, false},
		{"a number that is none", "anon 1x\n", 0, false},
		{"names that only begin like these", "anon_thp 5\nanon 1\nkernel_stack 7\n", 1, true},
	} {
		if got, ok := parseHeld([]byte(test.text)); got != test.want && ok || ok != test.ok {
			t.Errorf("%s: %d, %v", test.name, got, ok)
		}
	}
}

func TestPopulated(t *testing.T) {
	for text, want := range map[string][2]bool{
		"populated 1\nfrozen 0\n": {true, true},
		"populated 0\nfrozen 0\n": {false, true},
		"frozen 0\npopulated 1\n": {true, true},
		"frozen 0\n":              {false, false},
		"populated 2\n":           {false, false},
		"":                        {false, false},
	} {
		if up, ok := parsePopulated([]byte(text)); ok != want[1] || ok && up != want[0] {
			t.Errorf("%q: %v, %v", text, up, ok)
		}
	}
}

// put writes a file of a fake tree, in place: it may be open already, and half of it must not be seen.
func put(t testing.TB, root, path, text string) {
	t.Helper()
	path = filepath.Join(root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte(text), 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(int64(len(text))); err != nil {
		t.Fatal(err)
	}
}

// foreign tells what the kernel never writes; there the two parsers may part over what white space is.
func foreign(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return r >= 0x80 || r < ' ' && r != '\n' }) || len(text) > 4096
}

func FuzzMeminfoAgreesWithRocm(f *testing.F) {
	f.Add(someMeminfo)
	f.Add("MemTotal: 1 kB\nMemTotal: 2 kB\nMemAvailable:3 kB")
	f.Add("MemAvailable: 18014398509481983 kB\nMemTotal:  1 kB\nCmaFree: 7 kB\n")
	root := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		if foreign(text) {
			return
		}
		put(t, root, "proc/meminfo", text)
		theirs, err := rocm.Meminfo(root)
		mine, ok := parseMeminfo([]byte(text))
		if err != nil {
			return // it reads more lines, each of which may be the one
		}
		if whole := theirs.MemTotal != nil && theirs.MemAvailable != nil; whole != ok {
			t.Fatalf("rocm has %+v, this %+v, %v", theirs, mine, ok)
		}
		if !ok {
			return
		}
		if mine.free() != *theirs.Free() || mine.total != *theirs.MemTotal || mine.swapFree != orZero(theirs.SwapFree) || mine.swapTotal != orZero(theirs.SwapTotal) {
			t.Fatalf("rocm has %d of %d and swap %d of %d, this %+v", *theirs.Free(), *theirs.MemTotal, orZero(theirs.SwapFree), orZero(theirs.SwapTotal), mine)
		}
	})
}

func orZero(n *uint64) uint64 {
	if n == nil {
		return 0
	}
	return *n
}

func FuzzFullAgreesWithRocm(f *testing.F) {
	f.Add("some avg10=0.00 avg60=0.00 avg300=0.02 total=1204418\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=500\n")
	f.Add("full avg10=1 avg60=2 avg300=3\nfull avg10=1 avg60=2 avg300=3 total=4 total=5")
	root := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		if foreign(text) {
			return
		}
		put(t, root, "proc/pressure/memory", text)
		theirs := rocm.Open(root).Snapshot(context.Background()).Pressure.Memory
		mine, ok := parseFull([]byte(text))
		switch {
		case theirs == nil: // malformed, perhaps in what this does not read
		case theirs.Full == nil && ok, theirs.Full != nil && (!ok || mine != theirs.Full.Total):
			t.Fatalf("rocm has %+v, this %s, %v", theirs.Full, mine, ok)
		}
	})
}

func FuzzHeldAgreesWithRocm(f *testing.F) {
	f.Add("anon 100\nfile 5000\nkernel 30\nshmem 7\nslab_reclaimable 10\n")
	f.Add("anon 9223372036854775807\nkernel 9223372036854775807\nshmem 9")
	root := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		if foreign(text) {
			return
		}
		put(t, root, "sys/fs/cgroup/x/memory.stat", text)
		theirs, err := rocm.MemoryStat(root, "/x")
		mine, ok := parseHeld([]byte(text))
		switch {
		case err != nil: // in what this does not read, or it is malformed for both
			return
		case theirs.Held() == nil && ok, theirs.Held() != nil && (!ok || mine != *theirs.Held()):
			t.Fatalf("rocm has %+v, this %d, %v", theirs, mine, ok)
		}
	})
}

func FuzzPopulatedAndProcesses(f *testing.F) {
	f.Add("populated 1\nfrozen 0\n")
	f.Add("12\n0\n\n4194304\n99999999999\n7")
	f.Fuzz(func(t *testing.T, text string) {
		if up, ok := parsePopulated([]byte(text)); ok && up && !strings.Contains(text, "populated ") {
			t.Errorf("populated by %q", text)
		}
		for data := []byte(text); ; {
			var pid int
			if pid, data = nextPID(data); pid == 0 {
				break
			}
			if pid < 0 || int64(pid) >= 1<<31 {
				t.Errorf("%d is no process", pid)
			}
		}
	})
}

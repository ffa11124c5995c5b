package rocm

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const meminfo = `MemTotal:       131072000 kB
MemFree:         1000000 kB
MemAvailable:   98304000 kB
HugePages_Total:       0
CmaTotal:         524288 kB
CmaFree:          262144 kB
`

func TestMeminfoReadsUnderAnyRoot(t *testing.T) {
	root := t.TempDir()
	if _, err := Meminfo(root); !os.IsNotExist(err) {
		t.Errorf("without the file: %v", err)
	}
	if err := os.MkdirAll(filepath.Join(root, "proc"), 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, "proc", "meminfo")
	if err := os.WriteFile(path, []byte(meminfo), 0o644); err != nil {
		t.Fatal(err)
	}
	m, err := Meminfo(root)
	if err != nil || *m.MemTotal != 131072000<<10 || *m.MemAvailable != 98304000<<10 || *m.CmaFree != 262144<<10 {
		t.Errorf("got %+v, %v", m, err)
	}
	if free := m.Free(); *free != (98304000-262144)<<10 {
		t.Errorf("free is %d", *free)
	}
	if err := os.WriteFile(path, []byte("MemTotal: lots\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Meminfo(root); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "MemTotal") {
		t.Errorf("a malformed file's error names no file or field: %v", err)
	}
}

func TestWhatTheKernelDoesNotOfferIsNil(t *testing.T) {
	m, err := parseMeminfo([]byte("MemTotal: 16 kB\n"))
	if err != nil || m.MemAvailable != nil || m.CmaFree != nil || m.Free() != nil || *m.MemTotal != 16384 {
		t.Errorf("got %+v, %v", m, err)
	}
}

func TestFreeIsNeverBelowNothing(t *testing.T) {
	one, two := uint64(1), uint64(2)
	if free := (Memory{MemAvailable: &one, CmaFree: &two}).Free(); *free != 0 {
		t.Errorf("free is %d", *free)
	}
}

func TestMalformedValuesAreErrors(t *testing.T) {
	for _, line := range []string{"MemTotal:", "MemTotal: kB", "MemTotal: 1 MB", "MemTotal: -1 kB", "MemAvailable: 99999999999999999999 kB", "CmaFree: 1"} {
		if m, err := parseMeminfo([]byte(line)); err == nil {
			t.Errorf("%q is %+v", line, m)
		}
	}
}

func TestMeminfoOfThisMachine(t *testing.T) {
	m, err := Meminfo("/")
	if err != nil || m.MemTotal == nil || *m.MemTotal == 0 {
		t.Errorf("got %+v, %v", m, err)
	}
}

func FuzzParseMeminfo(f *testing.F) {
	f.Add(meminfo)
	f.Add("MemTotal: 1 kB\nMemTotal: 2 kB")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := parseMeminfo([]byte(text))
		if err != nil && m != (Memory{}) {
			t.Errorf("%+v beside an error", m)
		}
		m.Free()
	})
}

package rocm

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
)

// device is a memory device of SMBIOS with these fields; strings follow it.
func device(size, bits, speed, configured uint16, wide ...uint32) []byte {
	d := make([]byte, 0x5C)
	d[0], d[1] = 17, byte(len(d))
	put := func(at int, n uint16) { binary.LittleEndian.PutUint16(d[at:], n) }
	put(0x0A, bits)
	put(0x0C, size)
	put(0x15, speed)
	put(0x20, configured)
	for i, n := range wide {
		binary.LittleEndian.PutUint32(d[0x54+4*i:], n)
	}
	return append(d, "DIMM 0\x00Samsung\x00\x00"...)
}

func table(structures ...[]byte) []byte {
	all := append([]byte{0, 24}, make([]byte, 22)...)
	all = append(all, "BIOS\x00\x00"...)
	for _, s := range structures {
		all = append(all, s...)
	}
	return append(all, 127, 4, 0, 0, 0, 0)
}

func repeat(n int, d []byte) [][]byte {
	var all [][]byte
	for range n {
		all = append(all, d)
	}
	return all
}

func TestMemorySpeed(t *testing.T) {
	for _, row := range []struct {
		rule string
		data []byte
		want uint64 // bytes a second; 0: not known
	}{
		{"Strix Halo: eight devices of 32 bits", table(repeat(8, device(0x4000, 32, 8000, 8000))...), 256e9},
		{"two sockets with a module, two without", table(device(0x4000, 64, 5600, 5600), device(0, 0, 0, 0), device(0x4000, 64, 5600, 5600), device(0, 0, 0, 0)), 896e8},
		{"as it is configured, not what it could do", table(device(0x4000, 64, 6400, 4800)), 384e8},
		{"of two the slower", table(device(0x4000, 64, 6400, 6400), device(0x4000, 64, 4800, 4800)), 2 * 384e8},
		{"faster than the old field can say", table(device(0x4000, 64, 0xFFFF, 0xFFFF, 70000, 70000)), 56e10},
		{"before there was a configured speed", table(append([]byte{17, 0x1B, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0x35, 0x05, 0, 0, 0, 0}, 0, 0)), 1333e6 * 8},
		{"a virtual machine", table(device(0x4000, 0, 0, 0)), 0},
		{"one that does not say makes the sum unknown", table(device(0x4000, 64, 5600, 5600), device(0x4000, 0xFFFF, 5600, 5600)), 0},
		{"no memory device", table(), 0},
		{"nothing", nil, 0},
	} {
		t.Run(row.rule, func(t *testing.T) {
			got, err := parseMemorySpeed(row.data)
			if err != nil || (got == nil) != (row.want == 0) || got != nil && got.Bandwidth() != row.want {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestMemorySpeedIsReadUnderAnyRoot(t *testing.T) {
	const file = "sys/firmware/dmi/tables/DMI"
	root := t.TempDir()
	if _, err := ReadMemorySpeed(root); !errors.Is(err, fs.ErrNotExist) || !Unreadable(err) {
		t.Errorf("without tables: %v", err)
	}
	write(t, root, file, string(table(device(0x4000, 64, 5600, 5600))))
	if got, err := ReadMemorySpeed(root); err != nil || got == nil || got.Bits != 64 || got.Transfers != 5600e6 {
		t.Errorf("%+v, %v", got, err)
	}
	write(t, root, file, "\x11\xffshort")
	if _, err := ReadMemorySpeed(root); err == nil || Unreadable(err) || !strings.Contains(err.Error(), "/"+file+": a structure of type 17 would be 255 bytes long") {
		t.Errorf("cut: %v", err)
	}
	if err := os.Truncate(root+"/"+file, maxDMI+1); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadMemorySpeed(root); err == nil || !strings.Contains(err.Error(), "no firmware has more") {
		t.Errorf("too long: %v", err)
	}
}

func FuzzParseMemorySpeed(f *testing.F) {
	f.Add(table(device(0x4000, 32, 8000, 8000)))
	f.Add([]byte("\x11\xffshort"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		if m, err := parseMemorySpeed(data); m != nil && (err != nil || m.Bandwidth() == 0 || m.Bits > 1<<13) {
			t.Errorf("%+v, %v", m, err)
		}
	})
}

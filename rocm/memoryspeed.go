package rocm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// MemorySpeed is what the firmware says of the memory that is built in (SMBIOS, type 17).
type MemorySpeed struct {
	Transfers uint64 // a second
	Bits      int    // wide, all devices together
}

// Bandwidth is how many bytes a second can be read at most.
func (m MemorySpeed) Bandwidth() uint64 { return m.Transfers * uint64(m.Bits) / 8 }

// ReadMemorySpeed reads SMBIOS as the kernel passes it on, to root alone. nil: the firmware does not say, as in virtual
// machines; the error is fs.ErrNotExist or fs.ErrPermission where there is nothing to read.
func ReadMemorySpeed(root string) (*MemorySpeed, error) {
	const file = "sys/firmware/dmi/tables/DMI"
	path := filepath.Join(root, file)
	if info, err := os.Stat(path); err != nil {
		return nil, err
	} else if info.Size() > maxDMI {
		return nil, fmt.Errorf("/%s: it has %d bytes, and no firmware has more than %d", file, info.Size(), maxDMI)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	speed, err := parseMemorySpeed(data)
	if err != nil {
		return nil, fmt.Errorf("/%s: %w", file, err)
	}
	return speed, nil
}

// Unreadable tells that a file is not there, or not for this user.
func Unreadable(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)
}

// maxDMI bounds the tables, in bytes: SMBIOS 3 allows 4 GiB, and firmware has some KiB.
const maxDMI = 1 << 20

// parseMemorySpeed walks over the structures: each is a formatted part, whose length it says, and strings behind it that two
// zero bytes end.
func parseMemorySpeed(data []byte) (*MemorySpeed, error) {
	const memoryDevice, endOfTable = 17, 127
	var sum MemorySpeed
	for len(data) >= 4 {
		kind, length := data[0], int(data[1])
		if length < 4 || length > len(data) {
			return nil, fmt.Errorf("a structure of type %d would be %d bytes long, and %d are left", kind, length, len(data))
		}
		if kind == endOfTable {
			break
		}
		if kind == memoryDevice && !sum.add(data[:length]) {
			return nil, nil
		}
		rest := length
		for rest+1 < len(data) && (data[rest] != 0 || data[rest+1] != 0) {
			rest++
		}
		data = data[min(rest+2, len(data)):]
	}
	if sum.Bits == 0 || sum.Transfers == 0 {
		return nil, nil
	}
	return &sum, nil
}

// add takes a memory device into the sum. ok is false where one that is there does not tell its width or its speed: then
// nothing is known of the whole. The slowest sets the speed of all.
func (m *MemorySpeed) add(device []byte) (ok bool) {
	word := func(at int) uint64 {
		if at+2 > len(device) {
			return 0
		}
		return uint64(binary.LittleEndian.Uint16(device[at:]))
	}
	wide := func(at int) uint64 {
		if at+4 > len(device) {
			return 0
		}
		return uint64(binary.LittleEndian.Uint32(device[at:])) & (1<<31 - 1)
	}
	// Offsets by SMBIOS 3.3, section 7.18. 0 is "not known", and 0xFFFF "not known" or "look at the wider field".
	const unknown = 0xFFFF
	if size := word(0x0C); size == 0 { // an empty socket
		return true
	}
	bits, speed := word(0x0A), word(0x20) // as configured, megatransfers a second
	switch {
	case speed == unknown:
		speed = wide(0x58)
	case speed == 0: // before SMBIOS 2.7: what the device can do
		if speed = word(0x15); speed == unknown {
			speed = wide(0x54)
		}
	}
	const mostBits, mostSpeed = 1 << 12, 1 << 17
	if bits == 0 || bits > mostBits || speed == 0 || speed > mostSpeed || m.Bits > mostBits {
		return false
	}
	m.Bits += int(bits)
	if transfers := speed * 1e6; m.Transfers == 0 || transfers < m.Transfers {
		m.Transfers = transfers
	}
	return true
}

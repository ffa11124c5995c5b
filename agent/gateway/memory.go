package gateway

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/agent/api"
)

// tableName is the memfd's name in the fd store.
const tableName = "tier-table"

// A slot holds: a counter that tells which of the two is newer, the length and the checksum of the JSON, the JSON. A
// table is written into the older slot, so that a process that is killed while it writes leaves the other one whole.
const (
	slotSize   = 1 << 20
	slotHeader = 16
)

// tableMemory keeps the last table in a memfd, which the fd store holds for the next process. A process without a fd
// store writes it for its successor after a handover only.
type tableMemory struct {
	fd    int
	count uint64 // of the newest slot
}

// newTableMemory makes an empty one.
func newTableMemory() (*tableMemory, error) {
	fd, err := unix.MemfdCreate(tableName, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cannot make memory for the table: %w", err)
	}
	return &tableMemory{fd: fd}, nil
}

// load finds the newest whole table.
func (m *tableMemory) load() (api.Table, error) {
	var newest api.Table
	found := false
	for slot := range int64(2) {
		count, table, err := m.read(slot)
		if err == nil && (!found || count > m.count) {
			found, m.count, newest = true, count, table
		}
	}
	if !found {
		return api.Table{}, errors.New("the memory of the table holds no whole table")
	}
	return newest, nil
}

func (m *tableMemory) read(slot int64) (uint64, api.Table, error) {
	var header [slotHeader]byte
	if n, err := unix.Pread(m.fd, header[:], slot*slotSize); err != nil || n != slotHeader {
		return 0, api.Table{}, errors.New("there is no header")
	}
	count := binary.LittleEndian.Uint64(header[0:])
	length := binary.LittleEndian.Uint32(header[8:])
	sum := binary.LittleEndian.Uint32(header[12:])
	if count == 0 || length > slotSize-slotHeader {
		return 0, api.Table{}, errors.New("the header is not valid")
	}
	body := make([]byte, length)
	if n, err := unix.Pread(m.fd, body, slot*slotSize+slotHeader); err != nil || n != len(body) || crc32.ChecksumIEEE(body) != sum {
		return 0, api.Table{}, errors.New("the table is not whole")
	}
	var table api.Table
	if err := json.Unmarshal(body, &table); err != nil {
		return 0, api.Table{}, err
	}
	return count, table, nil
}

// save writes a table into the older slot.
func (m *tableMemory) save(t api.Table) error {
	body, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("cannot keep the table: %w", err)
	}
	if len(body) > slotSize-slotHeader {
		return fmt.Errorf("cannot keep the table: it has %d bytes, more than %d", len(body), slotSize-slotHeader)
	}
	slot := int64((m.count + 1) % 2)
	record := make([]byte, slotHeader, slotHeader+len(body))
	binary.LittleEndian.PutUint64(record[0:], m.count+1)
	binary.LittleEndian.PutUint32(record[8:], uint32(len(body)))
	binary.LittleEndian.PutUint32(record[12:], crc32.ChecksumIEEE(body))
	record = append(record, body...)
	if n, err := unix.Pwrite(m.fd, record, slot*slotSize); err != nil || n != len(record) {
		return fmt.Errorf("cannot keep the table: wrote %d of %d bytes: %v", n, len(record), err)
	}
	m.count++
	return nil
}

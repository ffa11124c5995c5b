package wire

import (
	"errors"
	"fmt"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Bodies above mapFrom lie in mappings of their own and not on Go's heap: that would keep their memory, double what it lets
// itself grow to, and clear and copy every byte while a body grows.
const (
	mapFrom   = 64 << 10
	keepFor   = time.Second // a mapping without a user, for the next body
	keepBytes = 16 << 20    // of such mappings together
	maxBytes  = 1 << 30     // of all bodies together
	step      = 1 << 20     // in which a body is counted
)

// ErrNoRoom says that the bodies of all requests together have reached what the gateway may hold, 1 GiB.
var ErrNoRoom = errors.New("the bodies of all requests together are as large as they may be")

// Block is memory for one body, of some power of two of bytes. Pages that were not written to take no memory.
type Block struct {
	Bytes   []byte // all of it
	pooled  *[]byte
	counted int
}

var (
	counted atomic.Int64 // bytes of all mappings that are in use
	spare   spares
	mids    = sync.Pool{New: func() any { b := make([]byte, mapFrom); return &b }}
)

// NewBlock returns a block of at least size bytes, whose contents are anything. It must be freed, once.
func NewBlock(size int) (*Block, error) {
	switch {
	case size <= smallSize:
		p := smalls.Get().(*[]byte)
		return &Block{Bytes: *p, pooled: p}, nil
	case size <= mapFrom:
		p := mids.Get().(*[]byte)
		return &Block{Bytes: *p, pooled: p}, nil
	}
	size = 1 << bits.Len(uint(size-1))
	if b := spare.take(size); b != nil {
		return &Block{Bytes: b}, nil
	}
	b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("cannot get %d bytes for a body: %w", size, err)
	}
	return &Block{Bytes: b}, nil
}

// Use counts the first used bytes, which are about to be written, against what all bodies may take. A length that a client
// only claims counts for nothing.
func (b *Block) Use(used int) error {
	if b.pooled != nil || used <= b.counted {
		return nil
	}
	more := (used - b.counted + step - 1) / step * step
	if counted.Add(int64(more)) > maxBytes {
		counted.Add(-int64(more))
		return ErrNoRoom
	}
	b.counted += more
	return nil
}

// Grow makes the block twice as large, at least. The first used bytes stay.
func (b *Block) Grow(used int) error {
	bigger, err := NewBlock(2 * len(b.Bytes))
	if err != nil {
		return err
	}
	if err := bigger.Use(used); err != nil {
		bigger.Free()
		return err
	}
	copy(bigger.Bytes, b.Bytes[:used])
	b.Free()
	*b = *bigger
	return nil
}

// Free gives the block back; nobody may look at its bytes any more. A nil block has none.
func (b *Block) Free() {
	switch {
	case b == nil || b.Bytes == nil:
		return
	case b.pooled == nil:
		counted.Add(-int64(b.counted))
		spare.put(b.Bytes)
	case len(b.Bytes) == smallSize:
		smalls.Put(b.pooled)
	default:
		mids.Put(b.pooled)
	}
	*b = Block{}
}

// spares are mappings that were used a moment ago: with the pages still there the next body costs no page faults.
type spares struct {
	mu    sync.Mutex
	list  []spareMapping
	bytes int
	timer *time.Timer
}

type spareMapping struct {
	bytes []byte
	since time.Time
}

func (s *spares) take(size int) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.list) - 1; i >= 0; i-- {
		if b := s.list[i].bytes; len(b) == size {
			s.list = append(s.list[:i], s.list[i+1:]...)
			s.bytes -= size
			return b
		}
	}
	return nil
}

func (s *spares) put(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bytes+len(b) > keepBytes {
		_ = unix.Munmap(b)
		return
	}
	s.list = append(s.list, spareMapping{b, time.Now()})
	s.bytes += len(b)
	if len(s.list) == 1 {
		s.wait(keepFor)
	}
}

// sweep gives back what nobody has wanted for keepFor.
func (s *spares) sweep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.list) > 0 {
		if age := time.Since(s.list[0].since); age < keepFor {
			s.wait(keepFor - age)
			return
		}
		_ = unix.Munmap(s.list[0].bytes)
		s.bytes -= len(s.list[0].bytes)
		s.list = s.list[1:]
	}
	s.list = nil
}

func (s *spares) wait(pause time.Duration) {
	if s.timer == nil {
		s.timer = time.AfterFunc(pause, s.sweep)
	} else {
		s.timer.Reset(pause)
	}
}

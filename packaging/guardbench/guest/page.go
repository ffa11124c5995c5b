package main

import (
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// page is what a process of packaging/guardbench/memory says and hears: memory.c tells of each number.
type page struct {
	Ready, Term, Go, Fast, Cap, Taken, Full, Fails atomic.Uint64
}

// openPage maps the page of a process, for as long as this one lives. One that was not made yet is an error of os.Open.
func openPage(path string) (*page, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size := os.Getpagesize()
	if info, err := f.Stat(); err != nil || info.Size() < int64(size) {
		return nil, fmt.Errorf("%s is not whole: %w", f.Name(), os.ErrNotExist)
	}
	raw, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("cannot map %s: %w", f.Name(), err)
	}
	return (*page)(unsafe.Pointer(unsafe.SliceData(raw))), nil
}

// begin tells the process to leak.
func (p *page) begin(fast, limit uint64) {
	p.Fast.Store(fast)
	p.Cap.Store(limit)
	p.Go.Store(1)
}

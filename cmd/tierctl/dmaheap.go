package main

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// dmaHeapDevice gives memory that belongs to no process and no cgroup, as buffers of a GPU do.
const dmaHeapDevice = "/dev/dma_heap/system"

// heapAllocation is struct dma_heap_allocation_data of linux/dma-heap.h.
type heapAllocation struct {
	len       uint64
	fd        uint32
	fdFlags   uint32
	heapFlags uint64
}

// heapIoctlAlloc is DMA_HEAP_IOCTL_ALLOC: _IOWR('H', 0, struct dma_heap_allocation_data).
const heapIoctlAlloc = 3<<30 | unsafe.Sizeof(heapAllocation{})<<16 | 'H'<<8

// dmaHeap hands out buffers. Each lives for as long as its descriptor is open, that is up to this process's end.
type dmaHeap struct{ device *os.File }

func openHeap() (*dmaHeap, error) {
	f, err := os.OpenFile(dmaHeapDevice, os.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &failure{status: exitFailed, message: fmt.Sprintf("cannot take memory from a DMA heap: %v", err),
			hint: "leave out --dma-heap, or boot a kernel with CONFIG_DMABUF_HEAPS_SYSTEM; root may open it"}
	}
	return &dmaHeap{device: f}, nil
}

// take adds one buffer. The kernel has cleared it before it hands it out, so its pages are there at once.
func (h *dmaHeap) take(n uint64) error {
	if n == 0 {
		return nil
	}
	alloc := heapAllocation{len: n, fdFlags: unix.O_RDWR | unix.O_CLOEXEC}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, h.device.Fd(), heapIoctlAlloc, uintptr(unsafe.Pointer(&alloc))); errno != 0 {
		return errno
	}
	return nil
}

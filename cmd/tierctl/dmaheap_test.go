package main

import (
	"strings"
	"testing"
)

// TestHeapRequest holds the request to what linux/dma-heap.h makes of it on every machine that models run on.
func TestHeapRequest(t *testing.T) {
	if heapIoctlAlloc != 0xc0184800 {
		t.Errorf("DMA_HEAP_IOCTL_ALLOC is %#x", uint64(heapIoctlAlloc))
	}
}

func TestHeap(t *testing.T) {
	heap, err := openHeap()
	if err != nil && strings.Contains(err.Error(), "no such file") {
		t.Skipf("this kernel has no %s", dmaHeapDevice)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := heap.take(4 * mib); err != nil {
		t.Errorf("cannot take 4 MiB: %v", err)
	}
	if err := heap.take(0); err != nil {
		t.Errorf("nothing: %v", err)
	}
}

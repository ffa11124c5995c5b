package main

import (
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// hogStep is the most that is taken between two looks at the clock, in bytes.
const hogStep = 4 << 20

// hog takes memory at a rate, down to where so much is available or up to so much, and holds it until SIGTERM.
func hog(args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("hog", flag.ContinueOnError)
	size := flags.Int64("size", 0, "bytes to take; 0: as many as leave what -to says")
	to := flags.Int64("to", 0, "bytes that are to be available in the end, if nobody gives back any meanwhile")
	rate := flags.Int64("rate", 100<<20, "bytes a second")
	kind := flags.String("kind", "anon", "anon: memory of a process; dma: of none and of no cgroup, as a GPU's")
	if err := flags.Parse(args); err != nil {
		return err
	}
	take := map[string]func(int64) error{"anon": takeAnonymous, "dma": takeDMA}[*kind]
	if take == nil || *rate <= 0 {
		return fmt.Errorf("no memory of the kind %q at %d bytes a second", *kind, *rate)
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, os.Interrupt, syscall.SIGTERM)
	if *size == 0 {
		available, err := availableBelow("/")
		if err != nil {
			return err
		}
		*size = available - *to
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	begin := time.Now()
	for done := int64(0); done < *size; {
		due := min(int64(time.Since(begin).Seconds()*float64(*rate)), *size)
		for done < due {
			step := min(due-done, hogStep)
			if err := take(step); err != nil {
				return fmt.Errorf("after %d MiB: %w", done>>20, err)
			}
			done += step
		}
		select {
		case <-tick.C:
		case <-ended:
			return nil
		}
	}
	if _, err := fmt.Fprintf(stdout, "%d MiB taken in %.1f s\n", *size>>20, time.Since(begin).Seconds()); err != nil {
		return err
	}
	<-ended
	runtime.KeepAlive(dmaBuffers)
	return nil
}

// takeAnonymous takes memory in one step, since a fault for every page takes twenty times as long in a User-Mode Linux. Half
// of each page is such that it cannot be compressed.
func takeAnonymous(size int64) error {
	at, err := unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return err
	}
	if err := unix.Madvise(at, unix.MADV_POPULATE_WRITE); err != nil {
		return err
	}
	words := unsafe.Slice((*uint64)(unsafe.Pointer(&at[0])), size/8)
	for page := 0; page < len(words); page += 512 {
		for i := page; i < min(page+256, len(words)); i++ {
			words[i] = rand.Uint64()
		}
	}
	return nil
}

// dmaBuffers hold what was taken of the DMA heap.
var dmaBuffers []int

// takeDMA takes kernel memory behind a descriptor, as a GPU's driver hands it out.
func takeDMA(size int64) error {
	heap, err := unix.Open("/dev/dma_heap/system", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("/dev/dma_heap/system: %w", err)
	}
	defer unix.Close(heap)
	// struct dma_heap_allocation_data of linux/dma-heap.h.
	data := struct {
		Len         uint64
		FD, FDFlags uint32
		HeapFlags   uint64
	}{Len: uint64(size+4095) &^ 4095, FDFlags: unix.O_RDWR | unix.O_CLOEXEC}
	const alloc = 0xc0184800 // DMA_HEAP_IOCTL_ALLOC
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(heap), alloc, uintptr(unsafe.Pointer(&data))); errno != 0 {
		return fmt.Errorf("the DMA heap: %w", errno)
	}
	dmaBuffers = append(dmaBuffers, int(data.FD))
	return nil
}

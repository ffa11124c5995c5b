package rocm

import (
	"fmt"
	"path"
	"strconv"
	"strings"
)

// SwapKind is what a swap area is on.
type SwapKind string

// The kinds of swap areas. zram is compressed memory: it takes from what it gives.
const (
	SwapZram      SwapKind = "zram"
	SwapPartition SwapKind = "partition"
	SwapFile      SwapKind = "file"
)

// Swap is one area that the kernel swaps to.
type Swap struct {
	Name       string // "/dev/zram0", "/swapfile"
	Kind       SwapKind
	Size, Used uint64 // bytes
	Priority   int    // the highest is used first
	Rotational *bool  // whether its disk has spinning platters; nil: not known
}

func (r *reading) swaps() []Swap {
	g := r.group()
	swaps := parsed(g, "proc/swaps", parseSwaps)
	if swaps == nil {
		return nil
	}
	for i, s := range *swaps {
		if disk := g.disk(s); disk != "" {
			(*swaps)[i].Rotational = parsed(g, "sys/block/"+disk+"/queue/rotational", parseFlag)
		}
	}
	return *swaps
}

// disk is the block device in sys/block that a swap area is on, "" when that cannot be told.
func (g *group) disk(s Swap) string {
	device := s.Name
	if s.Kind == SwapFile {
		mounts, ok := g.file("proc/self/mountinfo")
		if !ok {
			return ""
		}
		device = parseMounts(mounts, s.Name)
	}
	name, ok := strings.CutPrefix(device, "/dev/")
	if !ok {
		return ""
	}
	mapped, isMapped := strings.CutPrefix(name, "mapper/")
	for _, disk := range g.list("sys/block") {
		if isMapped && strings.HasPrefix(disk, "dm-") && g.text("sys/block/"+disk+"/dm/name") == mapped || isPartOf(name, disk) {
			return disk
		}
	}
	return ""
}

// isPartOf tells whether a block device is a disk or a partition of it: sda2 of sda, nvme0n1p3 of nvme0n1.
func isPartOf(name, disk string) bool {
	part, ok := strings.CutPrefix(name, disk)
	if !ok || part == "" {
		return ok
	}
	if last := disk[len(disk)-1]; last >= '0' && last <= '9' {
		part, ok = strings.CutPrefix(part, "p")
	}
	return ok && isNumber(part)
}

// parseSwaps reads proc/swaps: a heading, then a name, type, size and use in KiB and the priority per line (proc_swaps(5)).
func parseSwaps(data []byte) ([]Swap, error) {
	var swaps []Swap
	for i, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		fields := strings.Fields(line)
		if i == 0 {
			if len(fields) == 0 || fields[0] != "Filename" {
				return nil, fmt.Errorf("begins with %s, not with a heading", quote(line))
			}
			continue
		}
		s, err := parseSwap(fields)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", quote(line), err)
		}
		swaps = append(swaps, s)
	}
	return swaps, nil
}

func parseSwap(fields []string) (Swap, error) {
	if len(fields) < 5 {
		return Swap{}, fmt.Errorf("has %d fields, not 5", len(fields))
	}
	tail := fields[len(fields)-4:] // a file that was removed has " (deleted)" behind its name
	s := Swap{Name: unescape(fields[0]), Kind: SwapKind(tail[0])}
	switch {
	case strings.HasPrefix(s.Name, "/dev/zram"):
		s.Kind = SwapZram
	case s.Kind != SwapPartition && s.Kind != SwapFile:
		return Swap{}, fmt.Errorf("%s is no type of swap", quote(tail[0]))
	}
	var err error
	if s.Size, err = parseKiB(tail[1] + " kB"); err != nil {
		return Swap{}, err
	}
	if s.Used, err = parseKiB(tail[2] + " kB"); err != nil {
		return Swap{}, err
	}
	if s.Priority, err = strconv.Atoi(tail[3]); err != nil {
		return Swap{}, fmt.Errorf("%s is not a priority", quote(tail[3]))
	}
	return s, nil
}

// parseMounts finds in proc/PID/mountinfo the device of the mount that a file is on: of those it lies under the longest,
// and of equals the last, which covers the others (proc_pid_mountinfo(5)).
func parseMounts(data []byte, file string) (device string) {
	longest := -1
	for line := range strings.Lines(string(data)) {
		before, after, ok := strings.Cut(line, " - ")
		fields, source := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 5 || len(source) < 2 {
			continue
		}
		point := path.Clean(unescape(fields[4]))
		if under := point == "/" || strings.HasPrefix(file, point+"/"); under && len(point) >= longest {
			longest, device = len(point), unescape(source[1])
		}
	}
	return device
}

// unescape undoes how the kernel writes blanks in names: \040.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// parseFlag reads 0 or 1.
func parseFlag(data []byte) (bool, error) {
	n, err := parseNumber(string(data), 1)
	return n == 1, err
}

package rocm

import (
	"fmt"
	"strings"
)

// drmClient is what one open file of a render node says of the client behind it. Files that were duplicated, or inherited by
// another process, are of the same client and say the same.
type drmClient struct {
	driver    string
	pci       string
	id        uint64
	gtt, vram uint64 // bytes
}

// parseFdinfo reads proc/PID/fdinfo/FD (Documentation/gpu/drm-usage-stats.rst). It is nil for a file that is not a DRM
// client's.
func parseFdinfo(data []byte) (*drmClient, error) {
	var c drmClient
	var hasID bool
	var memory [2][3]*uint64 // by region and by which key told it
	for line := range strings.Lines(string(data)) {
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		var err error
		switch kind, region := regionKey(key); {
		case key == "drm-driver":
			c.driver = value
		case key == "drm-pdev":
			c.pci = value
		case key == "drm-client-id":
			c.id, err = parseNumber(value, 64)
			hasID = err == nil
		case region >= 0:
			var n uint64
			n, err = parseSize(value)
			memory[region][kind] = &n
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
	}
	if c.driver == "" {
		return nil, nil
	}
	if !hasID {
		return nil, fmt.Errorf("has a drm-driver and no drm-client-id")
	}
	c.gtt, c.vram = told(memory[0]), told(memory[1])
	return &c, nil
}

// regionKey tells "drm-resident-gtt" and its like. What is resident is what counts as used; drm-memory is its name
// before 6.14, and the total counts what was swapped out or never touched besides.
func regionKey(key string) (kind, region int) {
	rest, ok := strings.CutPrefix(key, "drm-")
	if !ok {
		return 0, -1
	}
	for i, name := range []string{"resident-", "memory-", "total-"} {
		switch rest {
		case name + "gtt":
			return i, 0
		case name + "vram":
			return i, 1
		}
	}
	return 0, -1
}

func told(by [3]*uint64) uint64 {
	for _, n := range by {
		if n != nil {
			return *n
		}
	}
	return 0
}

// parseSize reads "66048 MiB", "81920 KiB", or bytes without a unit.
func parseSize(s string) (uint64, error) {
	number, unit, _ := strings.Cut(s, " ")
	shift, ok := map[string]int{"": 0, "KiB": 10, "MiB": 20}[unit]
	n, err := parseNumber(number, 64)
	if !ok || err != nil || n > 1<<62>>shift {
		return 0, fmt.Errorf("%s is not a size in bytes, KiB or MiB", quote(s))
	}
	return n << shift, nil
}

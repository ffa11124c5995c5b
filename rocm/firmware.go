package rocm

import (
	"fmt"
	"strconv"
	"strings"
)

// mes is the version of a card's scheduler firmware, "0x83". It is in debugfs, which only root may read and a locked down
// kernel hides, so it is often not known: that is no problem.
func (g *group) mes(c *GPU) string {
	for _, name := range []string{c.PCI, c.Card[len("card"):]} { // newer kernels name the folder by the device, older ones by the card
		data, err := g.try("sys/kernel/debug/dri/"+name+"/amdgpu_firmware_info", maxFile)
		if err == nil {
			return parseMES(data)
		}
	}
	return ""
}

// parseMES finds the line of MES, the GPU's own scheduler, and not that of its older interface MES_KIQ: "MES feature version:
// 1, firmware version: 0x00000083". Here as in all of this package it goes without regular expressions: their tables would be
// in the memory of tier-guard, which is locked.
func parseMES(data []byte) string {
	for line := range strings.Lines(string(data)) {
		rest, is := strings.CutPrefix(line, "MES feature version: ")
		feature, version, has := strings.Cut(strings.TrimSpace(rest), ", firmware version: 0x")
		if _, err := strconv.ParseUint(feature, 10, 64); !is || !has || err != nil {
			continue
		}
		n, err := strconv.ParseUint(version, 16, 32)
		if err != nil {
			continue
		}
		if n == 0 { // a GPU without MES
			return ""
		}
		return fmt.Sprintf("%#x", n)
	}
	return ""
}

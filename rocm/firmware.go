package rocm

import (
	"fmt"
	"regexp"
	"strconv"
)

// mesLine is MES, the GPU's own scheduler, and not its older interface MES_KIQ, in amdgpu_firmware_info.
var mesLine = regexp.MustCompile(`(?m)^MES feature version: \d+, firmware version: (0x[0-9a-fA-F]{1,8})\s*$`)

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

func parseMES(data []byte) string {
	m := mesLine.FindSubmatch(data)
	if m == nil {
		return ""
	}
	n, err := strconv.ParseUint(string(m[1]), 0, 32)
	if err != nil || n == 0 { // a GPU without MES
		return ""
	}
	return fmt.Sprintf("%#x", n)
}

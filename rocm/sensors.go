package rocm

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Sensors are what a card measures of itself.
type Sensors struct {
	Busy        *int    // percent of the time that it computed, lately; may miss short bursts
	Temperature *int    // m°C, at the edge of the chip
	Power       *uint64 // µW, of the package
	Clock       *uint64 // Hz, of the compute units
}

func (g *group) sensors(device string) Sensors {
	s := Sensors{Busy: parsed(g, device+"gpu_busy_percent", parsePercent)}
	for _, name := range g.list(device + "hwmon") {
		// The number changes from boot to boot. A card has one of its own; others below it are of its ports.
		base := device + "hwmon/" + name + "/"
		if g.text(base+"name") != "amdgpu" {
			continue
		}
		s.Temperature = parsed(g, base+"temp1_input", parseMillidegrees)
		if s.Power = g.number(base + "power1_average"); s.Power == nil {
			s.Power = g.number(base + "power1_input") // what newer chips have instead
		}
		s.Clock = g.number(base + "freq1_input")
	}
	return s
}

func parsePercent(data []byte) (int, error) {
	n, err := parseNumber(string(data), 16)
	if err != nil || n > 100 {
		return 0, fmt.Errorf("%s is not a percentage", quote(string(data)))
	}
	return int(n), nil
}

func parseMillidegrees(data []byte) (int, error) {
	n, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%s is not a temperature in m°C", quote(string(data)))
	}
	return int(n), nil
}

// CarveOut is how much memory the firmware takes from the host for the GPU alone, where Linux can set it.
type CarveOut struct {
	Selected *int // index of the option for the next boot
	Options  []CarveOutOption
}

// CarveOutOption is one that the firmware offers.
type CarveOutOption struct {
	Index int
	Text  string  // "High (96 GB)"
	Size  *uint64 // bytes, nil when the text has none
}

// carveOut is nil when the firmware or the kernel (before 7.0) offers no choice.
func (g *group) carveOut(device string) *CarveOut {
	options := parsed(g, device+"uma/carveout_options", parseCarveOuts)
	if options == nil {
		return nil
	}
	c := &CarveOut{Options: *options}
	c.Selected = parsed(g, device+"uma/carveout", func(data []byte) (int, error) {
		n, err := parseNumber(string(data), 31)
		return int(n), err
	})
	return c
}

// carveOutSize is as the kernel writes it: "(512 MB)", "(96 GB)", and means powers of two.
var carveOutSize = regexp.MustCompile(`\(([0-9]{1,6}) ([MG])B\)$`)

// parseCarveOuts reads lines of "9: High (96 GB)", where the firmware may give no name.
func parseCarveOuts(data []byte) ([]CarveOutOption, error) {
	var options []CarveOutOption
	for line := range strings.Lines(string(data)) {
		index, text, ok := strings.Cut(strings.TrimSpace(line), ":")
		n, err := parseNumber(index, 31)
		if !ok || err != nil {
			return nil, fmt.Errorf("%s is not an option with its number", quote(line))
		}
		o := CarveOutOption{Index: int(n), Text: strings.TrimSpace(text)}
		if m := carveOutSize.FindStringSubmatch(o.Text); m != nil {
			size, _ := strconv.ParseUint(m[1], 10, 32)
			size <<= map[string]int{"M": 20, "G": 30}[m[2]]
			o.Size = &size
		}
		options = append(options, o)
	}
	return options, nil
}

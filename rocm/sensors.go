package rocm

import (
	"fmt"
	"strconv"
	"strings"
)

// Sensors are what a card measures of itself.
type Sensors struct {
	Busy        *int    `json:"busy_percent,omitempty"`             // percent of the time that it computed, lately; may miss short bursts
	Temperature *int    `json:"temperature_millidegrees,omitempty"` // m°C, at the edge of the chip
	Power       *uint64 `json:"power_microwatts,omitempty"`         // µW, of the package
	Clock       *uint64 `json:"clock_hz,omitempty"`                 // Hz, of the compute units
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
	Selected *int             `json:"selected,omitempty"` // index of the option for the next boot
	Options  []CarveOutOption `json:"options"`
}

// CarveOutOption is one that the firmware offers.
type CarveOutOption struct {
	Index int     `json:"index"`
	Text  string  `json:"text"`                 // "High (96 GB)"
	Size  *uint64 `json:"size_bytes,omitempty"` // bytes, nil when the text has none
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

// parseCarveOuts reads lines of "9: High (96 GB)", where the firmware may give no name.
func parseCarveOuts(data []byte) ([]CarveOutOption, error) {
	var options []CarveOutOption
	for line := range strings.Lines(string(data)) {
		index, text, ok := strings.Cut(strings.TrimSpace(line), ":")
		n, err := parseNumber(index, 31)
		if !ok || err != nil {
			return nil, fmt.Errorf("%s is not an option with its number", quote(line))
		}
		text = strings.TrimSpace(text)
		options = append(options, CarveOutOption{Index: int(n), Text: text, Size: carveOutSize(text)})
	}
	return options, nil
}

// carveOutSize is what the kernel writes at the end of an option, "(512 MB)" or "(96 GB)", which means powers of two; nil
// without.
func carveOutSize(text string) *uint64 {
	inner, ends := strings.CutSuffix(text, "B)")
	digits, unit, _ := strings.Cut(inner[strings.LastIndexByte(inner, '(')+1:], " ")
	size, err := strconv.ParseUint(digits, 10, 20)
	shift, known := map[string]int{"M": 20, "G": 30}[unit]
	if !ends || !strings.Contains(inner, "(") || err != nil || !known {
		return nil
	}
	size <<= shift
	return &size
}

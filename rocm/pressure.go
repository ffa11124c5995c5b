package rocm

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Pressure is how much of the time tasks had to wait for a resource. A field is nil when the kernel does not say.
type Pressure struct {
	Memory, IO, CPU *PSI
}

// PSI is one file of /proc/pressure.
type PSI struct {
	Some *Stall // some task waited
	Full *Stall // all tasks that had work waited; for the CPU the kernel does not know it, and writes none or zeros
}

// Stall is a share of the time, averaged over the last 10, 60 and 300 seconds, in percent from 0 to 100, and the sum since
// the host has started.
type Stall struct {
	Avg10, Avg60, Avg300 float64
	Total                time.Duration
}

func (r *reading) pressure() Pressure {
	g := r.group()
	return Pressure{
		Memory: parsed(g, "proc/pressure/memory", parsePressure),
		IO:     parsed(g, "proc/pressure/io", parsePressure),
		CPU:    parsed(g, "proc/pressure/cpu", parsePressure),
	}
}

// parsePressure reads "some avg10=0.00 avg60=0.00 avg300=0.02 total=1204418", the total in microseconds, and the same
// for full (Documentation/accounting/psi.rst).
func parsePressure(data []byte) (PSI, error) {
	var p PSI
	for line := range strings.Lines(string(data)) {
		kind, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		var into **Stall
		switch kind {
		case "some":
			into = &p.Some
		case "full":
			into = &p.Full
		default:
			return PSI{}, fmt.Errorf("%s begins neither with some nor with full", quote(line))
		}
		s, err := parseStall(rest)
		if err != nil {
			return PSI{}, fmt.Errorf("%s: %w", kind, err)
		}
		*into = &s
	}
	return p, nil
}

func parseStall(s string) (Stall, error) {
	var stall Stall
	fields := map[string]*float64{"avg10": &stall.Avg10, "avg60": &stall.Avg60, "avg300": &stall.Avg300}
	for field := range strings.FieldsSeq(s) {
		key, value, _ := strings.Cut(field, "=")
		if key == "total" {
			us, err := parseNumber(value, 53)
			if err != nil {
				return Stall{}, fmt.Errorf("total: %w", err)
			}
			stall.Total = time.Duration(us) * time.Microsecond
			continue
		}
		avg, err := strconv.ParseFloat(value, 64)
		if err != nil || !(avg >= 0 && avg <= 100) {
			return Stall{}, fmt.Errorf("%s is not a share in percent", quote(field))
		}
		if into := fields[key]; into != nil {
			*into = avg
			delete(fields, key)
		}
	}
	if len(fields) > 0 {
		return Stall{}, fmt.Errorf("%s lacks an average", quote(s))
	}
	return stall, nil
}

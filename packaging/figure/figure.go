// Package figure prints a measured figure beside its goal, one line each, in the one form that packaging/check.sh and
// whoever reads a log look for:
//
//	bench: NAME VALUE goal OP LIMIT ok|short
//
// Figures of a shared machine fail no test: "short" is a report.
package figure

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// AtMost prints a figure that should be small. The unit becomes the name's end: "start", "ms" is start-ms, "woken", "/min"
// is woken-per-min; a figure may have none.
func AtMost(name string, value float64, unit string, limit float64) {
	To(os.Stdout).AtMost(name, value, unit, limit)
}

// AtLeast prints a figure that should be large.
func AtLeast(name string, value float64, unit string, limit float64) {
	To(os.Stdout).AtLeast(name, value, unit, limit)
}

// Printer prints figures elsewhere than on standard output.
type Printer struct{ w io.Writer }

// To returns a printer to w.
func To(w io.Writer) Printer { return Printer{w} }

// AtMost is AtMost of the package.
func (p Printer) AtMost(name string, value float64, unit string, limit float64) {
	write(p.w, named(name, unit), value, "<=", limit, value <= limit)
}

// AtLeast is AtLeast of the package.
func (p Printer) AtLeast(name string, value float64, unit string, limit float64) {
	write(p.w, named(name, unit), value, ">=", limit, value >= limit)
}

func named(name, unit string) string {
	if unit == "" {
		return name
	}
	return name + "-" + strings.NewReplacer("/", "per-", "µ", "u").Replace(strings.ToLower(unit))
}

func write(w io.Writer, name string, value float64, op string, limit float64, ok bool) {
	verdict := "ok"
	if !ok {
		verdict = "short"
	}
	fmt.Fprintf(w, "bench: %s %s goal %s %s %s\n", name, number(value), op, number(limit), verdict)
}

// number has three digits of a small figure and the whole of a large one; more would be noise.
func number(v float64) string {
	switch {
	case v == float64(int64(v)) || v >= 1000 || v <= -1000:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10 || v <= -10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	default:
		return strconv.FormatFloat(v, 'f', 3, 64)
	}
}

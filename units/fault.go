package units

import (
	"cmp"
	"fmt"
	"slices"
)

// maxFaults bounds what is said of one file: a file of garbage has one fault a line.
const maxFaults = 20

// Fault is one thing that is wrong in tiers.toml, or wrong about what it names on this host.
type Fault struct {
	File    string
	Line    int    // 1 is the first; 0: the file as a whole
	Tier    string // the tier that it concerns; "" for the others
	Msg     string
	Warning bool // the rest of the file can be used all the same
}

// Error is the fault as one line: "tiers.toml:12: ...".
func (f Fault) Error() string {
	msg := f.Msg
	if f.Warning {
		msg = "warning: " + msg
	}
	if f.Line == 0 {
		return fmt.Sprintf("%s: %s", f.File, msg)
	}
	return fmt.Sprintf("%s:%d: %s", f.File, f.Line, msg)
}

// faults collects what the checks find, in any order.
type faults struct {
	file string
	all  []Fault
	told map[int]bool // lines whose value could not be read: what follows from that is no fault of its own
}

// unread is a fault of a value that is not decoded, which leaves the default in its place.
func (fs *faults) unread(line int, tier, format string, args ...any) {
	fs.all = append(fs.all, Fault{File: fs.file, Line: line, Tier: tier, Msg: fmt.Sprintf(format, args...)})
	if fs.told == nil {
		fs.told = map[int]bool{}
	}
	fs.told[line] = true
}

func (fs *faults) add(line int, tier, format string, args ...any) {
	if fs.told[line] {
		return
	}
	fs.all = append(fs.all, Fault{File: fs.file, Line: line, Tier: tier, Msg: fmt.Sprintf(format, args...)})
}

func (fs *faults) warn(line int, tier, format string, args ...any) {
	fs.all = append(fs.all, Fault{File: fs.file, Line: line, Tier: tier, Msg: fmt.Sprintf(format, args...), Warning: true})
}

// list returns the faults in file order, at most maxFaults of them and one that counts the rest.
func (fs *faults) list() []Fault {
	slices.SortStableFunc(fs.all, func(a, b Fault) int { return cmp.Compare(a.Line, b.Line) })
	list := slices.CompactFunc(fs.all, func(a, b Fault) bool { return a == b })
	if len(list) <= maxFaults {
		return list
	}
	rest := list[maxFaults:]
	all := !slices.ContainsFunc(rest, func(f Fault) bool { return !f.Warning })
	more := Fault{File: fs.file, Line: rest[0].Line, Msg: fmt.Sprintf("and %d more from here on", len(rest)), Warning: all}
	return append(slices.Clip(list[:maxFaults]), more)
}

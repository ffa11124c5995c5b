package quirks

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// version is a version as engines and kernels write theirs: "0.28.1rc1", "0.27.1.dev3+gabc", "b6123",
// "6.18.4-200.fc43". Its order is that of Python's packages (dev, a, b, rc, the release, post). What a build puts behind
// "+" and a distribution behind a kernel's numbers does not count.
type version struct {
	release []int // without zeros at its end: 0.27 is 0.27.0
	stage   int   // 0 is a release, below it rc, b and a
	number  int   // of the stage
	post    int   // its number and one, 0 for none
	dev     int   // its number and one, 0 for none
}

// stages are the words that stand for a stage before the release.
var stages = map[string]int{"a": -3, "alpha": -3, "b": -2, "beta": -2, "c": -1, "rc": -1, "pre": -1, "preview": -1}

var versionForm = regexp.MustCompile(`^[vb]?(\d+(?:\.\d+)*)` +
	`(?:[-._]?(alpha|a|beta|b|preview|pre|rc|c)[-._]?(\d*))?` +
	`(?:[-._]?(post|rev|r)[-._]?(\d*))?` +
	`(?:[-._]?(dev)[-._]?(\d*))?` +
	`(?:[-+_~ ].*|\.[a-z].*)?$`)

// parseVersion reads a version. The error says what is none.
func parseVersion(text string) (version, error) {
	m := versionForm.FindStringSubmatch(strings.ToLower(strings.TrimSpace(text)))
	if m == nil {
		return version{}, fmt.Errorf("%s is not a version, as in \"0.27.1\"", quoted(text))
	}
	v := version{stage: stages[m[2]], number: count(m[3])}
	for part := range strings.SplitSeq(m[1], ".") {
		v.release = append(v.release, count(part))
	}
	for len(v.release) > 1 && v.release[len(v.release)-1] == 0 {
		v.release = v.release[:len(v.release)-1]
	}
	if m[4] != "" {
		v.post = count(m[5]) + 1
	}
	if m[6] != "" {
		v.dev = count(m[7]) + 1
	}
	return v, nil
}

// count is a part of a version, 0 where the digits were left out. One that no machine could count to is cut there.
func count(digits string) int {
	const most = 1 << 40
	n, err := strconv.Atoi(digits)
	if err != nil && digits != "" {
		return most
	}
	return min(n, most)
}

// compare is below, at or above zero as v comes before, with or after w.
func (v version) compare(w version) int {
	return cmp.Or(
		slices.Compare(v.release, w.release),
		cmp.Compare(v.phase(), w.phase()),
		cmp.Compare(v.number, w.number),
		cmp.Compare(v.post, w.post),
		cmp.Compare(v.devRank(), w.devRank()))
}

// phase puts a development build of a release before its first alpha.
func (v version) phase() int {
	if v.stage == 0 && v.post == 0 && v.dev > 0 {
		return -4
	}
	return v.stage
}

// devRank puts what is no development build behind those that are.
func (v version) devRank() int {
	if v.dev == 0 {
		return 1<<40 + 2
	}
	return v.dev
}

// bound is one part of a range: ">=0.20".
type bound struct {
	op   string
	at   version
	text string // as it was written
}

// span is a range of versions: all of its bounds hold.
type span []bound

var boundForm = regexp.MustCompile(`^(>=|<=|==|!=|>|<)\s*(\S+)$`)

// parseSpan reads ">=0.20, <0.27".
func parseSpan(text string) (span, error) {
	var s span
	for part := range strings.SplitSeq(text, ",") {
		m := boundForm.FindStringSubmatch(strings.TrimSpace(part))
		if m == nil {
			return nil, fmt.Errorf("%s is not a range of versions, as in \">=0.20, <0.27\"", quoted(text))
		}
		at, err := parseVersion(m[2])
		if err != nil {
			return nil, err
		}
		s = append(s, bound{m[1], at, m[1] + m[2]})
	}
	if !slices.ContainsFunc(places(s), s.contains) {
		return nil, fmt.Errorf("no version is within %s", quoted(text))
	}
	return s, nil
}

func (s span) String() string {
	parts := make([]string, len(s))
	for i, b := range s {
		parts[i] = b.text
	}
	return strings.Join(parts, ", ")
}

// place is where a version may lie: it compares that version with another one.
type place func(version) int

func (v version) place() place { return v.compare }

func (s span) contains(p place) bool {
	for _, b := range s {
		c := p(b.at)
		holds := map[string]bool{"<": c < 0, "<=": c <= 0, "==": c == 0, "!=": c != 0, ">=": c >= 0, ">": c > 0}
		if !holds[b.op] {
			return false
		}
	}
	return true
}

// places are all that the bounds of some spans can tell apart: before the lowest version that they name, that version
// itself, between it and the next one, and so on.
func places(spans ...span) []place {
	var named []version
	for _, s := range spans {
		for _, b := range s {
			named = append(named, b.at)
		}
	}
	slices.SortFunc(named, version.compare)
	named = slices.CompactFunc(named, func(a, b version) bool { return a.compare(b) == 0 })
	all := []place{func(version) int { return -1 }}
	for _, v := range named {
		all = append(all, v.place(), func(w version) int {
			if v.compare(w) >= 0 {
				return 1
			}
			return -1
		})
	}
	return all
}

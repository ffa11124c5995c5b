package quirks

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func readVersion(t testing.TB, text string) version {
	t.Helper()
	v, err := parseVersion(text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVersionsAreInOrder(t *testing.T) {
	for _, row := range []struct {
		rule string
		list []string // each before the next
	}{
		{"numbers are numbers", []string{"0.9", "0.10", "0.27.1", "0.28", "1.0"}},
		{"a development build, candidates, the release, what came after", []string{"0.28.1.dev3+gabc", "0.28.1a1", "0.28.1b1", "0.28.1rc1", "0.28.1rc2", "0.28.1", "0.28.1.post1", "0.28.2.dev0"}},
		{"a development build of a candidate", []string{"0.28.1.dev9", "0.28.1rc1.dev499+g470229c37.d20260613", "0.28.1rc1", "0.28.1"}},
		{"a development build of a correction", []string{"1.0", "1.0.post1.dev2", "1.0.post1"}},
		{"kernels", []string{"6.12.48+deb13-amd64", "6.18-rc3", "6.18.0-1-generic", "6.18.4-200.fc43.x86_64", "6.19.2", "7.1.0-rc1", "7.1.3-100.fc43.x86_64"}},
		{"builds of llama.cpp", []string{"b999", "b6123", "b11669"}},
		{"firmware by its date", []string{"20240318.git3b128b60-0ubuntu2.19", "20251111-1", "20251125-2", "20260110"}},
	} {
		t.Run(row.rule, func(t *testing.T) {
			for i := range row.list {
				for j := range row.list {
					got := readVersion(t, row.list[i]).compare(readVersion(t, row.list[j]))
					if (got < 0) != (i < j) || (got > 0) != (i > j) {
						t.Errorf("%s against %s is %d", row.list[i], row.list[j], got)
					}
				}
			}
		})
	}
}

func TestOneVersionHasManySpellings(t *testing.T) {
	for _, list := range [][]string{
		{"0.27.1", "v0.27.1", "0.27.1.0", "0.27.1+rocm711", "0.27.1+gabc.d20260625", "0.27.1-3", " 0.27.1 ", "0.27.1 (abc)"},
		{"0.28.1rc1", "0.28.1-rc1", "0.28.1.RC.1", "0.28.1c1", "0.28.1pre1", "0.28.1rc1+rocm"},
		{"1.0.dev0", "1.dev", "1.0dev0", "1-dev0"},
		{"1.0.post0", "1.0post", "1-r0", "1.rev0"},
		{"6123", "b6123"},
	} {
		for _, text := range list[1:] {
			if got := readVersion(t, text).compare(readVersion(t, list[0])); got != 0 {
				t.Errorf("%q against %q is %d", text, list[0], got)
			}
		}
	}
}

func TestWhatIsNoVersion(t *testing.T) {
	for _, text := range []string{"", "unknown", "main", "+g1234", "v", ".1", "0.27x", "0..1", "0.27.1rocm711", "0.27.", strings.Repeat("x", 300)} {
		if v, err := parseVersion(text); err == nil {
			t.Errorf("%q is %+v", text, v)
		} else if len(err.Error()) > 120 {
			t.Errorf("the error repeats the file: %v", err)
		}
	}
	if readVersion(t, "99999999999999999999999.1").compare(readVersion(t, "1")) <= 0 {
		t.Error("a number that is too large is small")
	}
}

func TestRanges(t *testing.T) {
	for _, row := range []struct {
		span string
		in   string
		out  string
	}{
		{">=0.20", "0.20 0.20.0+rocm 0.27.1 1", "0.19.9 0.20rc1 0.20.dev3"},
		{">=0.20, <0.27", "0.20 0.26.9 0.27rc1", "0.27 0.27.1 0.19"},
		{"<= 0.27.1", "0.27.1 0.27.1+gabc 0.27", "0.27.1.post1 0.28"},
		{"==20251125", "20251125 20251125-2 20251125.git1", "20251126 20251111"},
		{"!=0.25, >0.24", "0.24.1 0.26", "0.24 0.25 0.25.0+rocm"},
	} {
		s, err := parseSpan(row.span)
		if err != nil {
			t.Error(err)
		}
		for text := range strings.FieldsSeq(row.in) {
			if !s.contains(readVersion(t, text).place()) {
				t.Errorf("%s is not in %s", text, row.span)
			}
		}
		for text := range strings.FieldsSeq(row.out) {
			if s.contains(readVersion(t, text).place()) {
				t.Errorf("%s is in %s", text, row.span)
			}
		}
	}
}

func TestWhatIsNoRange(t *testing.T) {
	for text, want := range map[string]string{
		"0.27":           `"0.27" is not a range of versions, as in ">=0.20, <0.27"`,
		"":               `"" is not a range of versions, as in ">=0.20, <0.27"`,
		">=0.20,":        `">=0.20," is not a range of versions, as in ">=0.20, <0.27"`,
		">=new":          `"new" is not a version, as in "0.27.1"`,
		">0.27, <0.20":   `no version is within ">0.27, <0.20"`,
		"==0.27, !=0.27": `no version is within "==0.27, !=0.27"`,
	} {
		if _, err := parseSpan(text); err == nil || err.Error() != want {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// anyVersion draws versions that are close enough to each other to be equal at times.
func anyVersion(t *rapid.T) string {
	text := rapid.SampledFrom([]string{"0.27", "0.27.1", "0.28", "1", "1.0.1"}).Draw(t, "release")
	text += rapid.SampledFrom([]string{"", "a1", "b2", "rc1", "rc2"}).Draw(t, "stage")
	text += rapid.SampledFrom([]string{"", "", ".post1", ".post2"}).Draw(t, "post")
	text += rapid.SampledFrom([]string{"", "", ".dev0", ".dev7"}).Draw(t, "dev")
	return text + rapid.SampledFrom([]string{"", "+rocm711", "+gabc"}).Draw(t, "build")
}

func TestTheOrderIsOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var list []version
		for range 3 {
			v, err := parseVersion(anyVersion(t))
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, v)
		}
		a, b, c := list[0], list[1], list[2]
		if a.compare(b) != -b.compare(a) {
			t.Errorf("%+v and %+v are each before the other", a, b)
		}
		if a.compare(b) <= 0 && b.compare(c) <= 0 && a.compare(c) > 0 {
			t.Errorf("%+v, %+v, %+v go round", a, b, c)
		}
	})
}

// Any version lies where one of the places lies, as far as ranges can tell: what holds in all of those holds for it.
func TestPlacesStandForEveryVersion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s span
		for range rapid.IntRange(1, 4).Draw(t, "bounds") {
			text := rapid.SampledFrom([]string{"<", "<=", "==", "!=", ">=", ">"}).Draw(t, "op") + anyVersion(t)
			one, err := parseSpan(text)
			if err != nil {
				t.Fatal(err)
			}
			s = append(s, one...)
		}
		v, err := parseVersion(anyVersion(t))
		if err != nil {
			t.Fatal(err)
		}
		same := func(p place) bool {
			return !slices.ContainsFunc(s, func(b bound) bool { return span{b}.contains(p) != span{b}.contains(v.place()) })
		}
		if !slices.ContainsFunc(places(s), same) {
			t.Errorf("no place of %v is that of %+v", s, v)
		}
	})
}

func FuzzParseVersion(f *testing.F) {
	for _, seed := range []string{"0.27.1", "0.28.1rc1", "0.27.1.dev3+gabc", "0.22.1rc1.dev499+g470229c37.d20260613", "6.18.4-200.fc43.x86_64", "b11669", "20240318.git3b128b60-0ubuntu2.19", "1.0.post"} {
		f.Add(seed, "0.27.1")
	}
	f.Fuzz(func(t *testing.T, one, other string) {
		v, err := parseVersion(one)
		if err != nil {
			return
		}
		if v.compare(v) != 0 || len(v.release) == 0 {
			t.Errorf("%q is %+v, which is not itself", one, v)
		}
		w, err := parseVersion(other)
		if err == nil && v.compare(w) != -w.compare(v) {
			t.Errorf("%q and %q have no order", one, other)
		}
	})
}

func FuzzParseSpan(f *testing.F) {
	f.Add(">=0.20, <0.27", "0.26")
	f.Add("==0.27.1.dev3+gabc", "1")
	f.Fuzz(func(t *testing.T, text, in string) {
		s, err := parseSpan(text)
		if err != nil {
			return
		}
		again, err := parseSpan(s.String())
		if err != nil {
			t.Fatalf("%q is written %q, which is none: %v", text, s, err)
		}
		if v, err := parseVersion(in); err == nil && s.contains(v.place()) != again.contains(v.place()) {
			t.Errorf("%q and %q differ about %q", text, s, in)
		}
	})
}

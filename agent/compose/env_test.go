package compose

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/dotenv"
)

func TestEnvSyntax(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string // "line KEY=value"
	}{
		{"a value ends with the line", "A=1\nB=two words\n", []string{"1 A=1", "2 B=two words"}},
		{"lines may end as Windows has them", "A=1\r\nB=\"2\"\r\n", []string{"1 A=1", "2 B=2"}},
		{"a byte order mark is none of the name", "\uFEFFA=1\n", []string{"1 A=1"}},
		{"the last line needs no end", "A=1", []string{"1 A=1"}},
		{"blank lines and comments count", "\n# a\n\nA=1\n", []string{"4 A=1"}},
		{"a comment may follow a value", "A=1 # one\nB=x#y\n", []string{"1 A=1", "2 B=x#y"}},
		{"quotes keep a comment's sign", "A='1 # one'\nB=\"x # y\" # z\n", []string{"1 A=1 # one", "2 B=x # y"}},
		{"export means nothing", "export A=1\n", []string{"1 A=1"}},
		{"blanks around the sign are no part", "A = 1\n", []string{"1 A=1"}},
		{"a colon is as good", "A: 1\n", []string{"1 A=1"}},
		{"nothing is a value", "A=\nB=''\n", []string{"1 A=", "2 B="}},
		{"an earlier variable is replaced", "A=1\nB=${A}$A\n", []string{"1 A=1", "2 B=11"}},
		{"the environment is asked as well", "A=${HOME}/x\n", []string{"1 A=/home/user/x"}},
		{"what to take else", "A=${B:-c}${B-d}${HOME:+e}\n", []string{"1 A=cde"}},
		{"single quotes replace nothing", "A='$HOME'\n", []string{"1 A=$HOME"}},
		{"two signs are one", "A=$$HOME\n", []string{"1 A=$HOME"}},
		{"a quoted value goes over lines", "A=\"1\n2\n3\"\nB=4\n", []string{"1 A=1\n2\n3", "4 B=4"}},
		{"the last of a name counts", "A=1\nB=2\nA=3\n", []string{"2 B=2", "3 A=3"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := readEnv(envOf(c.text), atHome)
			if len(f.faults) > 0 {
				t.Fatal(f.faults)
			}
			var got []string
			for _, s := range f.all {
				got = append(got, fmt.Sprintf("%d %s=%s", s.at.Line, s.key, s.value))
			}
			if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestEnvFaults(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"every fault is told, and the lines between are read", "A/B=1\nC=2\nD E=3\n=4\nF=${\n",
			[]string{".env:1: is no NAME=VALUE", ".env:3: has a space", ".env:4: has no name", ".env:5: has a $"}},
		{"an open quote takes no other line with it", "A=\"1\nB/C=2\n", []string{".env:1: opens a quote", ".env:2: is no NAME=VALUE"}},
		{"a variable that is required", "A=${B:?is needed}\n", []string{".env:1: requires the variable B"}},
		{"bytes that are no text", "A=\xff\n", []string{".env:1: is not UTF-8"}},
		{"a file that is none", strings.Repeat("#", maxFile+1), []string{".env: is larger than"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, faults := Import(envOf(c.text+"ORCH_MODEL=m\n"), nil, atHome)
			if r != nil || len(faults) != len(c.want) {
				t.Fatalf("%v", faults)
			}
			for i, f := range faults {
				if !strings.HasPrefix(f.Error(), c.want[i]) {
					t.Errorf("%q, want %q", f.Error(), c.want[i])
				}
			}
		})
	}
}

func TestEnvNotes(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"a variable that is nowhere", "A=${NOWHERE}\n", []string{".env:1: NOWHERE is set nowhere, and read as nothing"}},
		{"not one with something to take else", "A=${NOWHERE:-1}\n", nil},
		{"a name alone, which is the environment's", "NOWHERE\n", []string{".env:1: NOWHERE is set nowhere, and read as nothing"}},
		{"a name that comes again", "A=1\nA=2\n", []string{".env:1: A is set again in line 2, which counts"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := readEnv(envOf(c.text), atHome)
			var got []string
			for _, n := range f.notes {
				got = append(got, n.String())
			}
			if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// FuzzEnv: statement by statement comes to the same as compose's reader does with the whole file, wherever that reads it.
func FuzzEnv(f *testing.F) {
	for _, a := range golden(f) {
		env, _ := sources(a)
		f.Add(string(env.Text))
	}
	for _, text := range []string{
		"A=\"1\n2\" B='3'\nC=4", "A=${B:-\"c\"}\n\"", "export\nA=1", "A:\t1\r\nB", "A='\\''\n", "A=\"${X:-${Y-\n}}\"", "A=\"x\"y\nB=1",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := readEnv(envOf(text), atHome)
		for _, s := range got.all {
			if s.at.Line < 1 || s.at.Line > strings.Count(text, "\n")+1 {
				t.Errorf("%s stands in line %d", s.key, s.at.Line)
			}
		}
		if !strings.HasSuffix(text, "\n") {
			text += "\n" // without it compose takes a name alone for a value without name
		}
		want, err := dotenv.ParseWithLookup(strings.NewReader(text), atHome)
		if err != nil || len(got.faults) > 0 {
			return // compose refuses it, or it has an empty name or bytes that are no text
		}
		values := map[string]string{}
		for _, s := range got.all {
			values[s.key] = s.value
		}
		if !maps.Equal(values, want) {
			t.Errorf("%q is read as %q, and by compose as %q", text, values, want)
		}
	})
}

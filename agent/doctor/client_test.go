package doctor

import (
	"slices"
	"strings"
	"testing"
)

func TestAConfigurationOfAClientThatIsFromBeforeIsToldOf(t *testing.T) {
	const fix = "tierctl opencode apply --gateway"
	for _, test := range []struct {
		name    string
		clients []ClientFile
		want    Severity
		what    string
	}{
		{"none was written", nil, "", ""},
		{"as it would be now", []ClientFile{{Path: "/f"}}, OK, "/f has the tiers as they are"},
		{"less than there is is a note", []ClientFile{{Path: "/f", Stale: "it lacks tier \"x\"", Fix: fix}}, Note, `/f is from before: it lacks tier "x"`},
		{"more than there is is a warning", []ClientFile{{Path: "/f", Stale: "S", Breaks: true, Fix: fix}}, Warning, "/f is from before: S"},
	} {
		t.Run(test.name, func(t *testing.T) {
			found := slices.DeleteFunc(Check(Facts{Clients: test.clients}), func(f Finding) bool { return f.ID != "opencode" })
			if test.clients == nil {
				if len(found) > 0 {
					t.Errorf("%+v", found)
				}
				return
			}
			if len(found) != 1 || found[0].Severity != test.want || !strings.Contains(found[0].What, test.what) || found[0].Fix != test.clients[0].Fix {
				t.Errorf("%+v", found)
			}
			if (found[0].Why == "") != (test.want == OK) {
				t.Errorf("why: %q", found[0].Why)
			}
		})
	}
}

package units

import (
	"strings"
	"testing"
)

func TestWhatIsNewInTheGateway(t *testing.T) {
	before := defaults().Gateway
	after := before
	if got := after.Differs(before); len(got) > 0 {
		t.Errorf("the same differs in %q", got)
	}
	after.Hosts, after.Keys = []string{}, []Key{}
	if got := after.Differs(before); len(got) > 0 {
		t.Errorf("an empty list and one that is left out differ in %q", got)
	}
	after.Port, after.Hosts, after.Keys = 9000, []string{"a"}, []Key{{Name: "laptop"}}
	if got := strings.Join(after.Differs(before), " "); got != "port hosts key" {
		t.Errorf("it differs in %q", got)
	}
}

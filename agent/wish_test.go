package agent

import (
	"testing"

	"github.com/tierd/tierd/agent/api"
)

func TestADecisionOnAWish(t *testing.T) {
	wrong, pause, none := &api.Error{Message: "its start failed"}, &api.Error{Message: "it failed before"}, &api.Error{Message: "its model is missing"}
	for _, c := range []struct {
		rule  string
		facts wishFacts
		want  ruling
		says  string
	}{
		{"what serves is granted, whatever else", wishFacts{serves: true, ended: wrong, blocked: none, manual: true, busy: true, setback: pause}, grantIt, ""},
		{"the failure of its own start is told before another is joined", wishFacts{ended: wrong, coming: true, setback: pause}, refuseIt, "its start failed"},
		{"a start of anybody's is waited for, also of a manual tier", wishFacts{coming: true, manual: true, busy: true, setback: pause}, waitOn, ""},
		{"what cannot start is told at once, and not after its stop", wishFacts{blocked: none, manual: true, busy: true, setback: pause}, refuseIt, "its model is missing"},
		{"a manual tier is not waited for while it stops", wishFacts{tier: "util", manual: true, busy: true}, refuseIt, `util is not up, and no request starts it: tiers.toml says start = "manual"`},
		{"a stop is waited out before anything else is looked at", wishFacts{busy: true, setback: pause}, waitOn, ""},
		{"within the pause nothing is tried", wishFacts{setback: pause}, refuseIt, "it failed before"},
		{"else it is started", wishFacts{}, startIt, ""},
	} {
		got, err := decide(c.facts)
		if got != c.want || c.says == "" && err != nil || c.says != "" && (err == nil || err.Message != c.says) {
			t.Errorf("%s: %d, %v", c.rule, got, err)
		}
	}
}

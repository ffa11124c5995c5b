// Package load asks the gateway as many clients at once would, and checks every answer by its content: which model gave it,
// and whether its text is whole and the one that was asked for. How each request ended is counted.
package load

import (
	"fmt"
	"strconv"
	"strings"
)

// Target is one way to ask for a tier.
type Target struct {
	Tier    string
	Port    int
	Model   string   // the request's `model`; "" sends none
	Answers []string // what the answer's `model` may be: engines tell the name that they serve, whatever they were asked for
}

// ParseTarget reads "TIER:PORT:MODEL:ANSWER,ANSWER", as in "orch:8001:orchestrator:orch-main,orch-llama".
func ParseTarget(text string) (Target, error) {
	words := strings.Split(text, ":")
	if len(words) != 4 || words[0] == "" || words[3] == "" {
		return Target{}, fmt.Errorf("%q is no target such as orch:8001:orchestrator:orch-main,orch-llama", text)
	}
	port, err := strconv.ParseUint(words[1], 10, 16)
	if err != nil || port == 0 {
		return Target{}, fmt.Errorf("%q is no port, in the target %q", words[1], text)
	}
	return Target{Tier: words[0], Port: int(port), Model: words[2], Answers: strings.Split(words[3], ",")}, nil
}

// String is what ParseTarget reads.
func (t Target) String() string {
	return fmt.Sprintf("%s:%d:%s:%s", t.Tier, t.Port, t.Model, strings.Join(t.Answers, ","))
}

// Targets is a flag that may be given several times.
type Targets []Target

// String is part of flag.Value.
func (ts *Targets) String() string {
	var words []string
	for _, t := range *ts {
		words = append(words, t.String())
	}
	return strings.Join(words, " ")
}

// Set is part of flag.Value.
func (ts *Targets) Set(text string) error {
	t, err := ParseTarget(text)
	if err == nil {
		*ts = append(*ts, t)
	}
	return err
}

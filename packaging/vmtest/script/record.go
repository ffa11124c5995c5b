package script

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// mark is how a line of the record begins among all that a tier's journal has.
const mark = "script: "

// Turn is one request as the record has it.
type Turn struct {
	At            time.Time
	Tier, Variant string
	Session       string // the client's X-Session-Id
	Parent        string // the session that this one works for
	Agent         string // the client's User-Agent
	Model         string
	MaxTokens     int
	Temperature   *float64 `json:",omitempty"`
	Tools         []string `json:",omitempty"`
	Tokens        int      // of the prompt, guessed from its length
	Messages      int
	Last          string // the beginning of the last message
	Rule          string
	Status        int
}

// line is the turn as a line of the record.
func (t Turn) line() string {
	text, err := json.Marshal(t)
	if err != nil {
		return mark + err.Error()
	}
	return mark + string(text)
}

// Record reads the turns among the lines of a journal, in the order in which the requests came.
func Record(journal string) ([]Turn, error) {
	var all []Turn
	for line := range strings.Lines(journal) {
		_, text, ok := strings.Cut(line, mark)
		if !ok {
			continue
		}
		var t Turn
		if err := json.Unmarshal([]byte(text), &t); err != nil {
			return nil, fmt.Errorf("cannot read a line of the record: %w: %s", err, line)
		}
		all = append(all, t)
	}
	return all, nil
}

// Package script is a model server that says what it was told to, so that a client which works with tools can be led
// through a session that a small real model could not hold. To tierd it is a llama-server: same flags, same paths, same
// error texts.
package script

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"
)

// Script is what every engine of a bed answers by. It is read anew for each request, so it may change meanwhile.
type Script struct {
	// Load is how long a tier takes to load, by its name. It is read when the engine starts.
	Load map[string]Duration
	// Rules in their order: the first one that fits is the answer. A request that none fits is 500.
	Rules []Rule
}

// Rule is one answer and when to give it. All conditions that are given must hold.
type Rule struct {
	Name  string   // what the record calls it
	Tier  string   `json:",omitempty"`
	Tools *bool    `json:",omitempty"` // whether the client offers any
	Has   string   `json:",omitempty"` // somewhere in the messages
	Last  string   `json:",omitempty"` // in the last message
	After int      `json:",omitempty"` // so many messages at least say something after the last one of the user's
	Times int      `json:",omitempty"` // the rule holds for so many requests of one engine's life; 0: for all
	Wait  Duration `json:",omitempty"` // before anything is answered

	Say   string   `json:",omitempty"`
	Pace  Duration `json:",omitempty"` // between two words of what is said
	Calls []Call   `json:",omitempty"` // after what is said
	Cut   bool     `json:",omitempty"` // the connection breaks after what is said

	Status int               `json:",omitempty"` // other than 0: no answer of a model's, but this
	Header map[string]string `json:",omitempty"`
	Body   string            `json:",omitempty"`
}

// Call is a use of a tool that the model asks for.
type Call struct {
	Name      string
	Arguments map[string]any
}

// Duration is one that JSON shows as a person writes it: "60s".
type Duration time.Duration

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = Duration(parsed)
	return err
}

// Read reads a script from a file.
func Read(path string) (*Script, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var s Script
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("cannot read the script %s: %w", path, err)
	}
	return &s, nil
}

// fits tells whether a rule's conditions hold but for Times, which only the server can know.
func (r *Rule) fits(tier string, q *question) bool {
	switch {
	case r.Tier != "" && r.Tier != tier,
		r.Tools != nil && *r.Tools != (len(q.Tools) > 0),
		r.After > q.after():
		return false
	}
	return strings.Contains(q.last(), r.Last) && q.has(r.Has)
}

// Package bench measures how fast tiers answer, as their clients see it: through the gateway. It knows what a report is made
// of, and what two of them say of each other.
package bench

import (
	"encoding/json"
	"fmt"
	"time"
)

// Schema is the version of a Report as JSON. Fields may be added to it; none of those that are there changes its meaning.
const Schema = 1

// Report is one run of `tierctl bench`.
type Report struct {
	Schema     int         `json:"schema"`
	Time       time.Time   `json:"time"`
	Tierd      string      `json:"tierd"`             // version
	Machine    string      `json:"machine,omitempty"` // its CPU
	Tokens     int         `json:"tokens"`            // that each request asked for
	Runs       int         `json:"runs"`
	Ended      string      `json:"ended,omitempty"` // why it ended early; what it had until then is there
	Tiers      []Tier      `json:"tiers"`
	Comparison *Comparison `json:"comparison,omitempty"` // with an earlier report
}

// Tier is what was measured of one tier.
type Tier struct {
	Tier      string     `json:"tier"`
	Variant   string     `json:"variant"`
	Engine    string     `json:"engine"`            // "vllm" or "llama"
	Version   string     `json:"version,omitempty"` // of the engine, as it says; "" when it does not
	Model     string     `json:"model"`
	Context   int        `json:"context,omitempty"`   // tokens
	Weights   uint64     `json:"weights,omitempty"`   // bytes of weights that a token reads; 0: not known
	Experts   int        `json:"experts,omitempty"`   // of a mixture, in a layer
	Used      int        `json:"used,omitempty"`      // of them, by a token
	Bandwidth *Bandwidth `json:"bandwidth,omitempty"` // nil: not known
	Notes     []string   `json:"notes,omitempty"`     // what a reader of the figures should know
	Skipped   string     `json:"skipped,omitempty"`   // why nothing, or no more, was measured
	Points    []Point    `json:"points"`
}

// Point is one depth with so many requests at a time. Rates are tokens a second.
type Point struct {
	Depth       int    `json:"depth"`             // as it was asked for, in tokens
	Streams     int    `json:"streams"`           // requests at a time
	Skipped     string `json:"skipped,omitempty"` // why it was not measured, or not to its end
	Prompt      int    `json:"prompt_tokens,omitempty"`
	KV          uint64 `json:"kv,omitempty"`            // bytes of KV cache that a token reads there
	CachedCount int    `json:"cached_tokens,omitempty"` // that the engine took from its cache when a prompt came again

	TTFT       *Figure `json:"ttft_seconds,omitempty"`        // until the first token, of each request
	CachedTTFT *Figure `json:"cached_ttft_seconds,omitempty"` // the same when the prompt came again
	Reading    *Figure `json:"prompt_rate,omitempty"`         // prompt tokens / TTFT, of each request
	Writing    *Figure `json:"generation_rate,omitempty"`     // between its first token and its last, of each request
	Total      *Figure `json:"total_rate,omitempty"`          // of all streams, between their first token and their last

	// What the engine says of itself, of each request; nil when it does not.
	EngineReading *Figure `json:"engine_prompt_rate,omitempty"`
	EngineWriting *Figure `json:"engine_generation_rate,omitempty"`

	Bound   *float64 `json:"bound_rate,omitempty"` // what the memory's bandwidth allows to all streams together; nil: not known
	Percent *float64 `json:"percent,omitempty"`    // the median of Total, of Bound
}

// Measured tells whether there is any figure.
func (r Report) Measured() bool {
	for _, t := range r.Tiers {
		for _, p := range t.Points {
			if p.TTFT != nil {
				return true
			}
		}
	}
	return false
}

// ParseReport reads a report that was saved.
func ParseReport(text []byte) (Report, error) {
	var r Report
	if err := json.Unmarshal(text, &r); err != nil {
		return r, fmt.Errorf("it is no report of tierctl bench: %w", err)
	}
	switch {
	case r.Schema == 0:
		return r, fmt.Errorf("it is no report of tierctl bench: it has no `schema`")
	case r.Schema != Schema:
		return r, fmt.Errorf("it has schema %d, and this tierctl knows %d; use the tierctl that wrote it", r.Schema, Schema)
	}
	return r, nil
}

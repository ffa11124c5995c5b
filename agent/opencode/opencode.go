// Package opencode turns the tiers into OpenCode's configuration, puts it where OpenCode merges it beneath the user's own,
// checks it with the real client, and takes it back without a trace.
//
// MakePlan is pure: tiers and options in, files and findings out. What is written, read and run is behind Apply, Undo and
// Verify. OpenCode merges objects deep and drops keys it does not know without a word, so nothing here is proved by "it started".
package opencode

import "time"

// Tier is what the configuration has to know of one tier. Sizes are tokens.
type Tier struct {
	Name     string
	Role     string // "orchestrator", "coder", "reviewer", "utility", or any other word
	Port     int
	Engine   string // "vllm", "llama" or "remote"
	Model    string
	Variant  string
	Context  int           // that one request may have, prompt and answer together; 0: nobody knows
	Live     bool          // Context is what the running engine told, not what tiers.toml wishes
	Parallel int           // requests worked on at the same time; 0: not known
	Output   int           // that one answer may have, as tiers.toml says; 0: by role
	Tools    bool          // its engine turns the model's words into tool calls
	Leaves   bool          // its requests leave the machine
	Load     time.Duration // how long a start may take at most; 0: not known
	Hold     time.Duration // how long the gateway holds a request for it
	Silence  time.Duration // how long the engine may work without yielding anything
}

// Options are what the user chose.
type Options struct {
	Address string // the gateway's, "127.0.0.1"
	Port    int    // of the listener that serves every tier; 0: there is none
	Gateway bool   // every provider goes to that one port; otherwise each to its tier's own
	KeyFile string // absolute path of a file that holds the gateway's key; "": it wants none
	OMO     bool   // oh-my-opencode as well
	Major   int    // OpenCode's major version; 0: not known
}

// Kind tells what a file of a plan is.
type Kind string

// The files that a plan may have. Where each goes is a Place's business.
const (
	KindConfig  Kind = "opencode" // opencode.json: providers, models, agents
	KindManaged Kind = "managed"  // /etc/opencode/opencode.json: what no user's file may change, and no models
	KindOMO     Kind = "omo"      // omo.jsonc
)

// File is one file as it should be.
type File struct {
	Kind Kind
	Data []byte // whole, with a newline at its end
	Key  bool   // it names a key's file or holds a secret: nobody else may read it
}

// Finding is something that a person should know. Refuse: nothing is written as long as it is so.
type Finding struct {
	Refuse bool
	Tier   string // "" when it is about none
	Text   string // one sentence: what, with the sum where it is about sizes
	Hint   string // what to do
}

// Plan is what OpenCode should be told.
type Plan struct {
	Files    []File
	Findings []Finding
}

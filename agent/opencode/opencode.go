// Package opencode turns the tiers into OpenCode's configuration, puts it where OpenCode merges it beneath the user's own,
// checks it with the real client, and takes it back without a trace.
//
// MakePlan is pure: tiers and options in, files and findings out. What is written, read and run is behind Apply, Undo and
// Verify. OpenCode merges objects deep and drops keys it does not know without a word, so nothing here is proved by "it started".
package opencode

import (
	"slices"
	"time"
)

// Tier is what the configuration has to know of one tier. Sizes are tokens.
type Tier struct {
	Name     string
	Role     string // "orchestrator", "coder", "reviewer", "utility", or any other word
	Port     int
	Start    string // "boot", "demand" or "manual"
	Engine   string // "vllm", "llama" or "remote"
	Model    string
	Variant  string        // the one that is up, else the one that would be started
	Ready    bool          // it answers as things are
	Blocked  string        // why no request can start it as things are; "": nothing is known against it
	PortLost string        // why its own port is not the gateway's; "": it is, or nobody knows
	Context  int           // that one request may have, prompt and answer together; 0: nobody knows
	Wish     int           // what tiers.toml says of Context; 0: nothing
	Live     bool          // Context is what the running engine told, not what tiers.toml wishes
	Parallel int           // requests worked on at the same time; 0: not known
	Output   int           // that one answer may have, as tiers.toml says; 0: by role
	Memory   uint64        // bytes that it takes; 0: not known
	Tools    bool          // its engine turns the model's words into tool calls
	Leaves   bool          // its requests leave the machine
	Cloud    string        // the variant by which they leave, beside others that stay; "": there is none
	Load     time.Duration // how long a start may take at most; 0: not known
	Hold     time.Duration // how long the gateway holds a request for it
	Silence  time.Duration // how long the engine may work without yielding anything
}

// Options are what the user chose.
type Options struct {
	Address string // the gateway's as a client on this machine reaches it, "127.0.0.1"
	Port    int    // of the listener that serves every tier; 0: there is none
	Gateway bool   // every provider goes to that one port; otherwise each to its tier's own
	Keys    bool   // the gateway wants a key
	KeyFile string // absolute path of a file that holds one; "": none
	OMO     bool   // oh-my-opencode as well
	Major   int    // OpenCode's major version; 0: not known
}

// Kind tells what a file of a plan is.
type Kind string

// The files that a plan may have. Where each goes is a Place's business.
const (
	KindConfig  Kind = "opencode" // opencode.json: providers, models, agents
	KindManaged Kind = "managed"  // /etc/opencode/opencode.json: what no user's file may change, and no models
	KindOMO     Kind = "omo"      // omo.jsonc, with Options.OMO alone
)

// File is one file as it should be: JSON beneath one line of comment, which OpenCode and its plugin both read.
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

// Model is one model as OpenCode will know it.
type Model struct {
	Tier     string
	Ref      string // "local_orch/orchestrator", as in `opencode run -m`
	Provider string
	ID       string // what a request names
	BaseURL  string // up to and with its /v1
	Context  int    // tokens; 0: not known
	Output   int    // tokens; 0: not limited
}

// Plan is what OpenCode should be told. Files always has the config and the managed file, each for the scope that has a place
// for it, unless there is no tier at all.
type Plan struct {
	Files    []File
	Models   []Model        // one for each tier, in the order of tiers.toml
	Cut      map[string]int // what tiers.toml wishes, in tokens, of tiers whose engine serves less
	Findings []Finding
}

// Refused tells whether a finding forbids to write the files.
func (p Plan) Refused() bool {
	return slices.ContainsFunc(p.Findings, func(f Finding) bool { return f.Refuse })
}

// File returns the file of that kind.
func (p Plan) File(k Kind) (File, bool) {
	i := slices.IndexFunc(p.Files, func(f File) bool { return f.Kind == k })
	if i < 0 {
		return File{}, false
	}
	return p.Files[i], true
}

package opencode

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
)

// The types of opencode.json, as far as a plan has need of them. The names are those of OpenCode's own types (npm @opencode-ai/sdk
// 1.18.33, dist/v2/gen/types.gen.d.ts): a key that is not among them is dropped without a word, and beneath an agent it becomes
// a field of each request. A test holds every tag against a copy of that list.
type (
	config struct {
		Schema       string            `json:"$schema"`
		Autoupdate   bool              `json:"autoupdate"`
		Share        string            `json:"share"`
		Enabled      []string          `json:"enabled_providers"`
		Experimental experimental      `json:"experimental"`
		Plugin       []string          `json:"plugin,omitempty"`
		Model        string            `json:"model"`
		SmallModel   string            `json:"small_model"`
		DefaultAgent string            `json:"default_agent,omitempty"`
		Permission   *permission       `json:"permission"`
		Provider     members[provider] `json:"provider"`
		Agent        members[agent]    `json:"agent,omitempty"`
	}

	// managed is what no user's file may change. OpenCode merges it over all others, so that models here would take the
	// user's away.
	managed struct {
		Schema       string       `json:"$schema"`
		Autoupdate   bool         `json:"autoupdate"`
		Share        string       `json:"share"`
		Enabled      []string     `json:"enabled_providers"`
		Experimental experimental `json:"experimental"`
	}

	// experimental has what stands for enabled_providers in OpenCode 2, which takes no notice of that. Version 1 keeps it and does
	// nothing by it.
	experimental struct {
		Policies []policy `json:"policies"`
	}

	// policy is one of a list in which the last that fits holds.
	policy struct {
		Effect   string `json:"effect"`
		Action   string `json:"action"`
		Resource string `json:"resource"`
	}

	provider struct {
		NPM     string          `json:"npm"`
		Name    string          `json:"name"`
		Options connection      `json:"options"`
		Models  members[member] `json:"models"`
	}

	// connection has no `timeout`: OpenCode takes that for the whole of an answer, and does not try again after it.
	connection struct {
		BaseURL       string `json:"baseURL"`
		APIKey        string `json:"apiKey"`
		HeaderTimeout int64  `json:"headerTimeout"` // milliseconds
		ChunkTimeout  int64  `json:"chunkTimeout"`  // milliseconds
	}

	member struct {
		Name        string `json:"name"`
		ToolCall    bool   `json:"tool_call"`
		Temperature bool   `json:"temperature"` // without it an agent's own is dropped
		Limit       *limit `json:"limit,omitempty"`
	}

	limit struct {
		Context int `json:"context"`
		Output  int `json:"output"`
	}

	agent struct {
		Mode        string      `json:"mode,omitempty"`
		Model       string      `json:"model,omitempty"`
		Description string      `json:"description,omitempty"`
		Temperature float64     `json:"temperature,omitempty"`
		Permission  *permission `json:"permission,omitempty"`
	}

	// permission keeps the order: of two rules that fit a tool the later one holds.
	permission struct {
		All       string          `json:"*,omitempty"`
		Read      members[string] `json:"read,omitempty"`
		Grep      string          `json:"grep,omitempty"`
		Glob      string          `json:"glob,omitempty"`
		Edit      string          `json:"edit,omitempty"`
		Bash      string          `json:"bash,omitempty"`
		Task      string          `json:"task,omitempty"`
		TodoWrite string          `json:"todowrite,omitempty"`
		Skill     string          `json:"skill,omitempty"`
		WebFetch  string          `json:"webfetch,omitempty"`
		WebSearch string          `json:"websearch,omitempty"`
	}
)

// tiersAlone are the policies by which OpenCode 2 offers the tiers and none of its hosted models.
var tiersAlone = experimental{[]policy{{"deny", "provider.use", "*"}, {"allow", "provider.use", providerPrefix + "*"}}}

const (
	schema = "https://opencode.ai/config.json"
	// compatible is the one adapter that is inside of OpenCode's program and asks for nothing beyond /chat/completions.
	compatible = "@ai-sdk/openai-compatible"
)

// members is a JSON object that keeps its order: tiers as in tiers.toml, agents as they are thought of, rules as they hold.
type members[T any] []named[T]

type named[T any] struct {
	name  string
	value T
}

func (m *members[T]) add(name string, value T) { *m = append(*m, named[T]{name, value}) }

// MarshalJSON writes the members in their order.
func (m members[T]) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, one := range m {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := encode(&b, one.name, ""); err != nil {
			return nil, err
		}
		b.WriteByte(':')
		if err := encode(&b, one.value, ""); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// UnmarshalJSON reads them in the order in which they stand. Of two of one name the later one holds, as it does for OpenCode.
func (m *members[T]) UnmarshalJSON(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	start, err := d.Token()
	switch {
	case err != nil || start == nil: // null stands for none
		return err
	case start != json.Delim('{'):
		return &json.UnmarshalTypeError{Value: kindOf(start), Type: reflect.TypeFor[map[string]T]()}
	}
	*m = nil
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		name, _ := key.(string)
		var value T
		if err := d.Decode(&value); err != nil {
			return err
		}
		*m = slices.DeleteFunc(*m, func(one named[T]) bool { return one.name == name })
		m.add(name, value)
	}
	return nil
}

// kindOf is what a value is that begins with a token, as encoding/json calls it.
func kindOf(start json.Token) string {
	switch start.(type) {
	case json.Delim:
		return "array"
	case string:
		return "string"
	case bool:
		return "bool"
	}
	return "number"
}

// encode leaves <, > and & as they are: OpenCode takes the path in {file:…} as it stands in the text, escapes and all.
func encode(b *bytes.Buffer, v any, indent string) error {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	return e.Encode(v)
}

// text is a whole file: a line of comment, since OpenCode reads its .json as JSONC, and the value beneath.
func text(comment string, v any) []byte {
	var b bytes.Buffer
	b.WriteString("// " + comment + "\n")
	if err := encode(&b, v, "  "); err != nil {
		panic(err) // strings, numbers and what holds them: there is nothing that cannot be marshalled
	}
	return b.Bytes()
}

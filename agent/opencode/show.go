package opencode

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tailscale/hujson"
)

// InForce is what one file that Apply wrote says now, and whether it still is as written.
type InForce struct {
	Path   string
	Kind   Kind
	Scope  Scope
	State  string // AsWritten, Edited or Gone
	Fault  error  // why it cannot be read, with the place; nil: it can
	Model  string // of the primary agent, "provider/model"
	Small  string // of titles
	Agents []InForceAgent
	Models []Model
}

// What may have become of a file.
const (
	AsWritten = "as written"
	Edited    = "edited since"
	Gone      = "gone"
)

// InForceAgent is one agent of the file. Rules are its permissions as the file has them.
type InForceAgent struct {
	Name        string
	Mode        string
	Model       string // "": that of the agent or person that calls it
	Description string
	Rules       json.RawMessage
}

// shown are the keys of a configuration that Show looks at. Models and agents stay in the order of the file, which is that of
// tiers.toml.
type shown struct {
	Model    string `json:"model"`
	Small    string `json:"small_model"`
	Provider members[struct {
		Options struct {
			BaseURL string `json:"baseURL"`
		} `json:"options"`
		Models members[struct {
			Limit struct {
				Context int `json:"context"`
				Output  int `json:"output"`
			} `json:"limit"`
		}] `json:"models"`
	}] `json:"provider"`
	Agent members[struct {
		Mode        string          `json:"mode"`
		Model       string          `json:"model"`
		Description string          `json:"description"`
		Permission  json.RawMessage `json:"permission"`
	}] `json:"agent"`
}

// Show reads what the records of a place are about, as it is in force now. A file that cannot be read as a configuration any more
// has a Fault, and the others are shown all the same.
func Show(p Place) ([]InForce, error) {
	records, err := Applied(p)
	if err != nil {
		return nil, err
	}
	all := make([]InForce, 0, len(records))
	for _, r := range records {
		all = append(all, inForce(r))
	}
	return all, nil
}

func inForce(r Record) InForce {
	f := InForce{Path: r.Path, Kind: r.Kind, Scope: r.Scope, State: AsWritten}
	now, err := snapshotAt(r.Path)
	switch {
	case err != nil:
		f.State, f.Fault = Edited, err
		return f
	case !now.Exists:
		f.State = Gone
	case !slices.ContainsFunc(r.Wrote, now.is):
		f.State = Edited
	}
	if r.Kind == KindConfig && now.Exists {
		if err := f.read(now.Data); err != nil {
			f.Fault = fmt.Errorf("%s%w", r.Path, err)
		}
	}
	return f
}

// read takes from a configuration what there is to show. Somebody may have edited it.
func (f *InForce) read(src []byte) error {
	if len(src) == 0 { // which is no configuration to OpenCode, and no fault
		return nil
	}
	if at, err := faultIn(src); err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	plain, err := hujson.Standardize(ended(plainly(src)))
	if err != nil {
		return fmt.Errorf(": %w", err)
	}
	var c shown
	if err := json.Unmarshal(plain, &c); err != nil {
		var kind *json.UnmarshalTypeError
		if errors.As(err, &kind) {
			return fmt.Errorf(": %s has a value of the wrong kind (%s)", kind.Field, kind.Value)
		}
		return fmt.Errorf(": %w", err)
	}
	f.Model, f.Small = c.Model, c.Small
	for _, p := range c.Provider {
		for _, m := range p.value.Models {
			f.Models = append(f.Models, Model{
				Tier: strings.TrimPrefix(p.name, providerPrefix), Ref: p.name + "/" + m.name, Provider: p.name, ID: m.name,
				BaseURL: p.value.Options.BaseURL, Context: m.value.Limit.Context, Output: m.value.Limit.Output,
			})
		}
	}
	for _, a := range c.Agent {
		f.Agents = append(f.Agents, InForceAgent{
			Name: a.name, Mode: a.value.Mode, Model: a.value.Model, Description: a.value.Description, Rules: a.value.Permission,
		})
	}
	return nil
}

// ModelOf is the model that an agent of this file works with; false when the file does not say.
func (f InForce) ModelOf(a InForceAgent) (Model, bool) {
	ref := a.Model
	if ref == "" && a.Mode == "primary" {
		ref = f.Model
	}
	i := slices.IndexFunc(f.Models, func(m Model) bool { return m.Ref == ref })
	if i < 0 {
		return Model{}, false
	}
	return f.Models[i], true
}

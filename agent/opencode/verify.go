package opencode

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Remark is one thing that was found out about the set-up as the client has it.
type Remark struct {
	Failed bool   `json:"failed"`         // it does not work as planned, or requests may leave the machine; else it is to be known
	Tier   string `json:"tier,omitempty"` // "" when it is about none
	Path   string `json:"path,omitempty"` // of the leaf: "provider.local_orch.options.baseURL"
	Text   string `json:"text"`           // one sentence, without a full stop
	Hint   string `json:"hint,omitempty"` // what to do
}

// Verify asks the client what it makes of a configuration of ours, and which models it offers. data is the file as it lies at
// file. Nobody is asked beside the client, and it looks no name up. What it cannot answer is an error.
func Verify(ctx context.Context, c Client, file string, data []byte) ([]Remark, error) {
	ours, err := parseJSONC(data)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", file, err)
	}
	resolved, err := c.DebugConfig(ctx)
	if err != nil {
		return nil, err
	}
	offered, err := c.Models(ctx)
	if err != nil {
		return nil, err
	}
	v := verdict{ours: ours, resolved: resolved, offered: offered, winner: func(path []string) string { return c.env.winner(path, file) }}
	remarks := slices.Concat(v.leaves(), v.models(), v.agents())
	if !c.HasSearch() {
		remarks = append(remarks, Remark{
			Failed: true, Text: "there is no ripgrep (`rg`) on PATH, and OpenCode fetches one from github.com when an agent first searches files",
			Hint: "sudo apt install ripgrep, or sudo dnf install ripgrep",
		})
	}
	return remarks, nil
}

// verdict holds what we wrote against what the client has. It is pure but for winner.
type verdict struct {
	ours, resolved map[string]any
	offered        []string
	winner         func(path []string) string
}

// leaves remarks on each leaf that the client has otherwise.
func (v verdict) leaves() []Remark {
	var all []Remark
	for _, d := range compare(v.ours, v.resolved, nil) {
		all = append(all, v.remark(d))
	}
	return all
}

func (v verdict) remark(d Difference) Remark {
	r := Remark{Path: d.At(), Tier: tierOf(d.Path)}
	by := v.winner(d.Path)
	if d.missing() && by == "" {
		r.Failed = true
		r.Text = fmt.Sprintf("OpenCode has no %s, which was to be %s: this version does not know the key", r.Path, show(d.Want))
		r.Hint = "tierctl is written for OpenCode 1.18; see `opencode --version`"
		return r
	}
	what, who := v.breaks(d), "it is not to be seen what says so"
	if r.Failed = what != ""; !r.Failed {
		what = "yours to choose"
	}
	if by != "" {
		who = by + " probably says so"
		if r.Failed {
			r.Hint = "take " + r.Path + " out of " + by
		}
	}
	r.Text = fmt.Sprintf("%s is %s, and was to be %s: %s (%s)", r.Path, show(d.Got), show(d.Want), what, who)
	return r
}

// breaks says what a difference does to the set-up; "" when it is the user's to choose.
func (v verdict) breaks(d Difference) string {
	last := d.Path[len(d.Path)-1]
	switch {
	case d.missing():
		return "what was planned is not in force"
	case d.Path[0] == "provider" && last == "baseURL":
		if address, ok := d.Got.(string); !ok || away(address) {
			return "requests to it leave this machine"
		}
		return "requests to it go elsewhere"
	case d.Path[0] == "provider" && slices.Contains([]string{"context", "output", "limit"}, last):
		return "sessions are shortened too early or too late, or again and again"
	case d.Path[0] == "provider" && slices.Contains([]string{"npm", "apiKey", "options", "models"}, last), len(d.Path) < 3 && d.Path[0] == "provider":
		return "its requests do not come to the tier"
	case last == "enabled_providers":
		if lacking := v.lacking(d); lacking != "" {
			return "the models of " + lacking + " are not offered"
		}
	case last == "share" && d.Got == "auto":
		return "each session is uploaded"
	case last == "model" || last == "small_model":
		if m, ok := d.Got.(string); ok && !slices.Contains(v.offered, m) {
			return "OpenCode does not offer that model"
		}
	}
	return ""
}

// lacking are those of our providers that are not enabled.
func (v verdict) lacking(d Difference) string {
	want, _ := d.Want.([]any)
	got, _ := d.Got.([]any)
	var names []string
	for _, w := range want {
		if !slices.Contains(got, w) {
			names = append(names, fmt.Sprint(w))
		}
	}
	return strings.Join(names, ", ")
}

// tierOf is the tier that a path is about, by its provider.
func tierOf(path []string) string {
	if len(path) < 2 || path[0] != "provider" {
		return ""
	}
	return strings.TrimPrefix(path[1], providerPrefix)
}

// models compares what the client offers with what it was told. Whatever else it offers can be chosen by a slip.
func (v verdict) models() []Remark {
	var all []Remark
	want := v.planned()
	for _, m := range want {
		if !slices.Contains(v.offered, m) {
			provider, _, _ := strings.Cut(m, "/")
			all = append(all, Remark{
				Failed: true, Tier: tierOf([]string{"provider", provider}), Text: "OpenCode does not offer " + m,
				Hint: "see whether disabled_providers or enabled_providers of another file is against it: opencode debug config",
			})
		}
	}
	hosted := map[string][]string{}
	var order []string
	for _, m := range v.offered {
		provider, _, _ := strings.Cut(m, "/")
		if slices.Contains(want, m) || v.stays(provider) {
			continue
		}
		if hosted[provider] == nil {
			order = append(order, provider)
		}
		hosted[provider] = append(hosted[provider], m)
	}
	for _, provider := range order {
		list := hosted[provider]
		text := list[0]
		if n := len(list) - 1; n > 0 {
			text = fmt.Sprintf("%s and %d more of %q", list[0], n, provider)
		}
		r := Remark{
			Failed: true, Text: "OpenCode also offers " + text + ": with it, requests leave this machine",
			Hint: "have enabled_providers name the tiers alone; sudo tierctl opencode apply --managed does so for every user",
		}
		if by := v.winner([]string{"enabled_providers"}); by != "" {
			r.Hint = "take " + provider + " out of enabled_providers in " + by
		}
		all = append(all, r)
	}
	return all
}

// planned are the models that we wrote down. A managed file has none of its own.
func (v verdict) planned() []string {
	var all []string
	providers, _ := v.ours["provider"].(map[string]any)
	for name, p := range providers {
		branch, _ := p.(map[string]any)
		models, _ := branch["models"].(map[string]any)
		for id := range models {
			all = append(all, name+"/"+id)
		}
	}
	slices.Sort(all)
	return all
}

// stays tells whether a provider's requests stay on this machine, by the client's own word: they go to the gateway, or to whatever
// else the user runs here.
func (v verdict) stays(provider string) bool {
	address := baseURLOf(v.resolved, provider)
	return address != "" && (address == baseURLOf(v.ours, provider) || !away(address))
}

// baseURLOf is where a configuration has a provider's requests go; "" when it does not say.
func baseURLOf(config map[string]any, provider string) string {
	providers, _ := config["provider"].(map[string]any)
	branch, _ := providers[provider].(map[string]any)
	options, _ := branch["options"].(map[string]any)
	address, _ := options["baseURL"].(string)
	return address
}

// away tells whether an address is not this machine's. A name is, unless it is the one that always leads here.
func away(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return true
	}
	if u.Hostname() == "localhost" {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return err != nil || !ip.Unmap().IsLoopback()
}

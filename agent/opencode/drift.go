package opencode

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Drift is in what a file that Apply wrote would differ if it were written now.
type Drift struct {
	File   string
	Leaves []Difference // Got is what it says, Want what it would say; nil where one of them says nothing
	Remedy string       // the command that writes it anew, as it was chosen then, or that tells why it would not
	tiers  map[string]string
}

// DriftOf holds a file as Apply wrote it against the plan for the tiers as they are, with the options that can be seen from the file
// itself; base are those of the gateway. It reads nothing and asks nobody: a tier that is not Live, and of which Apply saw that its
// engine serves less than tiers.toml wishes, is taken to be as it was. A file that says nothing is no drift.
func DriftOf(r Record, tiers []Tier, base Options) (Drift, error) {
	d := Drift{File: r.Path, tiers: map[string]string{}}
	was, err := parseJSONC(r.latest().Data)
	if err != nil {
		return d, fmt.Errorf("cannot read what was written to %s: %w", r.Path, err)
	}
	o := chosen(was, r.Kind, base)
	plan := MakePlan(remembered(tiers, was, r.Cut), o)
	f, ok := plan.File(r.Kind)
	if !ok {
		return d, nil // there is no tier any more, and apply would write nothing
	}
	now, err := parseJSONC(f.Data)
	if err != nil {
		return d, fmt.Errorf("cannot read what would be written to %s: %w", r.Path, err)
	}
	for _, m := range plan.Models {
		d.tiers[m.Provider] = m.Tier
	}
	d.Leaves = bothWays(now, was)
	d.Remedy = remedy(r, o)
	if r.Scope != ScopeManaged && plan.Refused() { // of tiers, which the managed file does not speak of
		d.Remedy = strings.Replace(d.Remedy, " apply", " plan", 1) + " tells why apply would refuse"
	}
	return d, nil
}

// Chosen is what the user chose when a file was written, with what base says of the gateway.
func Chosen(r Record, base Options) (Options, error) {
	was, err := parseJSONC(r.latest().Data)
	if err != nil {
		return base, fmt.Errorf("cannot read what was written to %s: %w", r.Path, err)
	}
	return chosen(was, r.Kind, base), nil
}

// bothWays has the leaves that differ, and those that would go.
func bothWays(now, was map[string]any) []Difference {
	all := compare(now, was, nil)
	for _, gone := range compare(was, now, nil) {
		if gone.missing() {
			all = append(all, Difference{Path: gone.Path, Got: gone.Want})
		}
	}
	slices.SortStableFunc(all, func(a, b Difference) int { return cmp.Compare(a.At(), b.At()) })
	return all
}

// chosen finds in a file what the user chose when it was written.
func chosen(was map[string]any, k Kind, o Options) Options {
	plugins, _ := was["plugin"].([]any)
	o.OMO = k == KindOMO || slices.Contains(plugins, any(plugin))
	o.Gateway, o.KeyFile = false, ""
	providers, _ := was["provider"].(map[string]any)
	ports := map[string]int{}
	for name, p := range providers {
		branch, _ := p.(map[string]any)
		options, _ := branch["options"].(map[string]any)
		if u, err := url.Parse(baseURLOf(was, name)); err == nil {
			ports[u.Port()]++
		}
		if key, _ := options["apiKey"].(string); strings.HasPrefix(key, "{file:") {
			o.KeyFile = strings.TrimSuffix(strings.TrimPrefix(key, "{file:"), "}")
		}
	}
	// No two tiers have a port in common, so a common one is the gateway's, perhaps one that it had.
	if len(ports) == 1 && o.Port != 0 {
		o.Gateway = len(providers) > 1 || ports[fmt.Sprint(o.Port)] == 1
	}
	return o
}

// Remembered are the tiers as Apply saw them when it wrote a record, where nobody asks them now: one of which its engine serves less
// than tiers.toml wishes is not given the wish because it is down. A record that is nil remembers nothing.
func Remembered(tiers []Tier, r *Record) ([]Tier, error) {
	if r == nil || len(r.Cut) == 0 {
		return tiers, nil
	}
	was, err := parseJSONC(r.latest().Data)
	if err != nil {
		return nil, fmt.Errorf("cannot read what was written to %s: %w", r.Path, err)
	}
	return remembered(tiers, was, r.Cut), nil
}

// remembered gives tiers that nobody asked the context that was told of them, as long as tiers.toml wishes the same.
func remembered(tiers []Tier, was map[string]any, cut map[string]int) []Tier {
	tiers = slices.Clone(tiers)
	for i, t := range tiers {
		if !t.Live && t.Wish > 0 && cut[t.Name] == t.Wish {
			tiers[i].Context = cmp.Or(contextOf(was, providerPrefix+t.Name), t.Context)
		}
	}
	return tiers
}

// contextOf is what a configuration says of a provider's one model, in tokens; 0 when it says nothing.
func contextOf(config map[string]any, provider string) int {
	providers, _ := config["provider"].(map[string]any)
	branch, _ := providers[provider].(map[string]any)
	models, _ := branch["models"].(map[string]any)
	for _, m := range models {
		one, _ := m.(map[string]any)
		limit, _ := one["limit"].(map[string]any)
		return number(limit["context"])
	}
	return 0
}

func number(v any) int {
	f, _ := plainValue(v).(float64)
	return int(f)
}

// remedy is the apply that writes a file of the same place anew, with what was chosen then.
func remedy(r Record, o Options) string {
	words := []string{"tierctl opencode apply"}
	switch r.Scope {
	case ScopeManaged:
		words = []string{"sudo tierctl opencode apply --managed"}
	case ScopeProject:
		words = append(words, "--project")
	}
	if r.Named {
		words = append(words, "--to "+Quote(r.Path))
	}
	if r.Scope != ScopeManaged {
		if o.Gateway {
			words = append(words, "--gateway")
		}
		if o.OMO {
			words = append(words, "--with-omo")
		}
		if o.KeyFile != "" {
			words = append(words, "--key-file "+Quote(o.KeyFile))
		}
	}
	return strings.Join(words, " ")
}

// Needed tells whether the file would differ.
func (d Drift) Needed() bool { return len(d.Leaves) > 0 }

// Breaks tells whether OpenCode works with something that is not there: more context than a tier has, a port or a name that is
// another's. Else it only misses something.
func (d Drift) Breaks() bool {
	return slices.ContainsFunc(d.Leaves, func(l Difference) bool {
		last := l.Path[len(l.Path)-1]
		switch {
		case l.Path[0] != "provider" || l.Got == nil:
			return false
		case last == "context" || last == "output":
			return number(l.Got) > number(l.Want)
		}
		return last == "baseURL" || last == "apiKey" || l.Want == nil
	})
}

// Words say in a few what would differ: contexts and tiers by name, the rest by number.
func (d Drift) Words() string {
	var said []string
	rest := 0
	for _, l := range d.Leaves {
		if s := d.say(l); s != "" {
			said = append(said, s)
		} else {
			rest++
		}
	}
	const most = 3
	if len(said) > most {
		rest += len(said) - most
		said = said[:most]
	}
	switch {
	case len(said) == 0 && rest == 1:
		return d.Leaves[0].At() + " would be " + show(d.Leaves[0].Want)
	case len(said) == 0:
		return fmt.Sprintf("%d settings would be others", rest)
	case rest == 1:
		said = append(said, "and 1 more setting")
	case rest > 1:
		said = append(said, fmt.Sprintf("and %d more settings", rest))
	}
	return strings.Join(said, ", ")
}

// say tells of a leaf that a person thinks of by name; "" of others.
func (d Drift) say(l Difference) string {
	if l.Path[0] != "provider" || len(l.Path) < 2 {
		return ""
	}
	tier := cmp.Or(d.tiers[l.Path[1]], strings.TrimPrefix(l.Path[1], providerPrefix))
	switch last := l.Path[len(l.Path)-1]; {
	case len(l.Path) == 2 && l.Got == nil:
		return fmt.Sprintf("it lacks tier %q", tier)
	case len(l.Path) == 2 && l.Want == nil:
		return fmt.Sprintf("it has tier %q, which is gone", tier)
	case last == "context":
		return fmt.Sprintf("it has %s tokens of context for %s, which serves %s", show(l.Got), tier, show(l.Want))
	case last == "baseURL":
		return fmt.Sprintf("it has %s for %s, which is at %s", show(l.Got), tier, show(l.Want))
	}
	return ""
}

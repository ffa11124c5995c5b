package opencode

import (
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
)

// providerPrefix begins the name of each provider of ours.
const providerPrefix = "local_"

// seat is a tier with the names that OpenCode will know it by.
type seat struct {
	Tier
	provider string
	model    string
	output   int // what one answer may have
}

func (s seat) ref() string { return s.provider + "/" + s.model }

// planner is one plan being made.
type planner struct {
	o        Options
	seats    []seat
	main     seat // of the primary agent
	small    seat // of titles
	findings []Finding
}

// owned is the first line of each file.
const owned = "Written by `tierctl opencode apply`, which writes it anew each time; `tierctl opencode undo` takes it back. "

// MakePlan makes OpenCode's configuration for these tiers, which are in the order of tiers.toml. What is wrong with them is among
// the findings; the files are there all the same, so that they can be looked at.
func MakePlan(tiers []Tier, o Options) Plan {
	p := planner{o: o}
	if len(tiers) == 0 {
		p.refuse("", "write a tier into tiers.toml, see tiers.toml(5)", "there is no tier that OpenCode could talk to")
		return Plan{Findings: p.findings}
	}
	p.seat(tiers)
	p.choose()
	p.checkOptions()
	p.checkStart()
	p.checkTiers()
	p.checkMain()
	p.checkSmall()
	files := []File{p.config(), p.managed()}
	if o.OMO {
		files = append(files, p.omo())
	}
	return Plan{Files: files, Models: p.models(), Cut: p.cut(), Findings: p.findings}
}

func (p *planner) warn(tier, hint, format string, args ...any) {
	p.findings = append(p.findings, Finding{Tier: tier, Text: fmt.Sprintf(format, args...), Hint: hint})
}

func (p *planner) refuse(tier, hint, format string, args ...any) {
	p.findings = append(p.findings, Finding{Refuse: true, Tier: tier, Text: fmt.Sprintf(format, args...), Hint: hint})
}

// plain is a word that may stand in "provider/model" and be typed by hand.
var plain = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// seat gives each tier its names. A provider is called after its tier and not after what serves it, and a model after the tier's
// role: both are valid at the gateway whichever variant is up, so a switch makes nothing here wrong. Where a role is another
// tier's, or another tier is called so, the gateway would send it there: then the tier's own name it is.
func (p *planner) seat(tiers []Tier) {
	claims := map[string]int{}
	for _, t := range tiers {
		claims[t.Name]++
		claims[t.Role]++
	}
	for _, t := range tiers {
		s := seat{Tier: t, provider: providerPrefix + t.Name, model: t.Name, output: outputOf(t)}
		if claims[t.Role] == 1 && plain.MatchString(t.Role) {
			s.model = t.Role
		}
		p.seats = append(p.seats, s)
	}
}

func (p *planner) config() File {
	c := config{
		Schema: schema, Share: "disabled", Enabled: p.providers(), Experimental: tiersAlone,
		Model: p.main.ref(), SmallModel: p.small.ref(),
		// A page from the web is fetched by OpenCode itself, whatever model wants it. "ask" would keep it here as well, but an
		// `opencode run` takes that for a no and ends its turn there. What a user allows in a file of his own wins.
		Permission: &permission{WebFetch: "deny", WebSearch: "deny"},
	}
	for _, s := range p.seats {
		c.Provider.add(s.provider, p.providerOf(s))
	}
	if p.o.OMO {
		c.Plugin = []string{plugin}
	} else {
		c.DefaultAgent, c.Agent = primaryAgent, p.agents()
	}
	comment := owned + "Your own settings belong in opencode.jsonc beside it, which wins."
	return File{Kind: KindConfig, Data: text(comment, c), Key: p.o.KeyFile != ""}
}

func (p *planner) managed() File {
	m := managed{Schema: schema, Share: "disabled", Enabled: p.providers(), Experimental: tiersAlone}
	return File{Kind: KindManaged, Data: text(owned+"It wins over every other file of OpenCode.", m)}
}

// providers are those that OpenCode may offer. Without the list it offers hosted models of its own beside them.
func (p *planner) providers() []string {
	names := make([]string, len(p.seats))
	for i, s := range p.seats {
		names[i] = s.provider
	}
	return names
}

func (p *planner) providerOf(s seat) provider {
	m := member{Name: s.display(), ToolCall: s.Tools, Temperature: true}
	if s.Context > 0 {
		m.Limit = &limit{Context: s.Context, Output: s.output}
	}
	key := "EMPTY"
	if p.o.KeyFile != "" {
		key = "{file:" + p.o.KeyFile + "}"
	}
	return provider{
		NPM: compatible, Name: s.model + " tier",
		Options: connection{BaseURL: p.baseURL(s), APIKey: key, HeaderTimeout: s.headerTimeout(), ChunkTimeout: s.chunkTimeout()},
		Models:  members[member]{{s.model, m}},
	}
}

// baseURL goes to the tier's own port, which serves nothing else, or to the one for all.
func (p *planner) baseURL(s seat) string {
	port := s.Port
	if p.o.Gateway {
		port = p.o.Port
	}
	return "http://" + net.JoinHostPort(p.o.Address, strconv.Itoa(port)) + "/v1"
}

// display is the model's name in the client. What leaves the machine, now or after a switch, says so: the name does not change by
// a switch, so that nobody has to write the file again to be told.
func (s seat) display() string {
	name := strings.ToUpper(s.model[:1]) + s.model[1:]
	if away := s.away(); away != "" {
		name += " (" + away + ")"
	}
	return name
}

// away says when requests to the tier leave the machine; "" when they do not.
func (s seat) away() string {
	switch {
	case s.Cloud != "":
		return fmt.Sprintf("leaves this machine while %s/%s is up", s.Name, s.Cloud)
	case s.Leaves:
		return "leaves this machine"
	}
	return ""
}

func (p *planner) models() []Model {
	list := make([]Model, len(p.seats))
	for i, s := range p.seats {
		list[i] = Model{Tier: s.Name, Ref: s.ref(), Provider: s.provider, ID: s.model, BaseURL: p.baseURL(s), Context: s.Context, Output: s.output}
	}
	return list
}

func (p *planner) cut() map[string]int {
	var cut map[string]int
	for _, s := range p.seats {
		if s.Wish > s.Context {
			if cut == nil {
				cut = map[string]int{}
			}
			cut[s.Name] = s.Wish
		}
	}
	return cut
}

package opencode

import (
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tierd/tierd/units"
)

// checkOptions finds what cannot be written down as it was asked for.
func (p *planner) checkOptions() {
	if p.o.Gateway && p.o.Port == 0 {
		p.refuse("", "set `port` in [gateway] of tiers.toml, or leave each tier its own port",
			"the gateway has no port that serves every tier")
	}
	if p.o.Keys && p.o.KeyFile == "" {
		p.refuse("", "`tierctl key opencode` makes one; put it into a file that only you may read, and name it by `--key-file`",
			"the gateway wants a key, and no file with one is named")
	}
	if f := p.o.KeyFile; f != "" && !fileForm(f) {
		p.refuse("", "move the key to a path like /home/NAME/.config/tierd/key",
			"the key's file %q cannot be named in OpenCode's configuration: it needs an absolute path without quotes, braces and backslashes", f)
	}
	switch {
	case p.o.OMO && p.o.Major >= 2:
		p.refuse("", "leave the plugin out, or install opencode-ai 1.18.33",
			"oh-my-opencode does not load in OpenCode %d", p.o.Major)
	case p.o.OMO && p.o.Major == 0:
		p.warn("", "see `opencode --version`: it has to begin with 1", "oh-my-opencode loads in OpenCode 1 alone, and it is not known which one is here")
	}
	if p.o.OMO {
		p.warn("", "leave the plugin out where nothing may leave this machine",
			"oh-my-opencode is fetched from the npm registry at the first start, 480 MB of it")
	}
}

// fileForm tells whether a path survives inside of {file:…}, which OpenCode replaces before it reads the JSON: nothing in it may
// need an escape there.
func fileForm(p string) bool {
	return path.IsAbs(p) && utf8.ValidString(p) && !strings.ContainsFunc(p, unicode.IsControl) && !strings.ContainsAny(p, "{}\"\\\u2028\u2029")
}

// checkStart finds tiers that OpenCode will not reach as things are. The file is right all the same, and waits for them.
func (p *planner) checkStart() {
	for _, s := range p.seats {
		if s.Blocked != "" {
			p.warn(s.Name, "tierctl status "+s.Name, "tier %q cannot be started, so OpenCode's requests to it are refused: %s", s.Name, s.Blocked)
		}
		if s.PortLost != "" && !p.o.Gateway {
			p.warn(s.Name, "free the port or give the tier another one; with `--gateway` OpenCode needs no port but the gateway's",
				"OpenCode's requests to tier %q do not come to it: %s", s.Name, s.PortLost)
		}
		if s.Start == units.StartManual {
			p.warn(s.Name, "write start = \"demand\" for it into tiers.toml",
				"tier %q is started by hand alone: OpenCode's requests are refused while it is down", s.Name)
		}
	}
}

// checkTiers finds what is odd about each tier by itself.
func (p *planner) checkTiers() {
	for _, s := range p.seats {
		if s.Context == 0 {
			p.warn(s.Name, "write `context` for its variant "+s.Variant+" into tiers.toml",
				"nobody knows the context of tier %q, so OpenCode does not shorten a session before it is too long", s.Name)
		}
		if s.Wish > s.Context {
			p.warn(s.Name, "its model may have no more; see `tierctl logs "+s.Name+"`",
				"tier %q serves %d tokens of context, and tiers.toml says %d", s.Name, s.Context, s.Wish)
		}
		if s.Context > 0 && s.Output > s.output {
			p.warn(s.Name, "answers get a quarter of the context and 16K at most, or sessions are shortened too early",
				"`output` of tier %q is %d tokens; OpenCode is told %d, for %d of context", s.Name, s.Output, s.output, s.Context)
		}
		if s.Context > 0 && s.Output > 0 && s.output < leastOutput {
			p.warn(s.Name, "leave `output` out in tiers.toml, or write \"2K\" or more",
				"`output` of tier %q is %d tokens: OpenCode ends each answer there, in the middle of an edit as well", s.Name, s.Output)
		}
		if s.Leaves {
			p.warn(s.Name, "`tierctl switch` to another variant keeps them here",
				"requests to tier %q leave this machine: %s is up, or would be started", s.Name, s.Name+"/"+s.Variant)
		}
	}
}

// checkMain refuses a primary agent that could not work.
func (p *planner) checkMain() {
	s := p.main
	switch {
	case !s.Tools:
		p.refuse(s.Name, toolsHint, "tier %q calls no tools, so no agent can work on it", s.Name)
	case p.o.OMO && !s.fits(sisyphusNeeds):
		p.refuse(s.Name, contextHint, "tier %q is too small for Sisyphus, which begins with 22400 tokens and needs %d: %s", s.Name, sisyphusNeeds, s.sum())
	case !p.o.OMO && !s.fits(primaryNeeds):
		p.refuse(s.Name, contextHint, "tier %q is too small for the primary agent, which begins with 7400 tokens and needs %d: %s", s.Name, primaryNeeds, s.sum())
	}
}

const (
	contextHint = "give it a larger `context` in tiers.toml"
	toolsHint   = "name its parser by `tools` in tiers.toml, see tiers.toml(5)"
)

// checkSmall warns of titles that fail, or that are in the way.
func (p *planner) checkSmall() {
	s := p.small
	if !s.fits(smallNeeds) {
		p.warn(s.Name, contextHint, "tier %q is too small for titles, which need %d tokens: %s", s.Name, smallNeeds, s.sum())
	}
	if s.Name == p.main.Name && s.Parallel == 1 {
		p.warn(s.Name, "add a small tier with role = \"utility\", or let this one have `parallel` = 2",
			"tier %q works on one request at a time and writes the titles, too: each new session's title takes its prompt cache away", s.Name)
	}
}

// canWork tells whether a tier can serve a subagent. One that cannot is left out of the agents, and the finding says why.
func (p *planner) canWork(s seat) bool {
	switch {
	case !s.Tools:
		p.warn(s.Name, toolsHint, "tier %q calls no tools, so it gets no agent", s.Name)
	case !s.fits(subagentNeeds):
		p.warn(s.Name, contextHint, "tier %q is too small for an agent and gets none: it needs %d tokens, and %s", s.Name, subagentNeeds, s.sum())
	default:
		return true
	}
	return false
}

package opencode

import (
	"strings"
	"testing"
)

func TestWhatIsRefusedOrWarnedOf(t *testing.T) {
	with := func(f func(*Options)) Options {
		o := here()
		f(&o)
		return o
	}
	same := func(*Tier) {}
	for _, row := range []struct {
		rule   string
		tier   string
		f      func(*Tier)
		o      Options
		refuse bool
		want   string
	}{
		{"a port for all that there is not", "orch", same, with(func(o *Options) { o.Gateway, o.Port = true, 0 }), true, "the gateway has no port that serves every tier"},
		{"a key that is wanted and not named", "orch", same, with(func(o *Options) { o.Keys = true }), true, "the gateway wants a key, and no file with one is named"},
		{"a key's file with a brace", "orch", same, with(func(o *Options) { o.KeyFile = "/home/a/{b}" }), true, `the key's file "/home/a/{b}" cannot be named`},
		{"a key's file of two lines", "orch", same, with(func(o *Options) { o.KeyFile = "/home/a\nb" }), true, "cannot be named"},
		{"a key's file with a quote", "orch", same, with(func(o *Options) { o.KeyFile = `/home/a"b` }), true, "cannot be named"},
		{"a key's file in no text's encoding", "orch", same, with(func(o *Options) { o.KeyFile = "/home/\xff" }), true, "cannot be named"},
		{"a key's file by a relative path", "orch", same, with(func(o *Options) { o.KeyFile = "key" }), true, `the key's file "key" cannot be named`},
		{"the plugin with OpenCode 2", "orch", same, with(func(o *Options) { o.OMO, o.Major = true, 2 }), true, "oh-my-opencode does not load in OpenCode 2"},
		{"the plugin with nobody knows what", "orch", same, with(func(o *Options) { o.OMO, o.Major = true, 0 }), false, "it is not known which one is here"},
		{"what the plugin asks of others", "orch", same, with(func(o *Options) { o.OMO = true }), false, "is fetched from the npm registry at the first start"},
		{"a primary agent without tools", "orch", func(t *Tier) { t.Tools = false }, here(), true, `tier "orch" calls no tools, so no agent can work on it`},
		{"a subagent without tools", "coder", func(t *Tier) { t.Tools = false }, here(), false, `tier "coder" calls no tools, so it gets no agent`},
		{"a context that nobody knows", "coder", func(t *Tier) { t.Context, t.Wish = 0, 0 }, here(), false, `nobody knows the context of tier "coder"`},
		{"an engine that serves less than was wished", "utility", func(t *Tier) { t.Context, t.Live = 8192, true }, here(), false, `tier "utility" serves 8192 tokens of context, and tiers.toml says 16384`},
		{"an output that is too large", "coder", func(t *Tier) { t.Output = 32768 }, here(), false, "`output` of tier \"coder\" is 32768 tokens; OpenCode is told 12288, for 49152 of context"},
		{"an output in which no edit fits", "coder", func(t *Tier) { t.Output = 99 }, here(), false, "`output` of tier \"coder\" is 99 tokens: OpenCode ends each answer there"},
		{"a tier that no request starts", "coder", func(t *Tier) { t.Start = "manual" }, here(), false, `tier "coder" is started by hand alone: OpenCode's requests are refused while it is down`},
		{"a tier that cannot start", "coder", func(t *Tier) { t.Blocked = "model \"m.gguf\" is not in /m" }, here(), false,
			`tier "coder" cannot be started, so OpenCode's requests to it are refused: model "m.gguf" is not in /m`},
		{"a port that another program has", "coder", func(t *Tier) { t.PortLost = "port 8002 is held by nginx (pid 812)" }, here(), false,
			`OpenCode's requests to tier "coder" do not come to it: port 8002 is held by nginx (pid 812)`},
		{"a tier that leaves the machine", "orch", func(t *Tier) { t.Leaves, t.Variant = true, "cloud" }, here(), false, `requests to tier "orch" leave this machine: orch/cloud is up, or would be started`},
	} {
		p := MakePlan(change(row.tier, row.f), row.o)
		found := false
		for _, f := range p.Findings {
			if strings.Contains(f.Text, row.want) {
				found = f.Refuse == row.refuse && f.Hint != ""
			}
		}
		if !found || p.Refused() != row.refuse {
			t.Errorf("%s: refused %v, findings %v", row.rule, p.Refused(), p.Findings)
		}
		if len(p.Files) == 0 {
			t.Errorf("%s: there is nothing to look at", row.rule)
		}
	}
}

func TestWhatIsInOrder(t *testing.T) {
	keyed := here()
	keyed.Keys, keyed.KeyFile = true, "/home/a&b/<key> ä"
	gateway := here()
	gateway.Gateway = true
	unknown := change("coder", func(t *Tier) { t.Context, t.Wish, t.Output = 0, 0, 4096 })
	for _, row := range []struct {
		rule     string
		tiers    []Tier
		o        Options
		findings int
		want     values
	}{
		{"a key that is wanted and named, as it stands", four(), keyed, 0, values{"provider local_orch options apiKey": "{file:/home/a&b/<key> ä}"}},
		{"a context that nobody knows is held against no agent", unknown, here(), 1, values{
			"agent coder model": "local_coder/coder", "provider local_coder models coder limit": nil,
		}},
		{"nor against a primary one", change("orch", func(t *Tier) { t.Context, t.Wish = 0, 0 }), here(), 1, values{"model": "local_orch/orchestrator"}},
		{"another's port, where OpenCode goes by the gateway's", change("coder", func(t *Tier) { t.PortLost = "port 8002 is held by nginx" }), gateway, 0, values{
			"provider local_coder options baseURL": "http://127.0.0.1:8000/v1",
		}},
		{"an output within its bounds", change("coder", func(t *Tier) { t.Output = 4096 }), here(), 0, values{
			"provider local_coder models coder limit output": 4096.0,
		}},
	} {
		p := MakePlan(row.tiers, row.o)
		if len(p.Findings) != row.findings || p.Refused() {
			t.Errorf("%s: %v", row.rule, p.Findings)
		}
		row.want.check(t, row.rule, tree(t, p, KindConfig))
		if f, _ := p.File(KindConfig); strings.Contains(string(f.Data), `\u`) {
			t.Errorf("%s: the text has escapes", row.rule)
		}
	}
}

func TestTitlesOnTheOnlySlotOfTheSession(t *testing.T) {
	for parallel, warned := range map[int]bool{0: false, 1: true, 2: false} {
		p := MakePlan([]Tier{{Name: "one", Role: "one", Context: 65536, Tools: true, Parallel: parallel}}, here())
		if (len(p.Findings) == 1) != warned || p.Refused() {
			t.Errorf("with %d at the same time: %v", parallel, p.Findings)
		}
	}
}

func TestWithoutTiersThereIsNoFile(t *testing.T) {
	if p := MakePlan(nil, here()); len(p.Files) != 0 || !p.Refused() {
		t.Errorf("%v", p)
	}
}

func TestWhereRequestsGo(t *testing.T) {
	keyed := Options{Address: "::1", Port: 8000, Gateway: true, KeyFile: "/home/a/.config/tierd/key"}
	p := MakePlan(four(), keyed)
	values{
		"provider local_coder options baseURL": "http://[::1]:8000/v1", "provider local_coder options apiKey": "{file:/home/a/.config/tierd/key}",
		"provider local_coder options timeout": nil,
	}.check(t, "by the gateway's port, with a key", tree(t, p, KindConfig))
	for _, f := range p.Files {
		if f.Key != (f.Kind == KindConfig) {
			t.Errorf("%s: key %v", f.Kind, f.Key)
		}
	}
	values{
		"provider local_coder options baseURL": "http://127.0.0.1:8002/v1", "provider local_coder options apiKey": "EMPTY",
	}.check(t, "by the tier's own", tree(t, MakePlan(four(), here()), KindConfig))
}

package compose

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tierd/tierd/units"
)

// tier is one tier of the result: the servers of one agent as its variants.
type tier struct {
	agent
	at       Place
	from     value // the port's
	idleFrom origin
	variants []variant
}

type variant struct {
	name string
	*server
}

// tiers groups the servers by agent: those that are known in their order, then the others as they came.
func (s *stack) tiers() []*tier {
	var list []*tier
	for _, v := range s.servers {
		a := agentOf(v.agent)
		i := slices.IndexFunc(list, func(t *tier) bool { return t.prefix == a.prefix })
		if i < 0 {
			i = len(list)
			list = append(list, &tier{agent: a, at: v.at, idleFrom: added("as for the role of " + a.role)})
		}
		list[i].add(s, v)
	}
	rank := func(t *tier) int {
		i := slices.IndexFunc(agents, func(a agent) bool { return a.prefix == t.prefix })
		if i < 0 {
			return len(agents)
		}
		return i
	}
	slices.SortStableFunc(list, func(a, b *tier) int { return cmp.Compare(rank(a), rank(b)) })
	list = slices.DeleteFunc(list, s.noPort)
	s.addCloud(list)
	for _, t := range list {
		s.lifetime(t)
		s.remark(t)
	}
	return list
}

// noPort refuses an agent that nobody knows without a port: the others are where they always were.
func (s *stack) noPort(t *tier) bool {
	if t.from.there() || t.port > 0 {
		return false
	}
	s.faults = append(s.faults, Fault{t.at, fmt.Sprintf("tier %s has no port: set %s_PORT", t.tier, t.prefix)})
	return true
}

// add makes the server a variant, with its kind for a name if that is free.
func (t *tier) add(s *stack, v *server) {
	switch {
	case !t.from.there():
		t.from = v.port
	case v.port.there() && v.port.text != t.from.text:
		s.note(Changed, v.port.from.at, v.port.from.key, "is %q: all variants of tier %s answer at its port %q", v.port.text, t.tier, t.from.text)
	}
	taken := func(name string) bool {
		return slices.ContainsFunc(t.variants, func(o variant) bool { return o.name == name })
	}
	name := v.kind
	if taken(name) {
		name = v.engine
	}
	for n := 2; taken(name); n++ {
		name = fmt.Sprintf("%s-%d", v.engine, n)
	}
	t.variants = append(t.variants, variant{name, v})
}

// addCloud gives the planner elsewhere to the orchestrator.
func (s *stack) addCloud(list []*tier) {
	if s.cloud == nil {
		return
	}
	i := slices.IndexFunc(list, func(t *tier) bool { return t.role == "orchestrator" })
	if i < 0 {
		s.cloud = nil
		return
	}
	list[i].variants = append(list[i].variants, variant{"cloud", s.cloud})
	s.note(Changed, s.cloud.at, s.cloud.model.from.key, "is the variant %s/cloud now; store its key once, as root: systemd-creds encrypt --name=%s - /etc/credstore.encrypted/%[2]s",
		list[i].tier, cloudKey)
}

// lifetime takes over how long the scheduler let an agent be.
func (s *stack) lifetime(t *tier) {
	ttl := s.takeFor(t.prefix)
	if !ttl.there() {
		return
	}
	n, err := strconv.Atoi(ttl.text)
	if err != nil || n < 1 || n > 366*24*3600 {
		s.faults = append(s.faults, Fault{ttl.from.at, ttl.from.key + " is not a number of seconds above 0"})
		return
	}
	t.idle = shortTime(time.Duration(n) * time.Second)
	t.idleFrom = ttl.from
	s.note(Changed, ttl.from.at, ttl.from.key, "is idle_stop of tier %s now: %s after its last request, where the scheduler counted from its start", t.tier, t.idle)
}

func (s *stack) takeFor(prefix string) value { return s.take("BIFROST_" + prefix + "_TTL") }

// shortTime writes a length of time without the parts that are zero: "20m", not "20m0s".
func shortTime(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// leastContext is what an agent of OpenCode needs: it begins with 3 to 8 thousand tokens, and where there is no room for work beside
// them and the answer, OpenCode shortens the session without end.
const leastContext = 16 << 10

// remark fills in what has to be there, and says what has to be looked at.
func (s *stack) remark(t *tier) {
	if !t.from.there() {
		t.from = value{strconv.Itoa(t.port), added("nothing names the port, this is where it was")}
		s.note(Warning, t.at, t.prefix+"_PORT", "is not there; tier %s gets port %d", t.tier, t.port)
	}
	for i := range t.variants {
		v := t.variants[i]
		if v.kind == units.KindRemote {
			continue
		}
		s.remarkModel(t, v)
		if !v.context.there() {
			v.context = value{strconv.Itoa(32 << 10), added("nothing names the context; the model may have more or less")}
			s.note(Warning, v.model.from.at, v.model.from.key, "has no context beside it; %s/%s gets 32K", t.tier, v.name)
		}
		if n, err := strconv.Atoi(v.context.text); err == nil && n > 0 && n < leastContext {
			s.note(Warning, v.context.from.at, v.context.from.key,
				"is kept: %d tokens are enough for titles, but an agent of OpenCode begins with 3 to 8 thousand, and shortens its session without end where they leave no room; write context = \"16K\" if one uses tier %s", n, t.tier)
		}
		if v.share.there() {
			s.remarkShare(t, v)
		}
	}
}

func (s *stack) remarkModel(t *tier, v variant) {
	if rest, ok := strings.CutPrefix(v.model.text, "/models/"); ok { // where the containers saw the folder
		s.note(Changed, v.model.from.at, v.model.from.key, "lies in the container's folder; written as %q, which is looked for in the folders of [host]", rest)
		v.model.text = rest
	}
	if v.kind != units.KindVLLM {
		return
	}
	if strings.Contains(strings.ToLower(v.model.text), "awq") {
		s.note(Warning, v.model.from.at, v.model.from.key,
			"has AWQ weights: gfx1151 takes them with vLLM 0.20 and later, VLLM_USE_TRITON_AWQ = \"1\" in env and \"--enforce-eager\" in extra_args; with older ones the GPU hung")
	}
	if parser := parserOf(v.model.text); !v.tools.there() && parser != "" {
		v.tools = value{parser, added("by the model's name; the stack had no tool calls")}
	}
	if !v.tools.there() {
		s.note(Warning, v.model.from.at, v.model.from.key, "has no tool-call parser that its name tells: OpenCode needs one, so write `tools` of %s/%s", t.tier, v.name)
	}
}

// remarkShare: vLLM took a share of all memory, whatever the model needed. tierd works out what it needs.
func (s *stack) remarkShare(t *tier, v variant) {
	share, err := strconv.ParseFloat(v.share.text, 64)
	if err != nil || !(share >= 0 && share <= 1) {
		s.faults = append(s.faults, Fault{v.share.from.at, v.share.from.key + " is not a number from 0 to 1"})
		return
	}
	s.note(Changed, v.share.from.at, v.share.from.key,
		"is not written: %.0f %% of all memory says nothing of what %s/%s needs. tierd works out weights and KV cache from the model's files, and `tierctl plan` shows them; kv_memory sets the cache",
		share*100, t.tier, v.name)
}

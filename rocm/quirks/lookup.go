package quirks

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Query is one way of serving a model on one host.
type Query struct {
	GFX     string  // "gfx1151"
	Engine  string  // kind: "vllm" or "llama"
	Version string  // the engine's own; "": not known
	Format  *Format // nil: nothing is known of the model, and nothing is said of it
	KVCache string  // type of the KV cache, as the engine calls it; "": its own choice
	Env     map[string]string
	Flags   []string // of the engine's command line
	Host    Host
}

// Format is a model's format as its config.json says it.
type Format struct {
	Quant       string // quant_method: "awq", "gptq", "compressed-tensors", "fp8", ...; "": none
	Scheme      string // what Quant leaves open: "pack-quantized", "NVFP4"; "": not said
	Bits        int    // of a quantised weight; 0: not known, or not quantised
	Float       bool   // quantised weights are floating point numbers
	Activations int    // bits of an activation; 0: not quantised
	MoE         bool   // a mixture of experts
}

// Host is what the host itself is known by.
type Host struct {
	Kernel     string            // release; "": not known
	CWSR       *bool             // the kernel has the fix that KFD's cwsr_size shows; nil: not known
	MES        string            // version of the GPU's scheduler firmware, "0x83"; "": not known
	Parameters map[string]string // of kernel modules, as the boot line has them: "amdgpu.noretry" -> "0"
}

// Lookup says what is known of a way of serving, by topic. Of each topic the entry counts that holds, is of the latest
// file, and has the most conditions. The format and the KV cache always have a verdict: what no entry knows is a Warn,
// never a Refuse. The other topics have one only where an entry holds.
func (q Quirks) Lookup(query Query) []Verdict {
	topics := []string{"format", "kv_cache"}
	holding := map[string][]quirk{}
	for _, e := range q.entries {
		if !e.possible(query) {
			continue
		}
		if !slices.Contains(topics, e.Topic) {
			topics = append(topics, e.Topic)
		}
		holding[e.Topic] = append(holding[e.Topic], e)
	}
	var list []Verdict
	for _, topic := range topics {
		if topic == "format" && query.Format == nil {
			continue
		}
		if v := judge(topic, holding[topic], query); v.Verdict != "" {
			list = append(list, v)
		}
	}
	return list
}

// possible tells whether an entry holds for some version of the engine.
func (q quirk) possible(query Query) bool {
	for key, c := range q.conditions {
		if key != "version" && !c.holds(query) {
			return false
		}
	}
	return true
}

// judge picks the entry of a topic that counts. Without a version that can be read, it is asked for every version that
// the entries tell apart, and where the answers differ all of them are given.
func judge(topic string, entries []quirk, query Query) Verdict {
	slices.SortStableFunc(entries, func(a, b quirk) int {
		return cmp.Or(cmp.Compare(b.rank, a.rank), cmp.Compare(len(b.conditions), len(a.conditions)))
	})
	var ranges []span
	for _, e := range entries {
		if s, ok := e.conditions["version"].(spans); ok {
			ranges = append(ranges, s.span)
		}
	}
	where := places(ranges...)
	if v, err := parseVersion(query.Version); err == nil {
		where = []place{v.place()}
	}
	var answers []Verdict
	for _, at := range where {
		answer := unknown(topic, query)
		if i := slices.IndexFunc(entries, func(e quirk) bool { return e.within(at) }); i >= 0 {
			answer = entries[i].answer(query)
		}
		if !slices.Contains(answers, answer) {
			answers = append(answers, answer)
		}
	}
	if len(answers) == 1 {
		return answers[0]
	}
	return undecided(topic, entries, answers, query)
}

func (q quirk) within(at place) bool {
	s, ranged := q.conditions["version"].(spans)
	return !ranged || s.contains(at)
}

// answer is the entry's verdict for a query. A format that works under conditions alone is doubtful without them.
func (q quirk) answer(query Query) Verdict {
	v := q.Verdict
	var missing, all []string
	for _, n := range q.needs {
		all = append(all, string(n))
		if !n.met(query) {
			missing = append(missing, string(n))
		}
	}
	if len(missing) == 0 {
		return v
	}
	if v.Verdict == Allow {
		v.Verdict = Warn
	}
	v.Reason += fmt.Sprintf("; it wants %s, and %s is not set", strings.Join(all, " and "), strings.Join(missing, " and "))
	return v
}

// unknown is what stands for an entry where there is none.
func unknown(topic string, query Query) Verdict {
	v := Verdict{Topic: topic, Verdict: Warn}
	switch topic {
	case "format":
		v.Reason = fmt.Sprintf("nothing is known of %s with %s on %s", query.Format, query.Engine, query.GFX)
	case "kv_cache":
		v.Reason = fmt.Sprintf("nothing is known of a KV cache of type %s with %s on %s", query.word("dtype"), query.Engine, query.GFX)
	default:
		return Verdict{}
	}
	return v
}

// undecided joins the answers for versions of which one is the engine's.
func undecided(topic string, entries []quirk, answers []Verdict, query Query) Verdict {
	v := Verdict{Topic: topic, Verdict: answers[0].Verdict}
	var reasons, sources, since, ids []string
	for _, a := range answers {
		if a.Verdict != v.Verdict {
			v.Verdict = Warn
		}
		if a.Verdict == "" { // a topic that has a verdict for some versions alone
			continue
		}
		reason := a.Reason
		if i := slices.IndexFunc(entries, func(e quirk) bool { return e.ID == a.ID }); i >= 0 {
			if s, ranged := entries[i].conditions["version"].(spans); ranged {
				reason = fmt.Sprintf("%s (%s)", reason, s.span)
			}
		}
		reasons = append(reasons, reason)
		sources, since, ids = add(sources, a.Source), add(since, a.Since), add(ids, a.ID)
	}
	v.Reason = fmt.Sprintf("it depends on the version of %s, which is not known: %s", query.Engine, strings.Join(reasons, "; or "))
	v.Source, v.Since, v.ID = strings.Join(sources, ", "), strings.Join(since, ", "), strings.Join(ids, ", ")
	return v
}

// add takes what a text lists and the list has not yet.
func add(list []string, text string) []string {
	for part := range strings.SplitSeq(text, ", ") {
		if part != "" && !slices.Contains(list, part) {
			list = append(list, part)
		}
	}
	return list
}

// String is the format in words: "gptq weights (INT4) of a mixture of experts".
func (f *Format) String() string {
	text := cmp.Or(f.Quant, "unquantised") + " weights"
	var more []string
	if f.Scheme != "" {
		more = append(more, f.Scheme)
	}
	if f.Bits > 0 {
		kind := "INT"
		if f.Float {
			kind = "FP"
		}
		more = append(more, fmt.Sprintf("%s%d", kind, f.Bits))
	}
	if f.Activations > 0 {
		more = append(more, fmt.Sprintf("activations of %d bits", f.Activations))
	}
	if more != nil {
		text += " (" + strings.Join(more, ", ") + ")"
	}
	if f.MoE {
		text += " of a mixture of experts"
	}
	return text
}

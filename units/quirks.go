package units

import (
	"fmt"
	"strings"
)

// QuirkQuery is one way of serving a model, as what is known of the host's GPU is asked about it.
type QuirkQuery struct {
	Engine  string  // kind
	Version string  // of the engine; "": not known
	Format  *Format // of the model; nil: not known
	KVCache string  // type of the KV cache, as the engine calls it; "": its own choice
	Env     map[string]string
	Flags   []string // of the engine's command line
}

// QuirkVerdict is what is known of one topic of a query.
type QuirkVerdict struct {
	ID      string // of what is known; "": nothing is
	Topic   string // "format", "kv_cache", "env NAME", "flag --NAME"; any other is about the host
	Verdict string // QuirkAllow, QuirkWarn or QuirkRefuse
	Reason  string // a clause
	Since   string
	Source  string
}

// The verdicts.
const (
	QuirkAllow  = "allow"
	QuirkWarn   = "warn"
	QuirkRefuse = "refuse"
)

// String is the reason with where it comes from.
func (v QuirkVerdict) String() string {
	if v.Source == "" {
		return v.Reason
	}
	return fmt.Sprintf("%s (%s, %s)", v.Reason, v.Source, v.Since)
}

// askQuirks holds the variant against what is known of the host's GPU. What is refused blocks the unit, unless the variant
// says that it is to be tried all the same.
func (s *spec) askQuirks(fs *faults) {
	if s.host.Quirks == nil || !s.unit.GPU || s.engine.Kind == KindRemote {
		return
	}
	for _, v := range s.host.Quirks(s.quirkQuery()) {
		key, about := s.quirkPlace(v.Topic)
		switch {
		case v.Verdict == QuirkRefuse && !s.variant.Unsupported:
			s.blockAt(fs, key, "configuration", fmt.Sprintf("%s; allow_unsupported = true in [tier.%s.variant.%s] starts it all the same",
				v, s.tier.Name, s.variant.Name))
		case v.Verdict == QuirkAllow:
		case about == "": // a fault of the engine's table or of the host is no tier's, and is told once
			fs.warn(s.config.line(key...), "", "%s", v)
		default:
			fs.warn(s.config.line(key...), s.tier.Name, "%s may not work: %s", about, v)
		}
	}
}

func (s *spec) quirkQuery() QuirkQuery {
	args := s.sizeArgs()
	q := QuirkQuery{Engine: s.engine.Kind, Version: s.unit.EngineVersion, Env: args.env, Flags: args.plain()}
	if s.unit.Format != (Format{}) {
		q.Format = &s.unit.Format
	}
	if s.engine.Kind == KindVLLM {
		q.KVCache, _ = args.last("", "--kv-cache-dtype")
	} else {
		q.KVCache, _ = args.last("LLAMA_ARG_CACHE_TYPE_K", "-ctk", "--cache-type-k")
	}
	return q
}

// quirkPlace is the key of tiers.toml that a topic is about, and the unit that it concerns; "" when it concerns all that
// share an engine, or all that run on this host.
func (s *spec) quirkPlace(topic string) (key []string, unit string) {
	variant := []string{"tier", s.tier.Name, "variant", s.variant.Name}
	kind, name, _ := strings.Cut(topic, " ")
	switch kind {
	case "format":
		return append(variant, "model"), s.unit.Name
	case "kv_cache":
		return append(variant, "extra_args"), s.unit.Name
	case "env":
		if _, own := s.variant.Env[name]; own {
			return append(variant, "env", name), s.unit.Name
		}
		return []string{"engine", s.engine.Name, "env", name}, ""
	case "flag":
		if s.hasArg(name) {
			return append(variant, "extra_args"), s.unit.Name
		}
		return []string{"engine", s.engine.Name, "command"}, ""
	}
	return []string{"host"}, ""
}

// hasArg tells a flag of the variant from one of the engine's command.
func (s *spec) hasArg(flag string) bool {
	return sizeArgs{words: s.variant.ExtraArgs, vllm: s.engine.Kind == KindVLLM}.has(flag)
}

package units

import (
	"fmt"
	"slices"
	"strconv"
)

// shimPath is the main process of every tier.
const shimPath = "/usr/lib/tierd/tier-shim"

// command is an engine's command line: what every version takes, and flags of which the shim picks the first that this
// binary's --help names.
type command struct {
	argv   []string
	prefer []string // "--load-mode none|--no-mmap"
}

// shim is the unit's argv: the shim's own flags, then the engine's command line.
func (s *spec) shim() []string {
	if s.engine.Kind == KindRemote {
		return s.remote()
	}
	c := byKind(s, s.vllm, s.llama, nil)()
	argv := []string{
		shimPath, "run",
		"--tier=" + s.tier.Name,
		"--variant=" + s.variant.Name,
		"--engine=" + s.engine.Kind,
		"--socket=" + s.unit.Socket,
		"--served=" + s.unit.Served,
		fmt.Sprintf("--memory=%d", s.unit.Memory),
		"--load-timeout=" + s.variant.LoadTimeout.String(),
		"--stall-timeout=" + s.variant.StallTimeout.String(),
		"--drain=" + s.config.DrainOf(s.tier).String(),
		fmt.Sprintf("--oom-score=%d", OOMScore(s.tier.Priority)),
	}
	if s.model.size > 0 {
		argv = append(argv, fmt.Sprintf("--progress-bytes=%d", s.model.size))
	}
	for _, p := range c.prefer {
		argv = append(argv, "--prefer="+p)
	}
	if s.unit.Blocked != "" {
		argv = append(argv, "--blocked="+s.unit.BlockClass+":"+s.unit.Blocked)
	}
	return slices.Concat(argv, []string{"--"}, c.argv, s.variant.ExtraArgs)
}

// remote is the shim as a forwarder to another server.
func (s *spec) remote() []string {
	argv := []string{
		shimPath, "remote",
		"--tier=" + s.tier.Name,
		"--socket=" + s.unit.Socket,
		"--url=" + s.variant.URL,
		"--model=" + s.unit.Served,
		fmt.Sprintf("--memory=%d", s.unit.Memory),
		"--load-timeout=" + s.variant.LoadTimeout.String(),
		"--timeout=" + s.variant.StallTimeout.String(),
		"--drain=" + s.config.DrainOf(s.tier).String(),
	}
	if s.variant.Key != "" {
		argv = append(argv, "--key="+s.variant.Key)
	}
	return argv
}

// modelPath is the model on this host, or what tiers.toml calls it as long as it is not there.
func (s *spec) modelPath() string {
	if s.model.path != "" {
		return s.model.path
	}
	return s.variant.Model
}

func number[T ~int | ~uint64](n T) string { return strconv.FormatUint(uint64(n), 10) }

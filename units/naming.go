package units

import (
	"path"
	"strings"
)

// unitName is the unit of a tier's variant: tier-coder.service, tier-orch-llama.service.
func unitName(tier, variant string, isDefault bool) string {
	if isDefault {
		return "tier-" + tier + ".service"
	}
	return "tier-" + tier + "-" + variant + ".service"
}

// socketPath is where the engine of a unit listens.
func socketPath(unit string) string {
	return path.Join("/run/tier", strings.TrimSuffix(unit, ".service"), "engine.sock")
}

// userName is the dynamic user of all variants of a tier, so that they share one cache.
func userName(tier string) string { return "tier-" + tier }

const (
	maxUserName   = 31  // what systemd takes for DynamicUser=, limited by utmp
	maxSocketPath = 107 // sun_path less its final zero
)

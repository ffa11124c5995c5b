package rocm

import "strings"

// parseCgroup finds the path of a process in the unified hierarchy (cgroups(7)), and the units of systemd in it.
func parseCgroup(data []byte) (path, unit, userUnit string) {
	for line := range strings.Lines(string(data)) {
		if where, ok := strings.CutPrefix(line, "0::"); ok {
			path = strings.TrimSuffix(where, "\n")
		}
	}
	for part := range strings.SplitSeq(path, "/") {
		if !strings.HasSuffix(part, ".service") && !strings.HasSuffix(part, ".scope") {
			continue
		}
		switch {
		case unit == "":
			unit = part
		case strings.HasPrefix(unit, "user@"):
			return path, unit, part
		default: // what a unit makes below itself only looks like one
			return path, unit, ""
		}
	}
	return path, unit, ""
}

// tierSlice is where tierd puts all tiers. A user's manager can give a unit any name, but not put it here.
const tierSlice = "/tier.slice/"

// Tier tells whether the client is a tier's own process.
func (c Client) Tier() bool {
	return strings.HasPrefix(c.Cgroup, tierSlice) && strings.HasPrefix(c.Unit, "tier-") && strings.HasSuffix(c.Unit, ".service")
}

// Foreign are the GPU clients that are no tiers': the desktop, other programs, and what is left of engines that were started
// by hand.
func (s Snapshot) Foreign() []Client {
	var found []Client
	for _, c := range s.Clients {
		if !c.Tier() {
			found = append(found, c)
		}
	}
	return found
}

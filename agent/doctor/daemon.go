package doctor

import (
	"fmt"
	"slices"
	"strings"
)

// checkDaemon tells of a tierd that does not answer, and of one that goes by an older tiers.toml.
func (r *report) checkDaemon() {
	if r.Silent != nil {
		r.add(Finding{ID: "tierd", Severity: Error, Source: "tierd", What: r.Silent.Message,
			Why: "no tier is started or stopped, and a request for one that is down is not answered; what only tierd knows is not in this report",
			Fix: r.Silent.Hint})
	}
	if r.Status != nil && r.Status.ConfigEdited {
		r.add(Finding{ID: "config-edited", Severity: Note, Source: "tierd",
			What: r.Status.ConfigPath + " has been edited since tierd read it",
			Why:  "tiers go by what it said before, and this report by what it says now", Fix: "sudo tierctl reload"})
	}
}

// checkPorts tells of ports that the gateway could not open.
func (r *report) checkPorts() {
	if r.Status == nil {
		return
	}
	for _, t := range r.Status.Tiers {
		if t.PortError != "" {
			r.add(portFinding(t.PortError, fmt.Sprintf("requests to %s are not served there", t.Name), fmt.Sprintf("`port` of [tier.%s]", t.Name)))
		}
	}
	if common := r.commonPortError(); common != "" {
		r.add(portFinding(common, "requests that name their tier by `model` are not served there", "`port` of [gateway]"))
	}
}

// commonPortError is why the one port that is no tier's is not open. A tierd that has not been restarted since the upgrade may
// have no field for it, and says it among its warnings.
func (r *report) commonPortError() string {
	if r.Status.PortError != "" || r.Plan == nil {
		return r.Status.PortError
	}
	port := fmt.Sprintf("port %d ", r.Plan.Config.Gateway.Port)
	if i := slices.IndexFunc(r.Status.Warnings, func(w string) bool { return strings.HasPrefix(w, port) }); i >= 0 {
		return r.Status.Warnings[i]
	}
	return ""
}

func portFinding(what, why, key string) Finding {
	return Finding{ID: "port", Severity: Error, Source: "tierd", What: what, Why: why,
		Fix: fmt.Sprintf("end what holds it, which the gateway sees by itself; or another %s in tiers.toml, then: sudo tierctl reload", key)}
}

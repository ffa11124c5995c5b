package doctor

import (
	"fmt"
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
	if r.Plan == nil {
		return
	}
	port := fmt.Sprintf("port %d ", r.Plan.Config.Gateway.Port)
	for _, w := range r.Status.Warnings { // the one port that is no tier's
		if strings.HasPrefix(w, port) {
			r.add(portFinding(w, "requests that name their tier by `model` are not served there", "`port` of [gateway]"))
		}
	}
}

func portFinding(what, why, key string) Finding {
	return Finding{ID: "port", Severity: Error, Source: "tierd", What: what, Why: why,
		Fix: fmt.Sprintf("end what holds it, which the gateway sees by itself; or another %s in tiers.toml, then: sudo tierctl reload", key)}
}

package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/tierd/tierd/packaging/vmtest/wire"
)

// explainTierctl finds the reason in what tierctl wrote: its last line with its own name.
func explainTierctl(stderr string) (outcome, reason, source string) {
	for line := range strings.Lines(stderr) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), "tierctl: "); ok {
			outcome, reason, source = wire.Refused, text, "tierctl"
		}
	}
	if reason == "" {
		return wire.Unexplained, strings.TrimSpace(stderr), ""
	}
	return outcome, reason, source
}

// explainUnit finds out why `systemctl start` failed, where a user would look: what systemctl said, the unit's status
// line, its result, and its log since the command began. The log comes last, and is needed because somebody else may have
// started the unit again meanwhile, and then its status is about that start.
func (h *hammer) explainUnit(ctx context.Context, tier, stderr string, since time.Time) (outcome, reason, source string, err error) {
	unit := "tier-" + tier + ".service"
	if text, ok := cancelledJob(stderr); ok {
		return wire.Cancelled, text, "systemctl", nil
	}
	shown, err := h.run(ctx, "systemctl", "show", "-p", "ActiveState,Result,StatusText", unit)
	if err != nil {
		return "", "", "", err
	}
	if reason, source := explainShown(parseShown(shown.Stdout)); reason != "" {
		return wire.Refused, reason, source, nil
	}
	log, err := h.run(ctx, "journalctl", "--no-pager", "-o", "cat", "-u", unit, fmt.Sprintf("--since=@%d", since.Unix()))
	if err != nil {
		return "", "", "", err
	}
	if reason := explainLog(log.Stdout); reason != "" {
		return wire.Refused, reason, "log", nil
	}
	return wire.Unexplained, strings.TrimSpace(stderr + shown.Stdout), "", nil
}

// cancelledJob tells whether systemctl says that another job, a stop, replaced the start.
func cancelledJob(stderr string) (string, bool) {
	for line := range strings.Lines(stderr) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "Job for ") && (strings.HasSuffix(line, " canceled.") || strings.HasSuffix(line, " cancelled.")) {
			return line, true
		}
	}
	return "", false
}

// parseShown reads the lines of `systemctl show`.
func parseShown(text string) map[string]string {
	props := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		props[name] = value
	}
	return props
}

// explainShown finds the reason in a unit's properties. The status line of a unit that is up, or coming up, is not about
// a start that failed.
func explainShown(props map[string]string) (reason, source string) {
	switch {
	case props["ActiveState"] != "failed" && props["ActiveState"] != "inactive":
		return "", ""
	case props["Result"] == "start-limit-hit":
		return "started too often: start-limit-hit", "Result"
	case props["StatusText"] != "":
		return props["StatusText"], "StatusText"
	}
	return "", ""
}

// explainLog finds the reason in a unit's log: the shim's last word, or systemd's that it was started too often.
func explainLog(text string) (reason string) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if said, ok := strings.CutPrefix(line, "tier-shim: "); ok {
			reason = said
		} else if strings.HasSuffix(line, "Start request repeated too quickly.") {
			reason = line
		}
	}
	return reason
}

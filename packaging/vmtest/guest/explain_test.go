package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tierd/tierd/packaging/vmtest/wire"
)

func TestTierctlSaysWhyInItsLastLine(t *testing.T) {
	const refusal = `utility: start tier-utility.service
utility: start tier-utility.service: failed: tier-utility.service did not come up: not enough memory
tierctl: tier-utility.service did not come up: not enough memory
hint: tierctl logs
`
	for rule, c := range map[string]struct{ stderr, outcome, reason string }{
		"a refusal":      {refusal, wire.Refused, "tier-utility.service did not come up: not enough memory"},
		"no word at all": {"", wire.Unexplained, ""},
		"another's word": {"Killed\n", wire.Unexplained, "Killed"},
	} {
		outcome, reason, _ := explainTierctl(c.stderr)
		if outcome != c.outcome || reason != c.reason {
			t.Errorf("%s: %s, %q", rule, outcome, reason)
		}
	}
}

const jobFailed = `Job for tier-utility.service failed because the control process exited with error code.
See "systemctl status tier-utility.service" and "journalctl -xeu tier-utility.service" for details.
`

// explained puts what systemctl and journalctl would say to explainUnit.
func explained(t *testing.T, stderr, shown, log string) (outcome, reason, source string) {
	t.Helper()
	h := newHammer(nil, &strings.Builder{}, func(_ context.Context, argv ...string) (output, error) {
		switch argv[0] + " " + argv[1] {
		case "systemctl show":
			return output{Stdout: shown}, nil
		case "journalctl --no-pager":
			return output{Stdout: log}, nil
		}
		return output{}, errors.New("no such command")
	})
	outcome, reason, source, err := h.explainUnit(context.Background(), "utility", stderr, time.Unix(1000, 0))
	if err != nil {
		t.Fatal(err)
	}
	return outcome, reason, source
}

func TestAFailedStartIsExplainedWhereAUserWouldLook(t *testing.T) {
	for rule, c := range map[string]struct{ stderr, shown, log, outcome, reason, source string }{
		"the unit's status line": {
			jobFailed, "Result=exit-code\nStatusText=not enough memory\nActiveState=failed\n", "",
			wire.Refused, "not enough memory", "StatusText",
		},
		"systemd's limit of starts": {
			jobFailed, "Result=start-limit-hit\nStatusText=not enough memory\nActiveState=failed\n", "",
			wire.Refused, "started too often: start-limit-hit", "Result",
		},
		"a job that a stop replaced": {
			"Job for tier-utility.service canceled.\n", "ActiveState=inactive\n", "",
			wire.Cancelled, "Job for tier-utility.service canceled.", "systemctl",
		},
		"the log, when the status is about another start": {
			jobFailed, "Result=success\nStatusText=Loading weights\nActiveState=activating\n",
			"Starting tier-utility.service\ntier-shim: waits for its turn\ntier-shim: not enough memory\nFailed to start tier-utility.service\n",
			wire.Refused, "not enough memory", "log",
		},
		"the log, for the limit of starts": {
			jobFailed, "Result=success\nStatusText=\nActiveState=active\n", "tier-utility.service: Start request repeated too quickly.\n",
			wire.Refused, "tier-utility.service: Start request repeated too quickly.", "log",
		},
		"nothing says why": {
			jobFailed, "Result=exit-code\nStatusText=\nActiveState=failed\n", "Starting tier-utility.service\n",
			wire.Unexplained, strings.TrimSpace(jobFailed + "Result=exit-code\nStatusText=\nActiveState=failed"), "",
		},
	} {
		outcome, reason, source := explained(t, c.stderr, c.shown, c.log)
		if outcome != c.outcome || reason != c.reason || source != c.source {
			t.Errorf("%s: %s, %q, %q", rule, outcome, reason, source)
		}
	}
}

func FuzzExplain(f *testing.F) {
	f.Add(jobFailed, "Result=exit-code\nStatusText=no\nActiveState=failed\n", "tier-shim: no\n")
	f.Add("Job for tier-utility.service canceled.\n", "", "")
	f.Fuzz(func(t *testing.T, stderr, shown, log string) {
		outcome, reason, source := explained(t, stderr, shown, log)
		if known := outcome == wire.Refused || outcome == wire.Cancelled; known != (source != "") || known && reason == "" {
			t.Errorf("%s, %q, %q", outcome, reason, source)
		}
	})
}

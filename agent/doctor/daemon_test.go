package doctor

import (
	"testing"

	"github.com/tierd/tierd/agent/api"
)

func TestTierdAndItsPorts(t *testing.T) {
	status := func(f *Facts) *api.Status {
		f.Status = &api.Status{ConfigPath: "/etc/tierd/tiers.toml", Gateway: "connected", Tiers: []api.Tier{{Name: "coder", State: api.Ready}}}
		return f.Status
	}
	check(t, []row{
		{rule: "a tierd that nobody asked is not missed", change: func(*testing.T, *Facts) {}},
		{
			rule: "a tierd that does not answer is an error, with its remedy",
			change: func(_ *testing.T, f *Facts) {
				f.Silent = &api.Error{Message: "cannot reach tierd: X", Hint: "sudo systemctl start tierd"}
			},
			id: "tierd", severity: Error, what: "cannot reach tierd: X", why: "no tier is started", fix: "sudo systemctl start tierd",
		},
		{rule: "one that answers is well", change: func(_ *testing.T, f *Facts) { status(f) }},
		{
			rule:   "a file that was edited is a note: nothing is wrong yet",
			change: func(_ *testing.T, f *Facts) { status(f).ConfigEdited = true },
			id:     "config-edited", severity: Note, what: "/etc/tierd/tiers.toml has been edited", fix: "tierctl reload",
		},
		{
			rule:   "a tier's port that somebody else holds is an error",
			change: func(_ *testing.T, f *Facts) { status(f).Tiers[0].PortError = "port 8002 is held by python3 (pid 7)" },
			id:     "port", severity: Error, what: "port 8002 is held by python3 (pid 7)", why: "requests to coder", fix: "`port` of [tier.coder]",
		},
		{
			rule:   "so is the port of all tiers",
			change: func(_ *testing.T, f *Facts) { status(f).PortError = "port 8000 is held by python3 (pid 7)" },
			id:     "port", severity: Error, what: "port 8000 is held by", why: "by `model`", fix: "`port` of [gateway]",
		},
		{
			rule: "also when tiers.toml, as it is now, cannot be used",
			change: func(_ *testing.T, f *Facts) {
				status(f).PortError, f.Plan = "port 8000 is held by python3 (pid 7)", nil
			},
			id: "port", severity: Error, what: "port 8000 is held by", why: "by `model`", fix: "`port` of [gateway]",
		},
		{
			rule:   "an older tierd says it among its warnings",
			change: func(_ *testing.T, f *Facts) { status(f).Warnings = []string{"port 8000 is held by python3 (pid 7)"} },
			id:     "port", severity: Error, what: "port 8000 is held by", why: "by `model`", fix: "`port` of [gateway]",
		},
		{
			rule: "other warnings of tierd are not ports",
			change: func(_ *testing.T, f *Facts) {
				status(f).Warnings = []string{"port 80001 is not known", "systemd does not answer"}
			},
		},
	})
}

package rocm

import (
	"context"
	"slices"
	"testing"

	"github.com/tierd/tierd/rocm/rocmtest"
)

func TestCgroup(t *testing.T) {
	for text, want := range map[string][3]string{
		"0::/tier.slice/tier-gpu.slice/tier-coder.service\n":                                {"/tier.slice/tier-gpu.slice/tier-coder.service", "tier-coder.service", ""},
		"0::/tier.slice/tier-coder.service/workers/tier-x.service\n":                        {"/tier.slice/tier-coder.service/workers/tier-x.service", "tier-coder.service", ""},
		"0::/user.slice/user-1000.slice/session-2.scope\n":                                  {"/user.slice/user-1000.slice/session-2.scope", "session-2.scope", ""},
		"0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-firefox-12.scope\n": {"/user.slice/user-1000.slice/user@1000.service/app.slice/app-firefox-12.scope", "user@1000.service", "app-firefox-12.scope"},
		"12:pids:/a.service\n1:name=systemd:/b.service\n0::/init.scope\n":                   {"/init.scope", "init.scope", ""},
		"0::/\n": {"/", "", ""},
		"1:name=systemd:/system.slice/a.service\n": {"", "", ""},
		"": {"", "", ""},
	} {
		path, unit, user := parseCgroup([]byte(text))
		if got := [3]string{path, unit, user}; got != want {
			t.Errorf("%q is %q", text, got)
		}
	}
}

// TestForeignClients: a user's manager may call a unit what it likes, but only systemd itself puts one into tier.slice.
func TestForeignClients(t *testing.T) {
	root := rocmtest.Unpack(t, "gtt120")
	for pid, cgroup := range map[string]string{
		"2210": "/user.slice/user-1000.slice/user@1000.service/tier.slice/tier-coder.service",
		"4311": "/tier.slice/tier-gpu.slice/tier-coder.service",
		"4402": "/tier.slice/tier-gpu.slice/tier-orch-vllm.service",
		"4520": "/tier.slice/other.service",
	} {
		write(t, root, "proc/"+pid+"/cgroup", "0::"+cgroup+"\n")
	}
	var foreign []int
	for _, c := range host(root).Snapshot(context.Background()).Foreign() {
		foreign = append(foreign, c.PID)
	}
	if !slices.Equal(foreign, []int{2210, 4520}) {
		t.Errorf("foreign are %v", foreign)
	}
}

func FuzzParseCgroup(f *testing.F) {
	f.Add([]byte("0::/tier.slice/tier-gpu.slice/tier-coder.service\n"))
	f.Add([]byte("0::/user.slice/user@1.service/x.scope"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path, unit, user := parseCgroup(data)
		c := Client{Cgroup: path, Unit: unit, UserUnit: user}
		if c.Tier() && (unit == "" || user != "") {
			t.Errorf("%q is a tier of unit %q, %q", path, unit, user)
		}
	})
}

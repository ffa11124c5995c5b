//go:build browser

package browsertest

import (
	"net"
	"testing"
	"time"

	"github.com/tierd/tierd/agent/api"
)

const gib = 1 << 30

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func amount(gibs float64) *uint64 {
	n := uint64(gibs * gib)
	return &n
}

// newScene is a machine as tierd is made for: the orchestrator serves, the coder loads, the reviewer had to go, and the
// fourth tier leaves the machine.
func newScene(t *testing.T) *script {
	s := &script{fresh: make(chan struct{})}
	s.table = api.Table{Seq: 1, Listen: "127.0.0.1", Port: freePort(t)}
	began := time.Now().Add(-83 * time.Minute)
	for _, r := range []api.Route{
		{Tier: "orch", Role: "orchestrator", State: api.Ready, Engine: "vllm", Variant: "vllm", Model: "Qwen/Qwen2.5-14B-Instruct", Context: 64 << 10, Concurrency: 4},
		{Tier: "coder", Role: "coder", State: api.Starting, Status: "Loading weights 43 %, 24 of 57 GiB", Engine: "vllm", Variant: "vllm", Model: "Qwen/Qwen3-Coder-30B-A3B-Instruct", Context: 48 << 10},
		{Tier: "reviewer", Role: "reviewer", State: api.Stopped, Reason: "gave way to coder: idle for 9 min", Engine: "llama", Variant: "cpu", Model: "Llama-3.3-70B-Instruct-Q4_K_M.gguf", Context: 32 << 10},
		{Tier: "utility", Role: "titles, summaries, search", State: api.Ready, Engine: "remote", Variant: "cloud", Model: "small-model", Context: 128 << 10},
	} {
		r.Port, r.Names, r.Unit = freePort(t), []string{r.Tier}, "tier-"+r.Tier+".service"
		s.table.Routes = append(s.table.Routes, r)
		tier := api.Tier{
			Name: r.Tier, Role: r.Role, Port: r.Port, State: r.State, Status: r.Status, Reason: r.Reason, Engine: r.Engine, Variant: r.Variant,
			Model: r.Model, Since: began, Variants: []api.Variant{}, Unit: r.Unit,
		}
		switch r.Tier {
		case "orch":
			tier.Memory, tier.RestartPending = *amount(42.5), true
		case "coder":
			tier.Memory, tier.Since = *amount(64.4), time.Now().Add(-35*time.Second)
		case "reviewer":
			tier.Memory = *amount(50.2)
		}
		s.status.Tiers = append(s.status.Tiers, tier)
	}
	s.status.Version, s.status.Gateway, s.status.Systemd, s.status.Started = "0.1.0", "connected", "257", began
	s.budget = api.Budget{
		RAM: api.Pool{Name: "ram", Size: amount(124.9), Promised: *amount(106.9)}, Reserve: *amount(12), KeepFree: *amount(4), Free: amount(58.3), Pending: *amount(36.4), Fits: true,
		GPU: &api.Pool{Name: "gtt", Size: amount(115), Promised: *amount(103.4), Others: *amount(1.2), Leaked: *amount(.8)},
		Tiers: []api.Share{
			{Tier: "orch", Phase: "ready", RAM: *amount(42.5), GPU: *amount(41)},
			{Tier: "coder", Phase: "loading", RAM: *amount(64.4), GPU: *amount(62.4)},
		},
	}
	for i, text := range []string{
		"tiers.toml is in force", "up full: begun", "reviewer gives way to coder: idle for 9 min", "reviewer is stopped", "coder is starting", "the gateway is connected",
	} {
		e := api.Event{Seq: uint64(i + 1), Time: began.Add(time.Duration(i) * 7 * time.Second), Kind: []string{"config", "change", "tier", "tier", "tier", "gateway"}[i], Text: text}
		if e.Kind == "tier" {
			e.Tier = []string{"", "", "reviewer", "reviewer", "coder"}[i]
		}
		s.events = append(s.events, e)
	}
	return s
}

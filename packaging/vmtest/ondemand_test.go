//go:build vmtest

package vmtest

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestGatewayStartsQuickly measures what it costs that a request starts a tier, rather than a person.
func TestGatewayStartsQuickly(t *testing.T) {
	b, ctx := measured(t)
	const rounds = 13
	onDemand(t, b, ctx, "cold-start", fmt.Sprintf("cold %d orch 8001", rounds), 30)
	// Room for one of the two, and no pause before it may give way: so each request has the other one stopped first.
	must(t, b, ctx, `m=$(awk '/^MemTotal/{print int($2 / 1024)}' /proc/meminfo)
sed -i "s/^memory = .*/memory = \"$((m / 2))MiB\"/; s/^reserve = .*/reserve = \"$((m / 5))MiB\"\nkeep_free = \"64MiB\"/
	s/^role = .*/&\nmin_residency = \"0s\"\nmax_wait = \"10s\"/" /etc/tierd/tiers.toml
tierctl down && tierctl reload`)
	onDemand(t, b, ctx, "swap", fmt.Sprintf("swap %d orch 8001 coder 8002", rounds), 50)
}

// onDemand runs ondemand.py and prints its medians; the goal is for what the gateway adds.
func onDemand(t *testing.T, b *Bed, ctx context.Context, name, args string, goal float64) {
	t.Helper()
	script, err := os.ReadFile("testdata/ondemand.py")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.WriteFile("/root/ondemand.py", script, 0o644); err != nil {
		t.Fatal(err)
	}
	var byHand, byGateway, over []float64
	for line := range strings.Lines(must(t, b, ctx, "python3 /root/ondemand.py "+args)) {
		var hand, gateway float64
		if _, err := fmt.Sscan(line, &hand, &gateway); err != nil {
			t.Fatalf("%s: cannot read %q: %v", name, line, err)
		}
		byHand, byGateway, over = append(byHand, hand), append(byGateway, gateway), append(over, gateway-hand)
	}
	fmt.Printf("%s: %.0f ms by systemctl (at best %.0f), %.0f ms through the gateway (at best %.0f); by round %.0f\n",
		name, middle(byHand), slices.Min(byHand), middle(byGateway), slices.Min(byGateway), over)
	bench(name+"-over-systemctl", middle(over), "ms", goal)
}

func middle(list []float64) float64 {
	return slices.Sorted(slices.Values(list))[len(list)/2]
}

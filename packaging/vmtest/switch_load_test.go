//go:build vmtest

package vmtest

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// roundTrips is how often the orchestrator goes to another variant and back.
const roundTrips = 20

// switches moves orch there and back again and again, and returns how long one switch took on average and at most.
func switches(t *testing.T, b *Bed, ctx context.Context, n int, there, back string) {
	t.Helper()
	var longest, all time.Duration
	for range n {
		for _, variant := range []string{there, back} {
			begin := time.Now()
			must(t, b, ctx, "tierctl switch-orch "+variant)
			took := time.Since(begin)
			longest, all = max(longest, took), all+took
		}
	}
	fmt.Printf("switches: %d to %s and back, %.1f s on average, %.1f s at most\n", n, there, all.Seconds()/float64(2*n), longest.Seconds())
}

// switchUnderLoad switches under 16 clients that want streams and 16 that want plain answers; none of them may notice but by
// waiting. Another tier, which 4 more clients ask, has nothing to do with it.
func switchUnderLoad(t *testing.T, b *Bed, ctx context.Context, name string, n int, there string, more ...string) {
	t.Helper()
	must(t, b, ctx, "tierctl start orch utility")
	saved := must(t, b, ctx, "systemctl show -P MainPID tier-utility.service")
	r := startLoad(t, b, ctx, name, append(everyName("orch"), append(more, "-streams 16 -plain 16 -length 1")...)...)
	beside := startLoad(t, b, ctx, name+"-beside", append(everyName("utility"), "-streams 2 -plain 2 -length 1 -pause 200ms")...)
	switches(t, b, ctx, n, there, "main")
	tally, _ := r.stop(t, ctx)
	other, _ := beside.stop(t, ctx)
	benchLoad(t, name, tally, 0, holdBound.Seconds())
	benchLoad(t, name+"-beside", other, 0, holdBound.Seconds())
	for _, variant := range []string{"main", there} {
		answers := map[string]string{"main": "orch-main", "llama": "orch-llama", "cloud": ProviderModel}[variant]
		if tally.By[answers] < n {
			t.Errorf("%s answered %d requests in %d visits: %v", variant, tally.By[answers], n, tally.By)
		}
	}
	if now := must(t, b, ctx, "systemctl show -P MainPID tier-utility.service"); now != saved {
		t.Errorf("utility's process was %s and is %s", saved, now)
	}
}

// TestSwitchUnderLoad switches twenty times there and back: once where both variants fit, so that the new one is up before
// the old one goes, and once where they do not, so that requests are held while one goes and the other comes.
func TestSwitchUnderLoad(t *testing.T) {
	t.Run("side by side", func(t *testing.T) {
		b, ctx := underLoad(t, func(total int64) string { return demandTiers(512<<20, 256<<20, "") })
		switchUnderLoad(t, b, ctx, "switch-side-by-side", roundTrips, "llama")
	})
	t.Run("drain", func(t *testing.T) {
		// Two variants of orch are more than there is; orch and utility are not.
		b, ctx := underLoad(t, func(total int64) string { return demandTiers(total*38/100, total/5, "") })
		switchUnderLoad(t, b, ctx, "switch-drain", roundTrips, "llama")
		if n, err := strconv.Atoi(must(t, b, ctx, "systemctl show -P NRestarts tier-orch.service")); err != nil || n != 0 {
			t.Errorf("orch was restarted %d times, %v", n, err)
		}
	})
}

// TestCloudUnderLoad moves the orchestrator to a server elsewhere and back.
func TestCloudUnderLoad(t *testing.T) {
	// All 32 clients wait there for two slots.
	patient := strings.Replace(CloudVariant, `stall_timeout = "3s"`, `stall_timeout = "1m"`, 1)
	b, ctx := underLoad(t, func(total int64) string { return demandTiers(512<<20, 256<<20, patient) })
	if err := startProvider(ctx, b); err != nil {
		t.Fatal(err)
	}
	must(t, b, ctx, "systemd-creds encrypt --name=cloud-key - /etc/credstore.encrypted/cloud-key </root/provider-token && tierctl reload")
	for i := range bedPorts {
		if bedPorts[i].tier == "orch" {
			defer func(was string) { bedPorts[i].answers = was }(bedPorts[i].answers)
			bedPorts[i].answers += "," + ProviderModel
		}
	}
	switchUnderLoad(t, b, ctx, "switch-cloud", 3, "cloud")
}

package gateway

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tierd/tierd/agent/api"
)

var (
	tierdInfoDesc  = desc("info", "The tierd that runs.", "version")
	startTimeDesc  = desc("start_time_seconds", "When tierd began to count, in seconds since 1970.")
	configDesc     = desc("config_valid", "1 if tiers.toml as it is now can be used.")
	startsDesc     = desc("starts_total", "Processes of a tier that began, by why.", "tier", "reason")
	stopsDesc      = desc("stops_total", "Processes of a tier that ended, by why.", "tier", "reason")
	chargeDesc     = desc("tier_charge_bytes", "What a tier takes when it is up, as admission counts it.", "tier")
	currentDesc    = desc("tier_memory_bytes", "What of the RAM a tier's cgroup holds now.", "tier")
	promisedToDesc = desc("tier_promised_bytes", "What a tier that is up was promised of a pool.", "tier", "pool")

	poolSizeDesc     = desc("pool_size_bytes", "Size of a pool of memory.", "pool")
	poolUsedDesc     = desc("pool_used_bytes", "What of a pool is in use, by anybody.", "pool")
	poolPromisedDesc = desc("pool_promised_bytes", "What of a pool was promised to tiers.", "pool")
	poolOthersDesc   = desc("pool_others_bytes", "What of a pool programs hold that are no tiers.", "pool")
	poolLeakedDesc   = desc("pool_leaked_bytes", "What of a pool is in use and owned by no process.", "pool")
	reserveDesc      = desc("reserve_bytes", "What of the RAM is never promised.")
	keepFreeDesc     = desc("keep_free_bytes", "What of the RAM has to stay free after a load.")
	freeDesc         = desc("memory_free_bytes", "What of the RAM is free to be taken now.")
	pendingDesc      = desc("memory_pending_bytes", "What of the RAM was promised and not taken yet.")
)

var (
	guardConnectedDesc = desc("guard_connected", "1 if tier-guard is connected to tierd.")
	guardArmedDesc     = desc("guard_armed", "1 if tier-guard has shown that it can act when memory runs short.")
	guardRestingDesc   = desc("guard_resting_tiers", "Tiers that gave way to memory pressure and are not back.")
	guardActionsDesc   = desc("guard_actions_total", "What tier-guard did and found, by kind.", "kind")
	guardAvailableDesc = desc("guard_available_bytes", "Available memory as tier-guard sees it.")
	guardLineDesc      = desc("guard_line_bytes", "Available memory below which tier-guard acts.", "line")
)

// askTierd tells what tierd counts. Who is away, or slow, is told by one series.
func (s scrape) askTierd(ctx context.Context, out chan<- prometheus.Metric) {
	m, err := s.g.cfg.Control.Metrics(ctx)
	out <- prometheus.MustNewConstMetric(upDesc, prometheus.GaugeValue, boolean(err == nil))
	if err != nil {
		s.g.log.Debug("tierd did not answer a scrape", "err", err)
		return
	}
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	gauge(tierdInfoDesc, 1, m.Version)
	gauge(startTimeDesc, float64(m.Started.UnixMilli())/1000)
	gauge(configDesc, boolean(m.ConfigValid))
	for _, t := range m.Tiers {
		for why, n := range t.Starts {
			out <- prometheus.MustNewConstMetric(startsDesc, prometheus.CounterValue, float64(n), t.Tier, why)
		}
		for why, n := range t.Stops {
			out <- prometheus.MustNewConstMetric(stopsDesc, prometheus.CounterValue, float64(n), t.Tier, why)
		}
		gauge(chargeDesc, float64(t.Memory), t.Tier)
		if t.MemoryCurrent != nil {
			gauge(currentDesc, float64(*t.MemoryCurrent), t.Tier)
		}
	}
	if m.Budget != nil {
		tellBudget(gauge, *m.Budget)
	}
	if m.Guard != nil {
		for kind, n := range m.Guard.Actions {
			out <- prometheus.MustNewConstMetric(guardActionsDesc, prometheus.CounterValue, float64(n), kind)
		}
		tellGuard(gauge, *m.Guard)
	}
}

func tellBudget(gauge func(d *prometheus.Desc, value float64, labels ...string), b api.Budget) {
	pools := []api.Pool{b.RAM}
	if b.GPU != nil {
		pools = append(pools, *b.GPU)
	}
	for _, p := range pools {
		if p.Size != nil {
			gauge(poolSizeDesc, float64(*p.Size), p.Name)
		}
		if p.Used != nil {
			gauge(poolUsedDesc, float64(*p.Used), p.Name)
		}
		gauge(poolPromisedDesc, float64(p.Promised), p.Name)
		gauge(poolOthersDesc, float64(p.Others), p.Name)
		gauge(poolLeakedDesc, float64(p.Leaked), p.Name)
	}
	gauge(reserveDesc, float64(b.Reserve))
	gauge(keepFreeDesc, float64(b.KeepFree))
	if b.Free != nil {
		gauge(freeDesc, float64(*b.Free))
	}
	gauge(pendingDesc, float64(b.Pending))
	for tier, promised := range promises(b) {
		gauge(promisedToDesc, float64(promised.ram), tier, b.RAM.Name)
		if b.GPU != nil {
			gauge(promisedToDesc, float64(promised.gpu), tier, b.GPU.Name)
		}
	}
}

func tellGuard(gauge func(d *prometheus.Desc, value float64, labels ...string), g api.GuardMetrics) {
	gauge(guardConnectedDesc, boolean(g.Connected))
	gauge(guardArmedDesc, boolean(g.Armed))
	gauge(guardRestingDesc, float64(g.Resting))
	if g.Available != nil {
		gauge(guardAvailableDesc, float64(*g.Available))
	}
	for line, bytes := range g.Lines {
		gauge(guardLineDesc, float64(bytes), line)
	}
}

// promise is what all units of one tier were promised: in a switch there are two.
type promise struct{ ram, gpu uint64 }

func promises(b api.Budget) map[string]promise {
	sums := map[string]promise{}
	for _, s := range b.Tiers {
		p := sums[s.Tier]
		sums[s.Tier] = promise{p.ram + s.RAM, p.gpu + s.GPU}
	}
	return sums
}

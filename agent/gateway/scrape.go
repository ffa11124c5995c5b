package gateway

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tierd/tierd/agent/api"
)

// scrapeLimit bounds what a scrape waits for tierd and the engines, which it asks all at once: Prometheus itself gives up
// after ten seconds, and an engine that is stuck is what it wants to hear of.
const scrapeLimit = time.Second

// scrape is what is only looked at when somebody asks: the table, the pool, tierd and the engines. It describes nothing
// beforehand, since who is away leaves its series out rather than repeat old values.
type scrape struct{ g *Gateway }

// Describe implements prometheus.Collector.
func (scrape) Describe(chan<- *prometheus.Desc) {}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("tierd_"+name, help, labels, nil)
}

var (
	upDesc          = desc("up", "1 if tierd answered this scrape; else what it counts is not there.")
	stateDesc       = desc("tier_state", "1 for the state that a tier is in.", "tier", "state")
	infoDesc        = desc("tier_info", "What a tier is served by, or would be.", "tier", "role", "variant", "engine", "model", "unit")
	inFlightDesc    = desc("requests_in_flight", "Requests that a tier's engine is answering.", "tier")
	connectionsDesc = desc("gateway_connections", "Connections of clients.")
	mostDesc        = desc("gateway_connections_max", "Connections of clients that there may be.")
)

// states are the values of the label state.
var states = []api.State{api.Stopped, api.Starting, api.Ready, api.Draining, api.Stopping, api.Failed, api.Blocked}

// Collect implements prometheus.Collector.
func (s scrape) Collect(out chan<- prometheus.Metric) {
	v := s.g.view.Load()
	if v == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), scrapeLimit)
	defer cancel()
	var asked sync.WaitGroup
	asked.Go(func() { s.askTierd(ctx, out) })
	for i := range v.table.Routes {
		if r := &v.table.Routes[i]; r.State == api.Ready && engineNames[r.Engine] != nil {
			asked.Go(func() { askEngine(ctx, out, r) })
		}
	}
	s.own(out, v)
	asked.Wait()
}

// own is what the gateway knows by itself.
func (s scrape) own(out chan<- prometheus.Metric, v *view) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	inFlight, _, _ := s.g.pool.report()
	for _, r := range v.table.Routes {
		for _, state := range states {
			gauge(stateDesc, boolean(state == r.State), r.Tier, string(state))
		}
		gauge(infoDesc, 1, r.Tier, r.Role, r.Variant, r.Engine, r.Model, r.Unit)
		gauge(inFlightDesc, float64(inFlight[r.Tier]), r.Tier)
	}
	used, most := s.g.ports.slots.count()
	gauge(connectionsDesc, float64(used))
	gauge(mostDesc, float64(most))
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

package gateway

import (
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tierd/tierd/agent/api"
)

const metricsPath = "/metrics"

// maxScrapes is how many may look at a time: each asks tierd and every engine.
const maxScrapes = 3

// Bounds of the histograms, in seconds. A wait is nothing, a queue, or a load of minutes; a first byte may be that of a short
// prompt on a GPU or of a long one on the CPU.
var (
	waitBounds      = []float64{0.001, 0.01, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 240}
	firstByteBounds = []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300}
)

// metrics are the counters of the data path, and the handler that tells of them and of all that is only asked for at a
// scrape. Names and labels are described in tier-gateway(8).
type metrics struct {
	handler http.Handler

	answers   *prometheus.CounterVec // tier, code
	waiting   *prometheus.GaugeVec
	wait      *prometheus.HistogramVec
	firstByte *prometheus.HistogramVec
	broken    *prometheus.CounterVec
	errors    *prometheus.CounterVec // code

	mu     sync.Mutex
	meters atomic.Pointer[map[string]*meter] // by tier; replaced, and never changed
}

// codes are the values of the label code: a class of statuses, or "gone" for a client that left before there was any.
var codes = [...]string{"gone", "1xx", "2xx", "3xx", "4xx", "5xx"}

// meter is what the data path touches of one tier: nothing in it is looked up while a request runs.
type meter struct {
	answers   [len(codes)]prometheus.Counter
	waiting   prometheus.Gauge
	wait      prometheus.Observer
	firstByte prometheus.Observer
	broken    prometheus.Counter
}

func newMetrics(g *Gateway) *metrics {
	tier := []string{"tier"}
	m := &metrics{
		answers: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tierd_requests_total",
			Help: "Requests to a tier by the class of the status that the client got; gone: it hung up before."}, []string{"tier", "code"}),
		waiting: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "tierd_requests_waiting",
			Help: "Requests that wait for their tier or for their turn."}, tier),
		wait: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "tierd_request_wait_seconds", Buckets: waitBounds,
			Help: "How long requests waited for their tier and their turn."}, tier),
		firstByte: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "tierd_request_first_byte_seconds", Buckets: firstByteBounds,
			Help: "From the end of a request's wait until its engine began to answer."}, tier),
		broken: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tierd_answers_broken_total",
			Help: "Answers that were broken off because the engine did."}, tier),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tierd_gateway_errors_total",
			Help: "Errors that are the gateway's own answers, by their code."}, []string{"code"}),
	}
	none := map[string]*meter{}
	m.meters.Store(&none)
	registry := prometheus.NewRegistry()
	registry.MustRegister(m.answers, m.waiting, m.wait, m.firstByte, m.broken, m.errors, scrape{g},
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.handler = promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		MaxRequestsInFlight: maxScrapes,
		// A compressor is 800 KiB of memory, and whoever scrapes is on this machine or near.
		DisableCompression: true,
	})
	return m
}

// follow has one meter for each tier of a table. What was counted of a tier that is gone goes with it.
func (m *metrics) follow(routes []api.Route) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := *m.meters.Load()
	meters := make(map[string]*meter, len(routes))
	for _, r := range routes {
		meters[r.Tier] = old[r.Tier]
		if meters[r.Tier] == nil {
			meters[r.Tier] = m.newMeter(r.Tier)
		}
	}
	m.meters.Store(&meters)
	for tier := range old {
		if meters[tier] == nil {
			m.forget(tier)
		}
	}
}

func (m *metrics) newMeter(tier string) *meter {
	one := &meter{
		waiting: m.waiting.WithLabelValues(tier), wait: m.wait.WithLabelValues(tier),
		firstByte: m.firstByte.WithLabelValues(tier), broken: m.broken.WithLabelValues(tier),
	}
	for i, code := range codes {
		one.answers[i] = m.answers.WithLabelValues(tier, code)
	}
	return one
}

func (m *metrics) forget(tier string) {
	of := prometheus.Labels{"tier": tier}
	for _, vec := range []interface{ DeletePartialMatch(prometheus.Labels) int }{m.answers, m.waiting, m.wait, m.firstByte, m.broken} {
		vec.DeletePartialMatch(of)
	}
}

// refused counts an error of the gateway's own. Codes are words of this package, so that there are few.
func (m *metrics) refused(code string) { m.errors.WithLabelValues(code).Inc() }

// visit is one request to a tier on its way through: it waits, it is granted a lease, its engine answers, it ends. It is
// counted once, whichever way it goes.
type visit struct {
	meter   *meter // nil: the tier has gone meanwhile
	since   time.Time
	waits   bool
	counted bool
}

// visit begins one, which waits.
func (m *metrics) visit(tier string) visit {
	v := visit{meter: (*m.meters.Load())[tier]}
	v.again()
	return v
}

// again has it wait: at first, and when nothing has come of it.
func (v *visit) again() {
	if v.meter == nil || v.waits {
		return
	}
	v.since, v.waits = time.Now(), true
	v.meter.waiting.Inc()
}

// granted ends the wait.
func (v *visit) granted() {
	if v.meter == nil || !v.waits {
		return
	}
	v.waits = false
	v.meter.waiting.Dec()
	now := time.Now()
	v.meter.wait.Observe(now.Sub(v.since).Seconds())
	v.since = now
}

// answered takes the engine's status.
func (v *visit) answered(status int) {
	if v.meter == nil || v.counted {
		return
	}
	v.meter.firstByte.Observe(time.Since(v.since).Seconds())
	v.count(status)
}

// failed takes the error that the client gets in place of an engine's answer, and passes it on.
func (v *visit) failed(err error) error {
	var f *failure
	if errors.As(err, &f) {
		v.count(f.status)
	}
	return err
}

// broke tells that the answer was broken off by the engine.
func (v *visit) broke() {
	if v.meter != nil {
		v.meter.broken.Inc()
	}
}

// end is for whatever happened: one that got no answer so far has a client that is gone.
func (v *visit) end() {
	v.granted()
	v.count(0)
}

func (v *visit) count(status int) {
	if v.meter == nil || v.counted {
		return
	}
	v.counted = true
	class := status / 100
	if class < 0 || class >= len(codes) {
		class = len(codes) - 1
	}
	v.meter.answers[class].Inc()
}

package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	prom "github.com/prometheus/common/model"

	"github.com/tierd/tierd/agent/api"
)

// series are what a scrape has, each with its labels as it is written.
type series map[string]float64

// look scrapes a rig and checks that what comes is what Prometheus reads.
func look(t *testing.T, rig *rig) series {
	t.Helper()
	res, text := fetch(t, "GET", rig.tierURL("", "/metrics"), "")
	if res.StatusCode != 200 || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Fatalf("%d %q: %s", res.StatusCode, res.Header.Get("Content-Type"), text)
	}
	parser := expfmt.NewTextParser(prom.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	found := series{}
	for name, family := range families {
		if family.GetHelp() == "" {
			t.Errorf("%s has no help", name)
		}
		for _, m := range family.GetMetric() {
			labels := []string{}
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			key := strings.TrimSpace(name + " " + strings.Join(labels, " "))
			switch {
			case m.Histogram != nil:
				found[key+" count"], found[key+" sum"] = float64(m.Histogram.GetSampleCount()), m.Histogram.GetSampleSum()
			case m.Counter != nil:
				found[key] = m.Counter.GetValue()
			default:
				found[key] = m.Gauge.GetValue()
			}
		}
	}
	return found
}

// must checks series by "name labels value", one a line; a value of "-" is a series that must not be there.
func (s series) must(t *testing.T, rule, want string) {
	t.Helper()
	for line := range strings.Lines(strings.TrimSpace(want)) {
		line = strings.TrimSpace(line)
		key, value := line[:strings.LastIndexByte(line, ' ')], line[strings.LastIndexByte(line, ' ')+1:]
		got, there := s[key]
		switch {
		case !there && value != "-":
			t.Errorf("%s: there is no %s", rule, key)
		case there && fmt.Sprint(got) != value:
			t.Errorf("%s: %s is %v, want %s", rule, key, got, value)
		}
	}
}

func TestRequestsAreCountedOnceWhicheverWayTheyGo(t *testing.T) {
	engine := startEngine(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/404":
			w.WriteHeader(404)
		case "/break":
			w.Header().Set("Content-Length", "10")
			io.WriteString(w, "half")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		case "/never":
			panic(http.ErrAbortHandler)
		}
	})
	rig := startRig(t, Config{}, route(t, "coder", engine.socket), route(t, "orch", "/nowhere"))
	look(t, rig).must(t, "before the first request", `
		tierd_requests_total code=2xx tier=coder 0
		tierd_requests_in_flight tier=coder 0
		tierd_requests_waiting tier=coder 0
		tierd_request_wait_seconds tier=coder count 0
		tierd_gateway_errors_total code=bad_request -`)
	for _, path := range []string{"/", "/", "/404", "/never"} {
		fetch(t, "GET", rig.tierURL("coder", path), "")
	}
	talk(t, rig.table.Routes[0].Port, "GET /break HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
	rig.change(t, "orch", func(r *api.Route) { r.State = api.Stopped })
	fetch(t, "GET", rig.tierURL("orch", "/"), "")
	fetch(t, "POST", rig.tierURL("", "/x"), `{"model":"nobody"}`)
	eventually(t, "the broken one is counted", func() bool { return look(t, rig)["tierd_answers_broken_total tier=coder"] == 1 })
	look(t, rig).must(t, "after them", `
		tierd_requests_total code=2xx tier=coder 3
		tierd_requests_total code=4xx tier=coder 1
		tierd_requests_total code=5xx tier=coder 1
		tierd_requests_total code=5xx tier=orch 1
		tierd_requests_waiting tier=coder 0
		tierd_request_wait_seconds tier=coder count 5
		tierd_request_first_byte_seconds tier=coder count 4
		tierd_request_first_byte_seconds tier=orch count 0
		tierd_gateway_errors_total code=tier_broken 1
		tierd_gateway_errors_total code=tier_not_ready 1
		tierd_gateway_errors_total code=model_not_found 1
		tierd_tier_state state=stopped tier=orch 1
		tierd_tier_state state=ready tier=orch 0`)
}

func TestEachErrorOfItsOwnIsCounted(t *testing.T) {
	rig := startRig(t, Config{MaxConns: 1}, route(t, "coder", "/nowhere"))
	rig.table.Keys = append([]api.Key{keyOf("all", "tierd_everything", []string{api.ScopeModels, api.ScopeMetrics})}, testKeys...)
	rig.table.OpenLoopback = true
	rig.publish(t)
	port := rig.table.Port
	alone := func(do func()) {
		t.Helper()
		eventually(t, "nobody is connected", func() bool { return rig.ports.connected() == 0 })
		do()
	}
	get := func(path string, header ...string) {
		t.Helper()
		alone(func() { fetch(t, "GET", rig.url(port, path), "", header...) })
	}
	get("/v1/models/nobody")
	get("/page/events", "Sec-Fetch-Site", "same-site")
	alone(func() { talk(t, port, "GET / HTTP/1.1\r\nHost: localhost\r\nExpect: wonders\r\n\r\n") })
	rig.table.OpenLoopback = false
	rig.publish(t)
	get("/", "Authorization", "Bearer tierd_coder")
	alone(func() {
		first, err := net.Dial("tcp", address(port))
		if err != nil {
			t.Fatal(err)
		}
		defer first.Close()
		eventually(t, "the only place is taken", func() bool { return rig.ports.connected() == 1 })
		if got := talk(t, port, ""); !strings.Contains(got, "max_connections") {
			t.Errorf("one connection too many is told %q", got)
		}
	})
	rig.table.OpenLoopback = true
	rig.publish(t)
	alone(func() {
		look(t, rig).must(t, "one of each", `
			tierd_gateway_errors_total code=model_not_found 1
			tierd_gateway_errors_total code=forbidden 1
			tierd_gateway_errors_total code=bad_request 1
			tierd_gateway_errors_total code=insufficient_scope 1
			tierd_gateway_errors_total code=too_many_connections 1`)
	})
}

func TestAClientThatHangsUpIsCountedAsGone(t *testing.T) {
	reached, letGo := make(chan bool), make(chan bool)
	engine := startEngine(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/metrics" {
			return
		}
		reached <- true
		select {
		case <-letGo:
		case <-r.Context().Done():
		}
	})
	rig := startRig(t, Config{}, route(t, "coder", engine.socket))
	c, err := net.Dial("tcp", address(rig.table.Routes[0].Port))
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
	<-reached
	look(t, rig).must(t, "while it runs", "tierd_requests_in_flight tier=coder 1\ntierd_requests_total code=gone tier=coder 0")
	c.Close()
	eventually(t, "it is gone", func() bool { return look(t, rig)["tierd_requests_total code=gone tier=coder"] == 1 })
	look(t, rig).must(t, "and then", "tierd_requests_total code=2xx tier=coder 0\ntierd_request_first_byte_seconds tier=coder count 0")
}

func TestARequestThatWaitsIsCountedAsWaiting(t *testing.T) {
	engine := startEngine(t, func(w http.ResponseWriter, r *http.Request) {})
	rig := startRig(t, Config{}, route(t, "coder", engine.socket))
	source := waitingSource{rig.pool, make(chan struct{})}
	rig.source = source
	rig.publish(t) // the handler sees what was written before its view
	done := make(chan struct{})
	go func() { fetch(t, "GET", rig.tierURL("coder", "/"), ""); close(done) }()
	eventually(t, "it waits", func() bool { return look(t, rig)["tierd_requests_waiting tier=coder"] == 1 })
	close(source.letGo)
	<-done
	look(t, rig).must(t, "then it does not", "tierd_requests_waiting tier=coder 0\ntierd_request_wait_seconds tier=coder count 1")
}

func TestATierThatIsGoneTakesItsSeriesAlong(t *testing.T) {
	rig := startRig(t, Config{}, route(t, "coder", "/nowhere"), route(t, "orch", "/nowhere"))
	late := rig.metrics.visit("coder")
	rig.table.Routes = rig.table.Routes[1:]
	rig.publish(t)
	for key := range look(t, rig) {
		if strings.Contains(key, "tier=coder") {
			t.Errorf("there still is %s", key)
		}
	}
	late.granted() // of a request that was under way; nothing may come of it
	late.end()
	missing := rig.metrics.visit("coder")
	missing.granted()
	missing.answered(200)
	missing.broke()
	missing.end()
	if err := missing.failed(errors.New("x")); err == nil {
		t.Error("an error got lost")
	}
}

func TestStatusesBeyondAnyClassAreErrors(t *testing.T) {
	m := newMetrics(&Gateway{})
	m.follow([]api.Route{{Tier: "a"}})
	for _, status := range []int{600, 999, 1 << 20} {
		v := m.visit("a")
		v.granted()
		v.answered(status)
		v.end()
	}
	if n := gather(t, m)["tierd_requests_total code=5xx tier=a"]; n != 3 {
		t.Errorf("%v of 3", n)
	}
}

func TestMetricsWhileTierdIsAway(t *testing.T) {
	size := uint64(64 << 30)
	rig := startRig(t, Config{}, route(t, "coder", "/nowhere"))
	rig.tierd.mu.Lock()
	rig.tierd.metrics = api.Metrics{Version: "1.2", ConfigValid: true, Tiers: []api.TierMetrics{{
		Tier: "coder", Starts: map[string]uint64{api.WhyBoot: 2}, Stops: map[string]uint64{api.WhyFailed + api.ClassBudget: 1}, Memory: 5, MemoryCurrent: &size,
	}}, Budget: &api.Budget{
		RAM: api.Pool{Name: "ram", Size: &size, Promised: 3}, GPU: &api.Pool{Name: "gtt", Promised: 2, Leaked: 1}, Reserve: 7, KeepFree: 8, Free: &size, Pending: 9,
		Tiers: []api.Share{{Tier: "coder", RAM: 1, GPU: 2}, {Tier: "coder", RAM: 3, GPU: 4}},
	}, Guard: &api.GuardMetrics{Connected: true, Resting: 1, Actions: map[string]uint64{"ask": 2, "kill": 0}, Available: &size, Lines: map[string]uint64{"soft": 5}}}
	rig.tierd.mu.Unlock()
	look(t, rig).must(t, "as tierd says", `
		tierd_up 1
		tierd_info version=1.2 1
		tierd_config_valid 1
		tierd_starts_total reason=boot tier=coder 2
		tierd_stops_total reason=failed:budget tier=coder 1
		tierd_tier_charge_bytes tier=coder 5
		tierd_tier_memory_bytes tier=coder 6.8719476736e+10
		tierd_pool_size_bytes pool=ram 6.8719476736e+10
		tierd_pool_size_bytes pool=gtt -
		tierd_pool_promised_bytes pool=gtt 2
		tierd_pool_leaked_bytes pool=gtt 1
		tierd_reserve_bytes 7
		tierd_keep_free_bytes 8
		tierd_memory_pending_bytes 9
		tierd_tier_promised_bytes pool=ram tier=coder 4
		tierd_tier_promised_bytes pool=gtt tier=coder 6
		tierd_guard_connected 1
		tierd_guard_armed 0
		tierd_guard_resting_tiers 1
		tierd_guard_actions_total kind=ask 2
		tierd_guard_actions_total kind=kill 0
		tierd_guard_available_bytes 6.8719476736e+10
		tierd_guard_line_bytes line=soft 5`)
	for rule, set := range map[string]func(){
		"away":                func() { rig.tierd.away = true },
		"slow beyond a limit": func() { rig.tierd.away, rig.tierd.mute = false, true },
	} {
		rig.tierd.mu.Lock()
		set()
		rig.tierd.mu.Unlock()
		look(t, rig).must(t, rule, `
			tierd_up 0
			tierd_starts_total reason=boot tier=coder -
			tierd_reserve_bytes -
			tierd_requests_in_flight tier=coder 0`)
	}
	rig.tierd.mu.Lock()
	rig.tierd.mute = false
	rig.tierd.mu.Unlock()
}

func TestThereAreNoMetricsWithoutATable(t *testing.T) {
	for key := range gather(t, newMetrics(&Gateway{})) {
		if strings.HasPrefix(key, "tierd_tier") {
			t.Errorf("there is %s", key)
		}
	}
}

// gather asks the handler without a server.
func gather(t *testing.T, m *metrics) series {
	t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), "GET", "/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	var w recorder
	m.handler.ServeHTTP(&w, r)
	parser := expfmt.NewTextParser(prom.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(w.text.String()))
	if err != nil {
		t.Fatal(err)
	}
	found := series{}
	for name, family := range families {
		for _, one := range family.GetMetric() {
			labels := name
			for _, l := range one.GetLabel() {
				labels += " " + l.GetName() + "=" + l.GetValue()
			}
			found[labels] = one.GetCounter().GetValue()
		}
	}
	return found
}

type recorder struct {
	header http.Header
	text   strings.Builder
}

func (r *recorder) Header() http.Header {
	if r.header == nil {
		r.header = http.Header{}
	}
	return r.header
}
func (r *recorder) Write(b []byte) (int, error) { return r.text.Write(b) }
func (r *recorder) WriteHeader(int)             {}

// BenchmarkVisit is all that the metrics cost a request: at most 1 µs.
func BenchmarkVisit(b *testing.B) {
	m := newMetrics(&Gateway{})
	m.follow([]api.Route{{Tier: "coder"}, {Tier: "orch"}})
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			v := m.visit("coder")
			v.granted()
			v.answered(200)
			v.end()
		}
	})
}

func TestARequestThatIsDoneAgainWaitsAgain(t *testing.T) {
	m := newMetrics(&Gateway{})
	m.follow([]api.Route{{Tier: "a"}})
	waiting := func() (n float64) {
		var out dto.Metric
		if err := (*m.meters.Load())["a"].waiting.Write(&out); err != nil {
			t.Fatal(err)
		}
		return out.GetGauge().GetValue()
	}
	v := m.visit("a")
	v.again()
	if n := waiting(); n != 1 {
		t.Errorf("one that waits is counted %v times", n)
	}
	v.granted()
	v.again()
	if n := waiting(); n != 1 {
		t.Errorf("one that waits again is counted %v times", n)
	}
	v.end()
	if n := waiting(); n != 0 {
		t.Errorf("%v wait after the end", n)
	}
	if n := gather(t, m)["tierd_requests_total code=gone tier=a"]; n != 1 {
		t.Errorf("it is counted %v times", n)
	}
}

package gateway

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/gateway/queue"
)

func TestPercentIn(t *testing.T) {
	for words, want := range map[string]int{
		"Loading weights 43 %, 26 of 57 GiB": 43, "Loading weights 0 %, shard 0 of 16": 0, "Loading weights 100 %": 100, "7 %": 7,
		"": -1, "Warming up": -1, "Loading weights 101 %": -1, "Loading weights -1 %": -1, "Loading weights +1 %": -1, " %": -1, "43%": -1,
		"a 99999999999999999999 %": -1, "1.5 %": -1, "memory full for 10s at 5x %": -1,
	} {
		got := percentIn(words)
		if (got == nil) != (want < 0) || got != nil && *got != want {
			t.Errorf("%q: got %v, want %d", words, got, want)
		}
	}
}

func FuzzPercentIn(f *testing.F) {
	for _, words := range []string{"Loading weights 43 %, 26 of 57 GiB", " %", "\x00 %", "1 % 2 %"} {
		f.Add(words)
	}
	f.Fuzz(func(t *testing.T, words string) {
		if n := percentIn(words); n != nil && (*n < 0 || *n > 100 || !strings.Contains(words, " %")) {
			t.Errorf("%q: %d", words, *n)
		}
	})
}

// pageView is a table of one tier.
func pageView(r api.Route) *view { return newView(api.Table{Port: 8000, Routes: []api.Route{r}}) }

func TestWhatThePageSaysOfATier(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	began := now.Add(-90 * time.Second)
	starting := api.Route{Tier: "a", Role: "coder", Port: 8002, State: api.Starting, Status: "Loading weights 43 %", Engine: "vllm", ReadyBy: now.Add(time.Minute), Concurrency: 4}
	ready := api.Route{Tier: "a", State: api.Ready, Engine: "remote"}
	heard := func(tier api.Tier) *told { return &told{status: &api.Status{Tiers: []api.Tier{tier}}, heard: now} }
	percent := 43
	for rule, c := range map[string]struct {
		route api.Route
		load  load
		told  *told
		want  shownTier
	}{
		"a load has its words, its figure and its end": {
			starting, load{}, &told{},
			shownTier{Name: "a", Role: "coder", Port: 8002, State: api.Starting, Status: "Loading weights 43 %", Percent: &percent, Engine: "vllm", ReadyBy: now.Add(time.Minute), Concurrency: 4},
		},
		"requests are the gateway's own to count": {
			ready, load{inFlight: map[string]int{"a": 3, "b": 9}, queues: map[string]queue.Stats{"a": {Waiting: 2, Longest: 90 * time.Second}}}, &told{},
			shownTier{Name: "a", State: api.Ready, Engine: "remote", LeavesMachine: true, InFlight: 3, Waiting: 2, WaitingSince: began},
		},
		"idleness is told as the time when it began": {
			ready, load{idle: map[string]float64{"a": 90.0004}}, &told{},
			shownTier{Name: "a", State: api.Ready, Engine: "remote", LeavesMachine: true, IdleSince: began},
		},
		"tierd adds since when, the charge and what else to know": {
			ready, load{}, heard(api.Tier{Name: "a", State: api.Ready, Since: began, Memory: 5, RestartPending: true, Status: "Serving"}),
			shownTier{
				Name: "a", State: api.Ready, Engine: "remote", LeavesMachine: true, Since: began, Memory: 5,
				Notes: []string{"restart pending: tiers.toml has changed since it was started (tierctl restart a)"},
			},
		},
		"words of another state than the table's are left out": {
			ready, load{}, heard(api.Tier{Name: "a", State: api.Starting, Since: began, Memory: 5, Status: "Warming up"}),
			shownTier{Name: "a", State: api.Ready, Engine: "remote", LeavesMachine: true, Memory: 5},
		},
		"what a stopped tier waits for": {
			api.Route{Tier: "a", State: api.Stopped}, load{}, heard(api.Tier{Name: "a", State: api.Stopped, Status: "waits for coder to go"}),
			shownTier{Name: "a", State: api.Stopped, Status: "waits for coder to go"},
		},
		"a status that repeats the reason is said once": {
			api.Route{Tier: "a", State: api.Failed, Reason: "it died"}, load{}, heard(api.Tier{Name: "a", State: api.Failed, Status: "it died", Reason: "it died"}),
			shownTier{Name: "a", State: api.Failed, Reason: "it died"},
		},
		"a time that no calendar has is none": {
			api.Route{Tier: "a", State: api.Starting, ReadyBy: now.AddDate(20000, 0, 0)}, load{}, &told{},
			shownTier{Name: "a", State: api.Starting},
		},
	} {
		got := newSnapshot(pageView(c.route), c.load, c.told, now)
		if len(got.Tiers) != 1 || !reflect.DeepEqual(got.Tiers[0], c.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", rule, got.Tiers, c.want)
		}
	}
}

func TestWhatThePageSaysOfTierd(t *testing.T) {
	now := time.Now()
	status := &api.Status{
		Version: "1.2", ConfigPath: "/etc/tierd/tiers.toml", ConfigError: "line 3 is wrong",
		Warnings:  []string{"/etc/tierd/tiers.toml:4: odd", "/etc/tierd/tiers.toml:5: odd", "a: no such model", "swap is off"},
		PortError: "port 8000 is held by nginx (pid 812)",
		Tiers:     []api.Tier{{Name: "a", Reason: "no such model"}},
	}
	n := &told{}
	v := pageView(api.Route{Tier: "a"})
	if got := newSnapshot(v, load{}, n, now); got.Tierd != (shownTierd{State: "asked"}) || got.Budget != nil || got.Events == nil {
		t.Errorf("before an answer: %+v", got)
	}
	n.take(answer{status: *status, budget: &api.Budget{Fits: true}, at: now})
	got := newSnapshot(v, load{}, n, now)
	want := []string{
		"/etc/tierd/tiers.toml cannot be used as it is now; what tierd read before stays in force: line 3 is wrong",
		"swap is off",
		"port 8000 is held by nginx (pid 812)",
		"warnings about /etc/tierd/tiers.toml: 2; `tierctl check` lists them",
	}
	if got.Tierd != (shownTierd{State: "there", Version: "1.2"}) || got.Budget == nil || !reflect.DeepEqual(got.Warnings, want) {
		t.Errorf("after an answer: %+v", got)
	}
	n.take(answer{err: &api.Error{Message: "cannot reach tierd"}, at: now.Add(time.Hour)})
	got = newSnapshot(v, load{}, n, now)
	if got.Tierd != (shownTierd{State: "away", Error: "cannot reach tierd", Heard: now}) || got.Budget == nil || len(got.Tiers) != 1 {
		t.Errorf("when it is away: %+v", got)
	}
	n.take(answer{status: api.Status{Version: "1.3"}, at: now})
	if got := newSnapshot(v, load{}, n, now); got.Tierd.State != "there" || got.Budget != nil {
		t.Errorf("when it is back, and cannot read the host: %+v", got)
	}
}

func TestOnlyTheLastEventsAreKept(t *testing.T) {
	var n told
	for i := range 3 * eventsShown {
		n.add(api.Event{Seq: uint64(i)})
	}
	if len(n.events) != eventsShown || n.events[0].Seq != 2*eventsShown || n.events[eventsShown-1].Seq != 3*eventsShown-1 {
		t.Errorf("kept %v", n.events)
	}
}

// TestForeignTextSurvives draws every text of a snapshot from all that may stand in a model's name or an engine's last
// words, and reads it back as a browser does.
func TestForeignTextSurvives(t *testing.T) {
	odd := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{
		"<img src=x onerror=alert(1)>", "</script><script>", "\n\ndata: {}\n\n", "\r", "\u2028\u2029", "\xff\xfe", "a\x00b", `\u003c"`,
	}), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
	rapid.Check(t, func(t *rapid.T) {
		draw := func(label string) string { return odd.Draw(t, label) }
		v := pageView(api.Route{Tier: draw("tier"), Role: draw("role"), State: api.Failed, Reason: draw("reason"), Model: draw("model"), Variant: draw("variant")})
		n := &told{}
		n.add(api.Event{Tier: draw("event's tier"), Text: draw("text")})
		n.take(answer{
			status: api.Status{Warnings: []string{draw("warning")}, Tiers: []api.Tier{{Name: v.table.Routes[0].Tier, State: api.Failed, Warning: draw("note")}}},
			budget: &api.Budget{Words: draw("words"), RAM: api.Pool{Broken: draw("broken")}, Tiers: []api.Share{{Tier: draw("share"), RAM: 1}}},
		})
		want := newSnapshot(v, load{}, n, time.Now())
		body, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		frame := string(dataFrame(body))
		line, rest, _ := strings.Cut(strings.TrimPrefix(frame, "data: "), "\n")
		if rest != "\n" || strings.ContainsAny(line, "\r\n<>\u2028\u2029") || !utf8.ValidString(frame) {
			t.Fatalf("the frame is not one event of plain JSON: %q", frame)
		}
		var got snapshot
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatal(err)
		}
		for what, pair := range map[string][2]string{
			"model": {want.Tiers[0].Model, got.Tiers[0].Model}, "reason": {want.Tiers[0].Reason, got.Tiers[0].Reason},
			"text": {want.Events[0].Text, got.Events[0].Text}, "words": {want.Budget.Words, got.Budget.Words},
			"share": {want.Budget.Bars[0].Parts[0].Tier, got.Budget.Bars[0].Parts[0].Tier},
		} {
			if whole := strings.ToValidUTF8(pair[0], "\ufffd"); strings.ReplaceAll(pair[1], "\ufffd", "") != strings.ReplaceAll(whole, "\ufffd", "") {
				t.Fatalf("%s was %q and came as %q", what, pair[0], pair[1])
			}
		}
	})
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/tierd/tierd/packaging/vmtest/wire"
)

func TestTargetsAreTiersWithPorts(t *testing.T) {
	got, err := parseTargets("orch=8001,coder=8002")
	if want := []target{{"orch", 8001}, {"coder", 8002}}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"", "orch", "orch=", "=8001", "orch=0", "orch=70000", "orch=8001,", "orch=-1"} {
		if got, err := parseTargets(bad); err == nil {
			t.Errorf("%q gives %v", bad, got)
		}
	}
}

// stack is a machine whose tiers start or do not; it counts the commands.
type stack struct {
	mu       sync.Mutex
	commands map[string]int
	refuses  map[string]bool
}

func (s *stack) run(_ context.Context, argv ...string) (output, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := argv[0] + " " + argv[1]
	if s.commands == nil {
		s.commands = map[string]int{}
	}
	s.commands[name]++
	switch tier := strings.TrimSuffix(strings.TrimPrefix(argv[2], "tier-"), ".service"); {
	case name == "systemctl show":
		return output{Stdout: "ActiveState=failed\nStatusText=not enough memory: 336MiB\n"}, nil
	case !s.refuses[tier]:
		return output{}, nil
	case argv[0] == "tierctl":
		return output{Exit: 6, Stderr: "tierctl: not enough memory: 400MiB\n"}, nil
	}
	return output{Exit: 1, Stderr: jobFailed}, nil
}

func TestEveryStartIsCountedWithWhatCameOfIt(t *testing.T) {
	s := &stack{refuses: map[string]bool{"coder": true}}
	var file bytes.Buffer
	h := newHammer([]target{{"orch", 1}, {"coder", 2}}, &file, s.run)
	if err := h.startAll(context.Background(), 203, 4, 10, 1); err != nil {
		t.Fatal(err)
	}
	if s.commands["systemctl start"] != 203 || s.commands["tierctl start"] != 203 {
		t.Errorf("commands: %v", s.commands)
	}
	if n := s.commands["tierctl stop"]; n < 10 || n > 100 {
		t.Errorf("%d stops for 406 starts, one in ten", n)
	}
	lines := 0
	for d := json.NewDecoder(&file); d.More(); lines++ {
		var a attempt
		if err := d.Decode(&a); err != nil {
			t.Fatal(err)
		}
		if want := map[string]string{"orch": wire.Admitted, "coder": wire.Refused}[a.Tier]; a.Outcome != want {
			t.Errorf("%+v, want %s", a, want)
		}
	}
	if lines != 406 || h.Summary.Count("") != 406 {
		t.Errorf("%d lines, %d counted", lines, h.Summary.Count(""))
	}
	refused := h.Summary.Count(wire.Refused)
	if refused < 100 || refused > 300 {
		t.Errorf("%d of 406 asked for the one that is refused", refused)
	}
	// Two reasons that differ in their numbers alone count as one.
	if want := map[string]int{"refused: not enough memory: NMiB": refused}; !reflect.DeepEqual(h.Summary.Reasons, want) {
		t.Errorf("reasons: %v, want %v", h.Summary.Reasons, want)
	}
}

func TestACommandThatCannotBeRunEndsTheHammer(t *testing.T) {
	broken := errors.New("no such program")
	h := newHammer([]target{{"orch", 1}}, &bytes.Buffer{}, func(context.Context, ...string) (output, error) { return output{}, broken })
	if err := h.startAll(context.Background(), 8, 2, 100, 1); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if err := h.request(context.Background(), target{"orch", 1}); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestOneSeedIsOneOrder(t *testing.T) {
	h := newHammer([]target{{"orch", 1}, {"coder", 2}, {"utility", 3}}, nil, nil)
	row := func(seed uint64) (picks []string) {
		order := rand.New(rand.NewPCG(seed, 0))
		for range 50 {
			picks = append(picks, h.pick(order))
		}
		return picks
	}
	if !reflect.DeepEqual(row(1), row(1)) || reflect.DeepEqual(row(1), row(2)) {
		t.Error("an order is not its seed's")
	}
}

// gateway answers chat requests with a status and a body.
func gateway(t *testing.T, status int, body string) target {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != "/v1/chat/completions" {
			t.Errorf("%s %s", r.Method, r.URL.Path)
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	return target{"orch", port}
}

func TestARequestIsAnsweredOrSaysWhyNot(t *testing.T) {
	for rule, c := range map[string]struct {
		status int
		body   string
		want   string // "": answered
	}{
		"text is an answer":       {200, `{"choices":[{"message":{"content":"Hello"}}]}`, ""},
		"no text is none":         {200, `{"choices":[{"message":{"content":""}}]}`, "empty"},
		"no choice is none":       {200, `{"choices":[]}`, "empty"},
		"a broken body is none":   {200, `{"choices":`, "cannot read"},
		"another status has text": {503, `{"error":"tier orch is stopped"}`, "tier orch is stopped"},
	} {
		h := newHammer(nil, &bytes.Buffer{}, (&stack{}).run)
		if err := h.request(context.Background(), gateway(t, c.status, c.body)); err != nil {
			t.Fatal(err)
		}
		switch {
		case c.want == "" && (h.Summary.Answered != 1 || h.Summary.Failed != nil):
			t.Errorf("%s: %+v", rule, h.Summary)
		case c.want != "" && (h.Summary.Answered != 0 || len(h.Summary.Failed) != 1 || !strings.Contains(h.Summary.Failed[0], c.want)):
			t.Errorf("%s: %+v", rule, h.Summary)
		}
	}
}

func TestATierThatIsRefusedIsNotAsked(t *testing.T) {
	h := newHammer(nil, &bytes.Buffer{}, (&stack{refuses: map[string]bool{"orch": true}}).run)
	if err := h.request(context.Background(), target{"orch", 1}); err != nil {
		t.Fatal(err)
	}
	if h.Summary.Answered != 0 || h.Summary.Failed != nil || h.Summary.Count(wire.Refused) != 1 {
		t.Errorf("%+v", h.Summary)
	}
}

func TestAProgramsEndIsKnown(t *testing.T) {
	out, err := runCommandLine(context.Background(), "sh", "-c", "echo out; echo err >&2; exit 6")
	if want := (output{"out\n", "err\n", 6}); err != nil || out != want {
		t.Errorf("got %+v, %v", out, err)
	}
	if _, err := runCommandLine(context.Background(), "/no/such/program"); err == nil {
		t.Error("a program that is not there has run")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := runCommandLine(ctx, "true"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

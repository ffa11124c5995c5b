package gateway

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/tierd/tierd/agent/api"
)

func TestAPreflightOfAnAllowedPageNeedsNoKey(t *testing.T) {
	rig := startRig(t, Config{}, route(t, "coder", "/nowhere"))
	rig.table.Keys, rig.table.Hosts = testKeys, []string{"chat.home"}
	rig.publish(t)
	for _, c := range []struct {
		rule, origin string
		status       int
	}{
		{"a page of this machine", "http://localhost:3000", 204},
		{"a page of a name that is allowed", "https://chat.home", 204},
		{"any other page", "https://evil.example", 403},
	} {
		for _, url := range []string{rig.tierURL("", "/v1/chat/completions"), rig.tierURL("coder", "/v1/chat/completions")} {
			res, _ := fetch(t, "OPTIONS", url, "", "Origin", c.origin, "Access-Control-Request-Method", "POST",
				"Access-Control-Request-Headers", "authorization,content-type")
			allowed := res.Header.Get("Access-Control-Allow-Origin") == c.origin && res.Header.Get("Access-Control-Allow-Methods") == "POST" &&
				res.Header.Get("Access-Control-Allow-Headers") == "authorization,content-type" && strings.Contains(res.Header.Get("Vary"), "Origin")
			if res.StatusCode != c.status || allowed != (c.status == 204) {
				t.Errorf("%s: %d %v", c.rule, res.StatusCode, res.Header)
			}
		}
	}
}

func TestAPageMayReadItsAnswer(t *testing.T) {
	engine := startEngine(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/own" { // as llama-server and vLLM do
			w.Header().Set("Access-Control-Allow-Origin", "*")
		}
		io.WriteString(w, r.Method)
	})
	rig := startRig(t, Config{}, route(t, "coder", engine.socket))
	const page = "http://localhost:3000"
	for url, want := range map[string]string{
		rig.tierURL("coder", "/x"): page, rig.tierURL("coder", "/own"): "*", rig.tierURL("", "/v1/models"): page, rig.tierURL("", "/nothing"): page,
	} {
		res, _ := fetch(t, "GET", url, "", "Origin", page)
		if got := res.Header.Values("Access-Control-Allow-Origin"); len(got) != 1 || got[0] != want {
			t.Errorf("%s allows %q, want %q and nothing else", url, got, want)
		}
	}
	if res, _ := fetch(t, "GET", rig.tierURL("coder", "/x"), ""); len(res.Header.Values("Access-Control-Allow-Origin")) > 0 {
		t.Error("a client that is no page is told of origins")
	}
	if _, body := fetch(t, "OPTIONS", rig.tierURL("coder", "/x"), ""); body != "OPTIONS" {
		t.Errorf("an OPTIONS that is no preflight is the engine's: %q", body)
	}
}

func TestLimitsAndNamesComeWithTheTable(t *testing.T) {
	engine := startEngine(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	rig := startRig(t, Config{MaxBody: 100}, route(t, "coder", engine.socket))
	body := string(bytes.Repeat([]byte(" "), 1000))
	send := func() int {
		res, _ := fetch(t, "POST", rig.tierURL("coder", "/x"), body, "Host", "models.home:8000")
		return res.StatusCode
	}
	if got := send(); got != http.StatusForbidden {
		t.Errorf("an unknown name: %d", got)
	}
	rig.table.Hosts = []string{"models.home"}
	rig.publish(t)
	if got := send(); got != http.StatusRequestEntityTooLarge {
		t.Errorf("a body beyond the default: %d", got)
	}
	rig.table.MaxBody, rig.table.MaxConnections = 1000, 7
	rig.publish(t)
	if got := send(); got != http.StatusOK {
		t.Errorf("a body within the table's limit: %d", got)
	}
	if _, most := rig.ports.slots.count(); most != 7 {
		t.Errorf("%d connections", most)
	}
}

func TestFewerSlotsThanAreTakenCloseNobody(t *testing.T) {
	s := newSlots(2)
	for want := range 3 {
		if taken := s.take(); taken != (want < 2) {
			t.Errorf("slot %d of 2: %t", want+1, taken)
		}
	}
	s.set(1)
	if used, most := s.count(); used != 2 || most != 1 {
		t.Errorf("%d of %d", used, most)
	}
	s.give()
	if s.take() {
		t.Error("a second one of one")
	}
	s.give()
	if !s.take() {
		t.Error("the one that there is, is not to be had")
	}
}

func TestATableWithoutAConfigurationKeepsTheAccessOfTheOneBefore(t *testing.T) {
	before := newView(api.Table{Listen: "10.0.0.5", Port: 9000, Keys: testKeys, OpenLoopback: true, Hosts: []string{"a"}, MaxBody: 5, MaxConnections: 6})
	got := keptAccess(api.Table{Seq: 9, Listen: "127.0.0.1", Port: 8000, NoConfig: true}, before)
	if got.Seq != 9 || got.Listen != "10.0.0.5" || got.Port != 9000 || len(got.Keys) != 4 || !got.OpenLoopback || len(got.Hosts) != 1 || got.MaxBody != 5 || got.MaxConnections != 6 {
		t.Errorf("%+v", got)
	}
	if got := keptAccess(api.Table{Listen: "127.0.0.1"}, before); len(got.Keys) > 0 || got.Listen != "127.0.0.1" {
		t.Errorf("a configuration without keys has %+v", got)
	}
	if got := keptAccess(api.Table{NoConfig: true, Listen: "127.0.0.1"}, nil); got.Listen != "127.0.0.1" {
		t.Errorf("the first table is %+v", got)
	}
}

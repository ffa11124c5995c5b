package gateway

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/tierd/tierd/agent/api"
)

func TestNamesAreClaimedByTierThenRoleThenOrder(t *testing.T) {
	v := newView(api.Table{Routes: []api.Route{
		{Tier: "a", Role: "coder", Names: []string{"a", "coder", "b", "shared"}},
		{Tier: "b", Role: "b-role", Names: []string{"b", "a", "shared"}},
		{Tier: "coder", Role: "writer", Names: []string{"coder"}},
	}})
	for name, want := range map[string]string{"a": "a", "b": "b", "coder": "coder", "writer": "coder", "shared": "a", "b-role": "b"} {
		if got := v.byName[name]; got == nil || got.Tier != want {
			t.Errorf("%q went to %+v, want tier %q", name, got, want)
		}
	}
	if got := strings.Join(v.names(anybody), " "); got != "a b b-role coder shared writer" {
		t.Errorf("names: %s", got)
	}
}

// echoing starts an engine that says what it got.
func echoing(t *testing.T, name string) *engine {
	return startEngine(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Engine", name)
		io.WriteString(w, r.URL.RequestURI()+" "+string(body))
	})
}

func TestRoutingByName(t *testing.T) {
	coder, orch := route(t, "coder", echoing(t, "coder").socket), route(t, "orch", echoing(t, "orch").socket)
	orch.Served = "Qwen/Orch"
	orch.Names = append(orch.Names, "shared")
	coder.Names = append(coder.Names, "shared")
	rig := startRig(t, Config{}, orch, coder)
	formType, formBody := form(t, "@file", "sound", "model", "coder")
	for rule, c := range map[string]struct{ path, body, contentType, engine, want string }{
		"by the tier's name":                    {"/v1/completions", `{"model":"coder"}`, "", "coder", `/v1/completions {"model":"coder"}`},
		"by the role":                           {"/v1/completions", `{"model":"the-coder"}`, "", "coder", `/v1/completions {"model":"the-coder"}`},
		"the engine's own name is put in":       {"/v1/completions", `{"model":"the-orch","n":1}`, "", "orch", `/v1/completions {"model":"Qwen/Orch","n":1}`},
		"curl's content type is no obstacle":    {"/x", `{"model":"coder"}`, "application/x-www-form-urlencoded", "coder", `/x {"model":"coder"}`},
		"by the form":                           {"/v1/audio/transcriptions", string(formBody), formType, "coder", "/v1/audio/transcriptions " + string(formBody)},
		"by the query":                          {"/props?model=orch", "", "", "orch", "/props?model=orch "},
		"by the query when the body names none": {"/x?model=orch", `{"a":1}`, "", "orch", `/x?model=orch {"a":1}`},
		"by the path":                           {"/upstream/orch/a%2Fb/?q=1", `{"n":1}`, "", "orch", `/a%2Fb/?q=1 {"n":1}`},
		"by the path, without more":             {"/upstream/coder", "", "", "coder", "/ "},
		"a shared name goes to the first":       {"/x", `{"model":"shared"}`, "", "orch", `/x {"model":"Qwen/Orch"}`},
	} {
		if c.contentType == "" {
			c.contentType = "application/json"
		}
		res, got := fetch(t, "POST", rig.tierURL("", c.path), c.body, "Content-Type", c.contentType)
		if res.Header.Get("X-Engine") != c.engine || got != c.want {
			t.Errorf("%s: %d %q said %q, want %q by %q", rule, res.StatusCode, res.Header.Get("X-Engine"), got, c.want, c.engine)
		}
	}
	for rule, c := range map[string]struct {
		tier, path, body string
		status           int
		says             string
	}{
		"an unknown name lists the known":      {"", "/v1/completions", `{"model":"gpt-4"}`, 404, "coder, models/coder, models/orch, orch, shared, the-coder, the-orch"},
		"no name says which there are":         {"", "/v1/completions", `{"n":1}`, 400, "set `model` to one of coder"},
		"a broken body":                        {"", "/v1/completions", `{"n":`, 400, "not valid JSON"},
		"a name of the wrong type":             {"", "/v1/completions", `{"model":7}`, 400, "not a string"},
		"an unknown path without a body":       {"", "/nothing", ``, 404, "/upstream/TIER/nothing"},
		"an unknown tier in the path":          {"", "/upstream/x/y", ``, 404, "\"x\" does not exist"},
		"another tier's name on a tier's port": {"coder", "/v1/completions", `{"model":"orch"}`, 404, "is on port " + strconv.Itoa(orch.Port)},
		"an unknown model by name":             {"", "/v1/models/x", ``, 404, "does not exist"},
	} {
		method := "POST"
		if c.body == "" {
			method = "GET"
		}
		res, got := fetch(t, method, rig.tierURL(c.tier, c.path), c.body)
		message := errorMessage(t, got)
		if res.StatusCode != c.status || !strings.Contains(message, c.says) || res.Header.Get(errorHeader) == "" {
			t.Errorf("%s: got %d %q, want %d with %q", rule, res.StatusCode, message, c.status, c.says)
		}
	}
	if _, got := fetch(t, "POST", rig.tierURL("coder", "/x"), `{"model":"shared"}`); got != `/x {"model":"shared"}` {
		t.Errorf("a shared name on the second tier's port: %q", got)
	}
	if _, got := fetch(t, "POST", rig.tierURL("orch", "/x"), `{"model":"anything"}`); got != `/x {"model":"Qwen/Orch"}` {
		t.Errorf("a name that nobody has, on a port: %q", got)
	}
}

func errorMessage(t *testing.T, body string) string {
	t.Helper()
	var object struct {
		Error struct{ Message, Type, Code string }
	}
	if err := json.Unmarshal([]byte(body), &object); err != nil || object.Error.Message == "" || object.Error.Type == "" || object.Error.Code == "" {
		t.Fatalf("%q is no OpenAI error object: %v", body, err)
	}
	return object.Error.Message
}

func TestATierThatIsNotReadySaysWhyAndWhatHelps(t *testing.T) {
	coder := route(t, "coder", "/nowhere")
	rig := startRig(t, Config{}, coder)
	for rule, c := range map[string]struct {
		state          api.State
		status, reason string
		says           []string
	}{
		"starting": {api.Starting, "Loading weights 43 %", "", []string{"is starting: Loading weights 43 %", "tierctl status"}},
		"stopped":  {api.Stopped, "", "", []string{"is stopped", "`tierctl start coder`"}},
		"failed":   {api.Failed, "", "no such model.", []string{"has failed: no such model.", "journalctl -u tier-coder.service"}},
		"blocked":  {api.Blocked, "", "masked", []string{"cannot be started: masked", "tierctl status"}},
		"draining": {api.Draining, "", "orch needs the memory", []string{"is draining: orch needs the memory"}},
		"stopping": {api.Stopping, "", "", []string{"is stopping"}},
	} {
		rig.change(t, "coder", func(r *api.Route) { r.State, r.Status, r.Reason = c.state, c.status, c.reason })
		for _, url := range []string{rig.tierURL("coder", "/v1/completions"), rig.tierURL("", "/v1/completions")} {
			res, body := fetch(t, "POST", url, `{"model":"coder"}`)
			seconds, _ := strconv.Atoi(res.Header.Get("Retry-After"))
			if res.StatusCode != 503 || seconds < 1 {
				t.Errorf("%s: %d, Retry-After %q", rule, res.StatusCode, res.Header.Get("Retry-After"))
			}
			for _, words := range c.says {
				if got := errorMessage(t, body); !strings.Contains(got, words) {
					t.Errorf("%s: %q does not say %q", rule, got, words)
				}
			}
		}
	}
}

func TestModelsAndHealthNeedNoEngine(t *testing.T) {
	coder, orch := route(t, "coder", "/nowhere"), route(t, "orch", "/nowhere")
	coder.State = api.Stopped
	rig := startRig(t, Config{}, coder, orch)
	ids := func(url string) string {
		_, body := fetch(t, "GET", url, "")
		var list modelList
		if err := json.Unmarshal([]byte(body), &list); err != nil || list.Object != "list" {
			t.Fatalf("%s: %v", body, err)
		}
		var out []string
		for _, m := range list.Data {
			if m.Object != "model" || m.OwnedBy != "tierd" || m.MaxModelLen != 4096 || len(m.Aliases) != 1 {
				t.Errorf("entry %+v", m)
			}
			out = append(out, m.ID+"="+string(m.State))
		}
		return strings.Join(out, " ")
	}
	if got := ids(rig.tierURL("", "/v1/models")); got != "coder=stopped orch=ready" {
		t.Errorf("all tiers: %s", got)
	}
	if got := ids(rig.tierURL("coder", "/v1/models")); got != "coder=stopped" {
		t.Errorf("coder's port: %s", got)
	}
	if res, body := fetch(t, "GET", rig.tierURL("", "/v1/models/models/orch"), ""); res.StatusCode != 200 || !strings.Contains(body, `"id":"orch"`) {
		t.Errorf("one model by an alias: %d %s", res.StatusCode, body)
	}
	var h health
	if _, body := fetch(t, "GET", rig.tierURL("", "/health"), ""); json.Unmarshal([]byte(body), &h) != nil || h.Status != "ok" || h.Tiers["coder"].State != api.Stopped {
		t.Errorf("health: %s", body)
	}
}

package gateway

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/tierd/tierd/agent/api"
)

// withAdapters is a tier served by a vLLM with two LoRA adapters, whose other variant has one.
func withAdapters(t *testing.T, socket string) api.Route {
	r := route(t, "orch", socket)
	r.Engine, r.Served, r.Adapters, r.Others = "vllm", "Qwen/Orch", []string{"sql", "org/chat"}, []string{"orch/b", "poet"}
	return r
}

func TestAnAdapterIsAskedUnderItsOwnName(t *testing.T) {
	coder := route(t, "coder", echoing(t, "coder").socket)
	rig := startRig(t, Config{}, coder, withAdapters(t, echoing(t, "orch").socket))
	for rule, c := range map[string]struct{ tier, path, model, want string }{
		"on the port of all tiers":                 {"", "/x", "sql", `/x {"model":"sql"}`},
		"on the tier's port":                       {"orch", "/x", "org/chat", `/x {"model":"org/chat"}`},
		"by the path":                              {"", "/upstream/orch/x", "sql", `/x {"model":"sql"}`},
		"the model itself is named as the engine":  {"", "/x", "the-orch", `/x {"model":"Qwen/Orch"}`},
		"that of a variant that is not up, by all": {"", "/x", "poet", `/x {"model":"Qwen/Orch"}`},
		"and on the tier's port":                   {"orch", "/x", "poet", `/x {"model":"Qwen/Orch"}`},
	} {
		res, got := fetch(t, "POST", rig.tierURL(c.tier, c.path), `{"model":"`+c.model+`"}`)
		if res.Header.Get("X-Engine") != "orch" || got != c.want {
			t.Errorf("%s: %d %q, want %q", rule, res.StatusCode, got, c.want)
		}
	}
	if res, body := fetch(t, "POST", rig.tierURL("coder", "/x"), `{"model":"sql"}`); res.StatusCode != 404 || !strings.Contains(errorMessage(t, body), `tier "coder"; it is on port`) {
		t.Errorf("on another tier's port: %d %s", res.StatusCode, body)
	}
	if _, body := fetch(t, "POST", rig.tierURL("", "/x"), `{"model":"sqk"}`); !strings.Contains(errorMessage(t, body), "sql") {
		t.Errorf("a name that nobody has: %s", body)
	}
}

func TestAnAdapterIsListedBehindItsTier(t *testing.T) {
	coder, orch := route(t, "coder", "/nowhere"), withAdapters(t, "/nowhere")
	orch.State = api.Stopped
	coder.Names = append(coder.Names, "org/chat") // so by name alone it means coder
	rig := startRig(t, Config{}, coder, orch)
	list := func(tier string) string {
		_, body := fetch(t, "GET", rig.tierURL(tier, "/v1/models"), "")
		var got modelList
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(body, err)
		}
		var words []string
		for _, m := range got.Data {
			words = append(words, m.ID+"<"+m.Parent)
			if m.Parent != "" && (m.State != api.Stopped || m.MaxModelLen != 4096 || m.Root != "" || len(m.Aliases) > 0) {
				t.Errorf("the adapter's entry: %+v", m)
			}
		}
		return strings.Join(words, " ")
	}
	for tier, want := range map[string]string{"": "coder< orch< sql<orch", "orch": "orch< sql<orch org/chat<orch", "coder": "coder<"} {
		if got := list(tier); got != want {
			t.Errorf("on the port of %q: %s, want %s", tier, got, want)
		}
	}
	for _, c := range []struct{ tier, name, want string }{
		{"", "sql", `"id":"sql"`}, {"orch", "org/chat", `"parent":"orch"`}, {"", "org/chat", `"id":"coder"`}, {"", "poet", `"id":"orch"`},
		{"orch", "nobody", "It answers to: orch, models/orch, sql, org/chat"},
	} {
		if _, body := fetch(t, "GET", rig.tierURL(c.tier, "/v1/models/"+c.name), ""); !strings.Contains(body, c.want) {
			t.Errorf("%s on the port of %q: %s", c.name, c.tier, body)
		}
	}
}

func TestAKeySeesTheAdaptersOfItsTiersAlone(t *testing.T) {
	v := newView(api.Table{Routes: []api.Route{{Tier: "coder", Names: []string{"coder"}, Adapters: []string{"fim"}}, {Tier: "orch", Adapters: []string{"sql"}}}})
	who := caller{models: true, tiers: []string{"coder"}}
	if got := strings.Join(v.names(who), " "); got != "coder fim" {
		t.Errorf("names: %s", got)
	}
	var ids []string
	for _, m := range listModels(v, nil, who).Data {
		ids = append(ids, m.ID)
	}
	if got := strings.Join(ids, " "); got != "coder fim" {
		t.Errorf("the list: %s", got)
	}
}

package gateway

import (
	"net/http"
	"slices"
	"strings"

	"github.com/tierd/tierd/agent/api"
)

const modelsPath = "/v1/models"

// model is one entry of OpenAI's model list, with what tierd knows beside it. It is the gateway's on every port, up or
// down, so that a client finds the same names whatever the engine calls itself; an engine's own list is at
// /upstream/TIER/v1/models.
type model struct {
	ID          string     `json:"id"`
	Object      string     `json:"object"`
	Created     int64      `json:"created"` // tierd does not know when a model was made
	OwnedBy     string     `json:"owned_by"`
	MaxModelLen int        `json:"max_model_len,omitempty"`  // tokens, as vLLM says it
	Context     int        `json:"context_length,omitempty"` // the same, as most others do
	Meta        *modelMeta `json:"meta,omitempty"`           // the same, as llama-server does
	State       api.State  `json:"state"`
	Aliases     []string   `json:"aliases"`
	Role        string     `json:"role,omitempty"`
	Engine      string     `json:"engine,omitempty"`
	Root        string     `json:"root,omitempty"`   // the model behind the name, as vLLM says it
	Parent      string     `json:"parent,omitempty"` // of a LoRA adapter: the tier that has it, as vLLM names its model
}

type modelMeta struct {
	Context int `json:"n_ctx"`
}

type modelList struct {
	Object string  `json:"object"`
	Data   []model `json:"data"`
}

func newModel(r *api.Route) model {
	aliases := slices.DeleteFunc(slices.Clone(r.Names), func(name string) bool { return name == r.Tier })
	if aliases == nil {
		aliases = []string{}
	}
	m := model{
		ID: r.Tier, Object: "model", OwnedBy: "tierd", MaxModelLen: r.Context, Context: r.Context,
		State: r.State, Aliases: aliases, Role: r.Role, Engine: r.Engine, Root: r.Model,
	}
	if r.Context > 0 {
		m.Meta = &modelMeta{Context: r.Context}
	}
	return m
}

// newAdapter is the entry of a LoRA adapter that the tier's variant has.
func newAdapter(r *api.Route, name string) model {
	m := newModel(r)
	m.ID, m.Parent, m.Aliases, m.Role, m.Root = name, r.Tier, []string{}, "", ""
	return m
}

// listModels is the list for one tier's port, or for all tiers when only is nil: those that the caller may talk to.
func listModels(v *view, only *api.Route, who caller) modelList {
	list := modelList{Object: "list", Data: []model{}}
	for i := range v.table.Routes {
		if r := &v.table.Routes[i]; (only == nil || r == only) && who.mayTalk(r.Tier) {
			list.Data = append(list.Data, newModel(r))
			for _, name := range r.Adapters {
				if only != nil || v.byName[name] == r { // else the name means another tier here
					list.Data = append(list.Data, newAdapter(r, name))
				}
			}
		}
	}
	return list
}

// serveModels answers /v1/models, and /v1/models/NAME for any name that a tier goes by: model names have slashes. only is
// the tier of the port, nil for the port of all. The path was another one unless it was served or there is an error.
func serveModels(w http.ResponseWriter, r *http.Request, v *view, only *api.Route, who caller) (served bool, err error) {
	name, found := strings.CutPrefix(r.URL.Path, modelsPath)
	if !isGet(r) || !found || name != "" && name[0] != '/' {
		return false, nil
	}
	if name = strings.TrimPrefix(name, "/"); name == "" {
		writeJSON(w, http.StatusOK, listModels(v, only, who))
		return true, nil
	}
	route := v.byName[name]
	if only != nil && answersTo(only, name) {
		route = only
	}
	switch {
	case only != nil && route != only:
		return false, notFound("model_not_found", "The model %q is not served on port %d, which is tier %q. It answers to: %s.",
			name, only.Port, only.Tier, strings.Join(slices.Concat(only.Names, only.Adapters), ", "))
	case route == nil:
		return false, unknownModel(name, v, who)
	case !who.mayTalk(route.Tier):
		return false, who.locked(route.Tier)
	}
	m := newModel(route)
	if slices.Contains(route.Adapters, name) {
		m = newAdapter(route, name)
	}
	writeJSON(w, http.StatusOK, m)
	return true, nil
}

// health is the answer of /health on the port of all tiers. Its status is 200 as long as the gateway works: a tier
// that is not loaded is no fault.
type health struct {
	Status string                `json:"status"`
	Tiers  map[string]tierHealth `json:"tiers,omitempty"` // those that the caller may know of
}

type tierHealth struct {
	State    api.State `json:"state"`
	Status   string    `json:"status,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	Port     int       `json:"port"`
	Variant  string    `json:"variant"`
	InFlight int       `json:"in_flight"`
}

// isHealth knows the path that both engines have, and llama-server's other one.
func isHealth(path string) bool { return path == "/health" || path == "/v1/health" }

func newHealth(v *view, p *pool, who caller) health {
	inFlight, _, _ := p.report()
	h := health{Status: "ok", Tiers: make(map[string]tierHealth, len(v.table.Routes))}
	for _, r := range v.table.Routes {
		if !who.metrics && !who.mayTalk(r.Tier) {
			continue
		}
		h.Tiers[r.Tier] = tierHealth{
			State: r.State, Status: r.Status, Reason: r.Reason, Port: r.Port, Variant: r.Variant, InFlight: inFlight[r.Tier],
		}
	}
	return h
}

package gateway

import (
	"slices"

	"github.com/tierd/tierd/agent/api"
)

const modelsPath = "/v1/models"

// model is one entry of OpenAI's model list, with what tierd knows beside it. It is the gateway's on every port, up or
// down, so that a client finds the same names whatever the engine calls itself; an engine's own list is at
// /upstream/<tier>/v1/models.
type model struct {
	ID          string    `json:"id"`
	Object      string    `json:"object"`
	Created     int64     `json:"created"` // tierd does not know when a model was made
	OwnedBy     string    `json:"owned_by"`
	MaxModelLen int       `json:"max_model_len,omitempty"`  // tokens, as vLLM says it
	Context     int       `json:"context_length,omitempty"` // the same, as most others do
	State       api.State `json:"state"`
	Aliases     []string  `json:"aliases"`
	Role        string    `json:"role,omitempty"`
	Engine      string    `json:"engine,omitempty"`
	Root        string    `json:"root,omitempty"` // the model behind the name, as vLLM says it
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
	return model{
		ID: r.Tier, Object: "model", OwnedBy: "tierd", MaxModelLen: r.Context, Context: r.Context,
		State: r.State, Aliases: aliases, Role: r.Role, Engine: r.Engine, Root: r.Model,
	}
}

// listModels is the list for one tier's port, or for all tiers when only is nil.
func listModels(v *view, only *api.Route) modelList {
	list := modelList{Object: "list", Data: []model{}}
	for i := range v.table.Routes {
		if r := &v.table.Routes[i]; only == nil || r == only {
			list.Data = append(list.Data, newModel(r))
		}
	}
	return list
}

// health is the answer of /health on the port of all tiers. Its status is 200 as long as the gateway works: a tier
// that is not loaded is no fault.
type health struct {
	Status string                `json:"status"`
	Tiers  map[string]tierHealth `json:"tiers"`
}

type tierHealth struct {
	State    api.State `json:"state"`
	Status   string    `json:"status,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	Port     int       `json:"port"`
	Variant  string    `json:"variant"`
	InFlight int       `json:"in_flight"`
}

func newHealth(v *view, p *pool) health {
	inFlight, _, _ := p.report()
	h := health{Status: "ok", Tiers: make(map[string]tierHealth, len(v.table.Routes))}
	for _, r := range v.table.Routes {
		h.Tiers[r.Tier] = tierHealth{
			State: r.State, Status: r.Status, Reason: r.Reason, Port: r.Port, Variant: r.Variant, InFlight: inFlight[r.Tier],
		}
	}
	return h
}

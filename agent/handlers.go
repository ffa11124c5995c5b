package agent

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/tierd/tierd/agent/api"
)

// A request that waits is held for as long as its `timeout` says, at most longestWait. Without one a change is waited for
// defaultWait, a table longestWait.
const (
	defaultWait = 30 * time.Second
	longestWait = 10 * time.Minute
)

func (s *Server) status(r call) (reply, error) {
	status, err := s.control.Status(r.Context())
	return reply{result: status}, err
}

func (s *Server) tiers(r call) (reply, error) {
	status, err := s.control.Status(r.Context())
	return reply{result: emptyNotNull(status.Tiers)}, err
}

func (s *Server) tier(r call) (reply, error) {
	tier, err := s.control.Tier(r.PathValue("name"))
	return reply{result: tier}, err
}

func (s *Server) actOnTier(r call) (reply, error) {
	req, err := decode[api.TierRequest](r.body)
	if err == nil {
		err = oneOf(req.Action, "start", "stop", "restart", "switch")
	}
	if err == nil && req.Action == "switch" && req.Variant == "" {
		err = badRequest(`"variant" is missing: the variant to switch to`)
	}
	if err != nil {
		return reply{}, err
	}
	change, err := s.control.Act(r.Context(), r.PathValue("name"), req)
	return reply{change: change}, err
}

func (s *Server) modes(call) (reply, error) {
	modes, err := s.control.Modes()
	return reply{result: emptyNotNull(modes)}, err
}

func (s *Server) host(r call) (reply, error) {
	host, err := s.control.Host(r.Context())
	return reply{result: host}, err
}

func (s *Server) metrics(r call) (reply, error) {
	metrics, err := s.control.Metrics(r.Context())
	return reply{result: metrics}, err
}

func (s *Server) guard(r call) (reply, error) {
	guard, err := s.control.Guard(r.Context())
	return reply{result: guard}, err
}

func (s *Server) guardTrace(r call) (reply, error) {
	lines, err := s.control.GuardTrace(r.Context())
	return reply{result: emptyNotNull(lines)}, err
}

func (s *Server) budget(r call) (reply, error) {
	budget, err := s.control.Budget(r.Context(), r.URL.Query().Get("mode"))
	return reply{result: budget}, err
}

func (s *Server) plan(r call) (reply, error) {
	plan, err := s.control.PlanMode(r.Context(), r.URL.Query().Get("mode"))
	return reply{result: plan}, err
}

func (s *Server) actOnStack(r call) (reply, error) {
	req, err := decode[api.StackRequest](r.body)
	if err == nil {
		err = oneOf(req.Action, "up", "down")
	}
	if err != nil {
		return reply{}, err
	}
	change, err := s.control.Stack(r.Context(), req)
	return reply{change: change}, err
}

func (s *Server) actOnConfig(r call) (reply, error) {
	req, err := decode[api.ConfigRequest](r.body)
	if err == nil {
		err = oneOf(req.Action, "reload")
	}
	if err != nil {
		return reply{}, err
	}
	result, change, err := s.control.Reload(r.Context(), req.Restart)
	return reply{result: result, change: change}, err
}

func (s *Server) changes(call) (reply, error) {
	changes, err := s.control.Changes()
	return reply{result: emptyNotNull(changes)}, err
}

func (s *Server) change(r call) (reply, error) {
	change, err := s.control.Change(r.PathValue("id"))
	return reply{result: change}, err
}

// waitChange answers with the change as it is when the time is over.
func (s *Server) waitChange(r call) (reply, error) {
	ctx, cancel, err := waitContext(r, defaultWait)
	if err != nil {
		return reply{}, err
	}
	defer cancel()
	change, err := s.control.WaitChange(ctx, r.PathValue("id"))
	if err != nil && ctx.Err() != nil && r.Context().Err() == nil {
		change, err = s.control.Change(r.PathValue("id"))
	}
	return reply{result: change}, err
}

func (s *Server) actOnChange(r call) (reply, error) {
	req, err := decode[api.ChangeRequest](r.body)
	if err == nil {
		err = oneOf(req.Action, "abort")
	}
	if err != nil {
		return reply{}, err
	}
	return reply{}, s.control.AbortChange(r.PathValue("id"))
}

func (s *Server) openapi(call) (reply, error) {
	return reply{stream: func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/json")
		if _, err := w.Write(api.OpenAPI); err != nil {
			s.log.Debug("cannot deliver an answer", "err", err)
		}
	}}, nil
}

// gatewayTable answers with the table that the gateway has when the time is over.
func (s *Server) gatewayTable(r call) (reply, error) {
	after, err := number(r.URL.Query().Get("after"))
	if err != nil {
		return reply{}, badRequest(`"after" is not the number of a table: %v`, err)
	}
	ctx, cancel, err := waitContext(r, longestWait)
	if err != nil {
		return reply{}, err
	}
	defer cancel()
	table, err := s.control.Table(ctx, after)
	if err != nil && ctx.Err() != nil && r.Context().Err() == nil {
		table, err = s.control.Table(r.Context(), 0)
	}
	return reply{result: table}, err
}

func (s *Server) gatewayReport(r call) (reply, error) {
	report, err := decode[api.GatewayReport](r.body)
	if err != nil {
		return reply{}, err
	}
	s.control.Report(report)
	return reply{}, nil
}

// gatewayEnsure answers when the tier is ready, or will not be. It lasts for as long as the caller stays.
func (s *Server) gatewayEnsure(r call) (reply, error) {
	req, err := decode[api.EnsureRequest](r.body)
	if err == nil && req.Tier == "" {
		err = badRequest(`"tier" is missing: the tier to have ready`)
	}
	if err != nil {
		return reply{}, err
	}
	return reply{}, s.control.Ensure(r.Context(), req.Tier)
}

// waitContext bounds a request by its `timeout` parameter.
func waitContext(r call, usual time.Duration) (context.Context, context.CancelFunc, error) {
	limit := usual
	if text := r.URL.Query().Get("timeout"); text != "" {
		var err error
		if limit, err = time.ParseDuration(text); err != nil || limit < 0 {
			return nil, nil, badRequest(`"timeout" is %q; it takes a duration such as 30s`, text)
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), min(limit, longestWait))
	return ctx, cancel, nil
}

// number reads an optional decimal parameter; "" is 0.
func number(text string) (uint64, error) {
	if text == "" {
		return 0, nil
	}
	return strconv.ParseUint(text, 10, 64)
}

// emptyNotNull makes an empty list [] in JSON, so that clients in any language can loop over it.
func emptyNotNull[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

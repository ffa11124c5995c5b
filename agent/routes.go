package agent

import (
	"context"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tierd/tierd/agent/api"
)

const (
	defaultWait = 30 * time.Second
	longestWait = 10 * time.Minute
)

// call is one request: what a handler needs of it.
type call struct {
	*http.Request
	body []byte // of a POST
}

// route is one line of the table.
type route struct {
	pattern string // for http.ServeMux
	access  access
	query   []string // names of the parameters that it takes
	handle  func(*Server, call) (reply, error)
}

// routes is the whole control API. A GET changes nothing; what may take longer than a second answers with a change.
var routes = []route{
	{"GET /v1/status", anyLocal, nil, (*Server).status},
	{"GET /v1/tiers", anyLocal, nil, (*Server).tiers},
	{"GET /v1/tiers/{name}", anyLocal, nil, (*Server).tier},
	{"POST /v1/tiers/{name}", operator, nil, (*Server).actOnTier},
	{"GET /v1/modes", anyLocal, nil, (*Server).modes},
	{"GET /v1/plan", anyLocal, []string{"mode"}, (*Server).plan},
	{"GET /v1/budget", anyLocal, []string{"mode"}, (*Server).budget},
	{"GET /v1/host", anyLocal, nil, (*Server).host},
	{"GET /v1/metrics", anyLocal, nil, (*Server).metrics},
	{"GET /v1/guard", anyLocal, nil, (*Server).guard},
	{"GET /v1/guard/trace", anyLocal, nil, (*Server).guardTrace},
	{"POST /v1/stack", operator, nil, (*Server).actOnStack},
	{"POST /v1/config", operator, nil, (*Server).actOnConfig},
	{"GET /v1/changes", anyLocal, nil, (*Server).changes},
	{"GET /v1/changes/{id}", anyLocal, nil, (*Server).change},
	{"GET /v1/changes/{id}/wait", anyLocal, []string{"timeout"}, (*Server).waitChange},
	{"POST /v1/changes/{id}", operator, nil, (*Server).actOnChange},
	{"GET /v1/events", anyLocal, []string{"after"}, (*Server).events},
	{"GET /v1/openapi.json", anyLocal, nil, (*Server).openapi},
	{"GET /v1/gateway/table", gateway, []string{"after", "timeout"}, (*Server).gatewayTable},
	{"POST /v1/gateway/report", gateway, nil, (*Server).gatewayReport},
	{"POST /v1/gateway/ensure", gateway, nil, (*Server).gatewayEnsure},
}

// mux answers every path in the envelope, those included that the table does not have.
func (s *Server) mux() http.Handler {
	mux := http.NewServeMux()
	methods := map[string][]string{}
	for _, r := range routes {
		method, where, _ := strings.Cut(r.pattern, " ")
		methods[where] = append(methods[where], method)
		mux.HandleFunc(r.pattern, func(w http.ResponseWriter, req *http.Request) { s.serve(w, req, r) })
	}
	for where, known := range methods {
		allow := strings.Join(known, ", ")
		mux.HandleFunc(where, func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Allow", allow)
			s.sendError(w, req, &api.Error{Kind: api.KindMethod,
				Message: fmt.Sprintf("%s is not for %s; it takes %s", req.URL.Path, req.Method, allow)})
		})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		// ServeMux would redirect an unclean path, in HTML; and CONNECT has none.
		_, pattern := mux.Handler(req)
		if pattern == "" || path.Clean(req.URL.Path) != req.URL.Path {
			s.sendError(w, req, &api.Error{Kind: api.KindNotFound,
				Message: fmt.Sprintf("there is no %s", req.URL.Path), Hint: "GET /v1/openapi.json describes every path"})
			return
		}
		mux.ServeHTTP(w, req)
	})
}

// serve checks the rights first, so that a caller without them learns nothing about its request.
func (s *Server) serve(w http.ResponseWriter, req *http.Request, r route) {
	p := peerFrom(req.Context())
	if !s.accounts.allows(p, r.access) {
		s.sendError(w, req, refusal(p, r.access))
		return
	}
	for name := range req.URL.Query() {
		if !slices.Contains(r.query, name) {
			s.sendError(w, req, badRequest("unknown parameter %q; %s takes %s", name, req.URL.Path, listOr(r.query, "none")))
			return
		}
	}
	in := call{Request: req}
	if req.Method == http.MethodPost {
		var err error
		if in.body, err = readBody(w, req); err != nil {
			s.sendError(w, req, err)
			return
		}
	}
	out, err := r.handle(s, in)
	if r.access == operator {
		s.logOrder(in, p, out.change, err)
	}
	s.send(w, req, out, err)
}

// logOrder leaves in the journal who asked for a change.
func (s *Server) logOrder(in call, p peer, change string, err error) {
	log := s.log.With("path", in.URL.Path, "request", string(in.body), "uid", p.uid, "pid", p.pid)
	if err != nil {
		log.Warn("refused an order", "err", err)
		return
	}
	if change != "" {
		log = log.With("change", change)
	}
	log.Info("took an order")
}

func listOr(names []string, none string) string {
	if len(names) == 0 {
		return none
	}
	return strings.Join(names, ", ")
}

// refusal names the caller as the kernel does, since a name may belong to nobody.
func refusal(p peer, need access) error {
	who := "an unknown process"
	if p.known {
		who = fmt.Sprintf("uid %d", p.uid)
	}
	if need == gateway {
		return &api.Error{Kind: api.KindForbidden, Message: fmt.Sprintf("this is for root and the user %s; %s is neither", gatewayUser, who)}
	}
	return &api.Error{
		Kind:    api.KindForbidden,
		Message: fmt.Sprintf("changing tiers is for root and the members of %s; %s is none of them", strings.Join(operatorGroups, ", "), who),
		Hint:    "use sudo, or: sudo usermod -aG tierd $USER, and log in again",
	}
}

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

package agent

import (
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/tierd/tierd/agent/api"
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

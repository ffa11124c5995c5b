package agent

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/rocm"
)

// Limits of the control socket. Whoever may connect is a local user, but not one to be trusted with tierd's memory.
const (
	maxHeader   = 16 << 10         // bytes of a request's header
	maxBody     = 64 << 10         // bytes of a request's body; the largest honest one is a gateway's report
	headerTime  = 5 * time.Second  // to send the header
	bodyTime    = 10 * time.Second // to send the body
	idleTime    = time.Minute      // until an idle connection is closed
	writeTime   = 10 * time.Second // for a reader to take what was written
	endTime     = 2 * time.Second  // for answers in flight once the server ends
	connections = 64               // at a time, of one user other than root
)

// Control is all that the server asks of the agent. Errors that are to reach a client as they are, are *api.Error.
type Control interface {
	Status(ctx context.Context) (api.Status, error)
	Tier(name string) (api.Tier, error)
	Modes() ([]api.Mode, error)
	PlanMode(ctx context.Context, mode string) (api.Plan, error)
	Act(ctx context.Context, tier string, req api.TierRequest) (change string, err error)
	Stack(ctx context.Context, req api.StackRequest) (change string, err error)
	Reload(ctx context.Context, restart bool) (result api.ConfigResult, change string, err error)
	Changes() ([]api.Change, error)
	Change(id string) (api.Change, error)
	// WaitChange blocks until the change is done or ctx ends.
	WaitChange(ctx context.Context, id string) (api.Change, error)
	AbortChange(id string) error
	// Events returns the remembered events whose Seq is greater than after, the oldest first.
	Events(after uint64) []api.Event
	// Subscribe returns a channel that gets each event, and a function that ends the subscription.
	Subscribe() (<-chan api.Event, func())
	// Table blocks until the table's Seq is greater than after or ctx ends.
	Table(ctx context.Context, after uint64) (api.Table, error)
	Report(report api.GatewayReport)
	// Ensure blocks until the tier is ready or will not be. When ctx ends the wish is taken back.
	Ensure(ctx context.Context, tier string) error
	// Budget tells who holds what, or would with a mode up.
	Budget(ctx context.Context, mode string) (api.Budget, error)
	// Metrics tells what was counted, and who holds what.
	Metrics(ctx context.Context) (api.Metrics, error)
	// Guard tells what is known of tier-guard, which is asked for that.
	Guard(ctx context.Context) (api.Guard, error)
	// GuardTrace is what the guard saw and decided last; api.KindUnavailable when it does not answer.
	GuardTrace(ctx context.Context) ([]json.RawMessage, error)
	// Host is what the kernel says of this host now.
	Host(ctx context.Context) (rocm.Snapshot, error)
	// Admit answers a shim: see api.AdmitRequest. It may block for long; waits is told why, again every few seconds.
	Admit(ctx context.Context, unit, op string, waits func(reason string)) api.AdmitAnswer
}

// Server answers tierd's sockets. It keeps nothing that a restart would lose.
type Server struct {
	control  Control
	log      *slog.Logger
	accounts *accounts
	epoch    string // tells the event numbers of this process from those of an earlier one
	handler  http.Handler
}

// NewServer returns a server for what control can do. The groups and the user that routes are for are looked up in
// etc/group and etc/passwd under root, which is "/" but in tests.
func NewServer(control Control, log *slog.Logger, root string) *Server {
	s := &Server{
		control:  control,
		log:      log,
		accounts: newAccounts(root, log),
		epoch:    strconv.FormatInt(time.Now().UnixMilli(), 36),
	}
	s.handler = s.mux()
	return s
}

// errEnding is the cause of every request's context once the server ends, so that waiting requests can say why.
var errEnding = errors.New("tierd is ending")

// Serve answers requests on a unix socket until ctx ends. Requests that wait are then cut short, others are finished.
// A socket that was handed over by systemd stays: its file is systemd's.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	base, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(errEnding)
	server := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: headerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
		BaseContext:       func(net.Listener) context.Context { return base },
		ConnContext:       withPeer,
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(newPeerListener(l, connections, s.log)) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	end(errEnding)
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
	defer cancel()
	if err := server.Shutdown(limit); err != nil {
		return server.Close()
	}
	return nil
}

// reply is what a handler wants to be answered: a result, a change, both, or a stream that it writes itself.
type reply struct {
	result any
	change string // id of the change that was started or joined: makes the answer async
	stream func(http.ResponseWriter)
}

// send writes a reply, or err, in the envelope.
func (s *Server) send(w http.ResponseWriter, r *http.Request, out reply, err error) {
	if err != nil {
		s.sendError(w, r, err)
		return
	}
	if out.stream != nil {
		out.stream(w)
		return
	}
	env, status := api.Envelope{Type: "sync", Change: out.change}, http.StatusOK
	if out.change != "" {
		env.Type, status = "async", http.StatusAccepted
	}
	if out.result != nil {
		if env.Result, err = json.Marshal(out.result); err != nil {
			s.sendError(w, r, err)
			return
		}
	}
	s.write(w, status, env)
}

func (s *Server) sendError(w http.ResponseWriter, r *http.Request, err error) {
	e := s.explain(r, err)
	s.write(w, e.Kind.HTTPStatus(), api.Envelope{Type: "error", Error: e})
}

// explain finds what a client is to be told of err. What is not an *api.Error is a fault of tierd's own.
func (s *Server) explain(r *http.Request, err error) *api.Error {
	var e *api.Error
	switch {
	case context.Cause(r.Context()) == errEnding:
		return &api.Error{Kind: api.KindUnavailable, Message: "tierd is ending; what runs goes on", Hint: "ask again in a second"}
	case errors.As(err, &e):
		return e
	case errors.Is(err, context.DeadlineExceeded):
		return &api.Error{Kind: api.KindUnavailable, Message: "tierd did not find the answer in time: systemd may be busy"}
	case r.Context().Err() == nil:
		s.log.Error("cannot answer", "method", r.Method, "path", r.URL.Path, "err", err)
	}
	return &api.Error{Kind: api.KindInternal, Message: err.Error()}
}

func (s *Server) write(w http.ResponseWriter, status int, env api.Envelope) {
	text, err := json.Marshal(env)
	if err != nil { // only a result could do that, and it is JSON already
		s.log.Error("cannot write an answer", "err", err)
		status, text = http.StatusInternalServerError, []byte(`{"type":"error","error":{"kind":"internal","message":"cannot write the answer"}}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	// Without a bound a reader that takes nothing would keep the answer in memory for ever.
	if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTime)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		s.log.Warn("cannot bound the time of an answer", "err", err)
	}
	w.WriteHeader(status)
	if _, err := w.Write(append(text, '\n')); err != nil {
		s.log.Debug("cannot deliver an answer", "err", err)
	}
}

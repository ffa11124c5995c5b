package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// maxAnswer bounds what the client reads of one answer, in bytes. A status of hundreds of tiers stays far below it.
const maxAnswer = 16 << 20

// Client talks to tierd over its control socket. It is safe for use by several goroutines.
//
// Every method returns an *Error for what tierd answered and for a tierd that cannot be reached (KindUnavailable),
// and the context's own error when the context ended first.
type Client struct {
	path string
	http *http.Client
}

// New returns a client of the socket at path; "" means ControlSocket. Nothing is dialled before the first call.
func New(path string) *Client {
	if path == "" {
		path = ControlSocket
	}
	dialer := net.Dialer{}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", path)
		},
		DisableCompression: true,
		IdleConnTimeout:    30 * time.Second,
	}
	return &Client{path: path, http: &http.Client{Transport: transport}}
}

// Close ends the connections that are kept for later calls. The client may be used again.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Status returns the daemon's own state and that of every tier.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return get[Status](ctx, c, "/v1/status")
}

// Tiers returns every tier, in the order of tiers.toml.
func (c *Client) Tiers(ctx context.Context) ([]Tier, error) {
	return get[[]Tier](ctx, c, "/v1/tiers")
}

// Tier returns one tier; KindNotFound when there is none of that name.
func (c *Client) Tier(ctx context.Context, name string) (Tier, error) {
	return get[Tier](ctx, c, "/v1/tiers/"+url.PathEscape(name))
}

// Modes returns the modes of tiers.toml.
func (c *Client) Modes(ctx context.Context) ([]Mode, error) {
	return get[[]Mode](ctx, c, "/v1/modes")
}

// Plan returns what `up mode` would do; "" means the default mode. Nothing is changed.
func (c *Client) Plan(ctx context.Context, mode string) (Plan, error) {
	return get[Plan](ctx, c, "/v1/plan?mode="+url.QueryEscape(mode))
}

// Budget returns who holds what, or would with a mode up; "" means what is up now.
func (c *Client) Budget(ctx context.Context, mode string) (Budget, error) {
	return get[Budget](ctx, c, "/v1/budget?mode="+url.QueryEscape(mode))
}

// Metrics returns what tierd counts.
func (c *Client) Metrics(ctx context.Context) (Metrics, error) {
	return get[Metrics](ctx, c, "/v1/metrics")
}

// Guard returns what tierd knows of tier-guard, which it asks for that.
func (c *Client) Guard(ctx context.Context) (Guard, error) {
	return get[Guard](ctx, c, "/v1/guard")
}

// GuardTrace returns the last looks of tier-guard and what it decided, each a line of a trace file. KindUnavailable tells that
// the guard does not answer.
func (c *Client) GuardTrace(ctx context.Context) ([]json.RawMessage, error) {
	return get[[]json.RawMessage](ctx, c, "/v1/guard/trace")
}

// Host returns what the kernel says of the host, as package rocm has it.
func (c *Client) Host(ctx context.Context) (json.RawMessage, error) {
	return get[json.RawMessage](ctx, c, "/v1/host")
}

// Act asks to start, stop, restart or switch one tier and returns the id of the change that does it.
func (c *Client) Act(ctx context.Context, tier string, req TierRequest) (change string, err error) {
	return c.post(ctx, "/v1/tiers/"+url.PathEscape(tier), req, nil)
}

// Stack asks to bring the running set to a mode, or down, and returns the id of the change that does it.
func (c *Client) Stack(ctx context.Context, req StackRequest) (change string, err error) {
	return c.post(ctx, "/v1/stack", req, nil)
}

// Reload asks to read tiers.toml again. With restart, the running tiers that the new file changes are restarted, by the
// change whose id is returned; it is "" when nothing is to be restarted. KindConfig tells that the file is at fault.
func (c *Client) Reload(ctx context.Context, restart bool) (result ConfigResult, change string, err error) {
	change, err = c.post(ctx, "/v1/config", ConfigRequest{Action: "reload", Restart: restart}, &result)
	return result, change, err
}

// Changes returns the changes that tierd remembers, the oldest first.
func (c *Client) Changes(ctx context.Context) ([]Change, error) {
	return get[[]Change](ctx, c, "/v1/changes")
}

// Change returns one change as it is now.
func (c *Client) Change(ctx context.Context, id string) (Change, error) {
	return get[Change](ctx, c, "/v1/changes/"+url.PathEscape(id))
}

// Abort asks a change to end early. What it has started so far is stopped again where the change says so.
func (c *Client) Abort(ctx context.Context, id string) error {
	_, err := c.post(ctx, "/v1/changes/"+url.PathEscape(id), ChangeRequest{Action: "abort"}, nil)
	return err
}

// Table returns the gateway's table once its Seq is greater than after, or the same table again after ten minutes.
// Only root and the gateway's user may ask.
func (c *Client) Table(ctx context.Context, after uint64) (Table, error) {
	return get[Table](ctx, c, "/v1/gateway/table?after="+strconv.FormatUint(after, 10)+"&timeout=10m")
}

// Report tells tierd of the gateway's listeners and requests. Only root and the gateway's user may.
func (c *Client) Report(ctx context.Context, report GatewayReport) error {
	_, err := c.post(ctx, "/v1/gateway/report", report, nil)
	return err
}

// Ensure returns once the tier is ready, or with the *Error that says why it will not be; its RetryAfter says when to ask
// again, where that is known. When ctx ends the wish is taken back. Only root and the gateway's user may ask.
func (c *Client) Ensure(ctx context.Context, tier string) error {
	_, err := c.post(ctx, "/v1/gateway/ensure", EnsureRequest{Tier: tier}, nil)
	return err
}

// get decodes the result of a sync answer.
func get[T any](ctx context.Context, c *Client, path string) (T, error) {
	var out T
	_, err := c.do(ctx, http.MethodGet, path, nil, &out)
	return out, err
}

func (c *Client) post(ctx context.Context, path string, body, result any) (change string, err error) {
	text, err := json.Marshal(body)
	if err != nil {
		return "", fmt.Errorf("cannot write the request for %s: %w", path, err)
	}
	return c.do(ctx, http.MethodPost, path, text, result)
}

// do sends one request, decodes the result into out (unless nil) and returns the change's id of an async answer.
func (c *Client) do(ctx context.Context, method, path string, body []byte, out any) (change string, err error) {
	resp, err := c.send(ctx, method, path, body, nil)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return "", c.unreachable(ctx, err)
	}
	env, err := c.open(resp.StatusCode, text)
	if err != nil {
		return "", err
	}
	if out != nil && len(env.Result) > 0 {
		if err := json.Unmarshal(env.Result, out); err != nil {
			return "", c.foreign(fmt.Sprintf("its answer to %s cannot be read: %v", path, err))
		}
	}
	return env.Change, nil
}

// send is the one place that talks HTTP. The host name in the URL means nothing: the transport dials the socket.
func (c *Client) send(ctx context.Context, method, path string, body []byte, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://tierd"+path, bytes.NewReader(body))
	if err != nil {
		return nil, &Error{Kind: KindBadRequest, Message: fmt.Sprintf("cannot ask for %s: %v", path, err)}
	}
	for key, values := range header {
		req.Header[key] = values
	}
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	return resp, nil
}

// open takes an answer out of its envelope; an error answer becomes the *Error that it carries.
func (c *Client) open(status int, text []byte) (Envelope, error) {
	var env Envelope
	if err := json.Unmarshal(text, &env); err != nil {
		return env, c.foreign(fmt.Sprintf("it answered HTTP %d with something else than JSON", status))
	}
	switch env.Type {
	case "sync", "async":
		return env, nil
	case "error":
		if env.Error != nil {
			return env, env.Error
		}
	}
	return env, c.foreign(fmt.Sprintf("it answered HTTP %d with type %q", status, env.Type))
}

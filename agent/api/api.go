// Package api is what goes over tierd's sockets: wire types, error kinds and the client. Both ends import it, and it
// imports the standard library alone.
//
// Every answer on the control socket is one Envelope. Sizes are bytes, times are RFC 3339, durations are seconds
// unless the field's name says otherwise.
package api

import (
	"encoding/json"
	"time"
)

// ControlSocket is where tierd serves this API. tierd.socket makes it, so that it outlives the daemon.
const ControlSocket = "/run/tierd/tierd.sock"

// Envelope is the one shape of an answer: Type tells which of the other fields is set.
type Envelope struct {
	Type   string          `json:"type"` // "sync", "async" or "error"
	Result json.RawMessage `json:"result,omitempty"`
	Change string          `json:"change,omitempty"` // id of the change that an async answer started or joined
	Error  *Error          `json:"error,omitempty"`
}

// State is what a client may know of a unit. It is derived from systemd's ActiveState, SubState and Result, and from
// what the shim and the gateway said; it is never stored.
type State string

// The states of a tier and of each of its variants.
const (
	Stopped  State = "stopped"  // loaded and inactive: may be started
	Starting State = "starting" // its unit is activating: asking admission, loading, warming up
	Ready    State = "ready"    // the engine answered a real probe
	Draining State = "draining" // no new request; those in flight are finishing
	Stopping State = "stopping" // the engine was told to go
	Failed   State = "failed"   // ended by itself, or refused; Reason says why
	Blocked  State = "blocked"  // cannot be started as things are: masked, model or engine missing; Reason says which
)

// Tier is one tier as `tierctl status` shows it. The unit's fields are those of the variant that is up, else of the
// one that would be started.
type Tier struct {
	Name           string    `json:"name"`
	Role           string    `json:"role"`
	Port           int       `json:"port"`
	Start          string    `json:"start"` // "boot", "demand" or "manual"
	Priority       int       `json:"priority"`
	State          State     `json:"state"`
	Status         string    `json:"status,omitempty"` // the shim's words: "Loading weights 43 %, 26 of 57 GiB"
	Reason         string    `json:"reason,omitempty"` // why it failed, is blocked or was stopped
	Class          string    `json:"class,omitempty"`  // failure class, see Class*
	Since          time.Time `json:"since,omitzero"`   // of the last change of state, by systemd's clock
	Variant        string    `json:"variant"`
	Variants       []Variant `json:"variants"`
	Unit           string    `json:"unit"`
	Engine         string    `json:"engine"` // vllm, llama or remote
	Model          string    `json:"model"`
	Context        int       `json:"context,omitempty"` // tokens
	Memory         uint64    `json:"memory"`            // the charge, in bytes
	MemoryCurrent  *uint64   `json:"memory_current,omitempty"`
	MainPID        int       `json:"main_pid,omitempty"`
	Restarts       int       `json:"restarts,omitempty"` // by systemd since the last start
	RestartPending bool      `json:"restart_pending"`    // the running process was started from another configuration
	Removed        bool      `json:"removed,omitempty"`  // no longer in tiers.toml, still running
	LeavesMachine  bool      `json:"leaves_machine,omitempty"`
	DropIns        []string  `json:"drop_ins,omitempty"` // files by which the administrator changed the unit
	PortError      string    `json:"port_error,omitempty"`
	Warning        string    `json:"warning,omitempty"`   // what else a person should know: the model's files have changed, ...
	IdleSince      time.Time `json:"idle_since,omitzero"` // since when it is up without a request; zero: it has one, or nobody can tell
	StopsAt        time.Time `json:"stops_at,omitzero"`   // when it is stopped unless a request comes; zero: it is not
}

// Variant is one way of serving a tier.
type Variant struct {
	Name   string `json:"name"`
	Unit   string `json:"unit"`
	Engine string `json:"engine"`
	Model  string `json:"model"`
	State  State  `json:"state"`
	Memory uint64 `json:"memory"`
	Reason string `json:"reason,omitempty"`
}

// Failure classes: what kind of thing went wrong, so that a client need not read sentences.
const (
	ClassRefused       = "refused"       // admission said no
	ClassConfiguration = "configuration" // a flag or value the engine does not take
	ClassModel         = "model"         // model file missing or broken
	ClassPort          = "port"          // socket or port held by somebody else
	ClassBudget        = "budget"        // out of memory with these numbers: not retried
	ClassDeviceLost    = "device-lost"   // GPU reset or fault
	ClassEngineDied    = "engine-died"   // the engine ended by itself
	ClassKilled        = "killed"        // by a signal from outside, the OOM killer included
	ClassTimeout       = "timeout"       // never got ready, or stopped answering
	ClassPressure      = "pressure"      // gave way, or was given up while it loaded, because the host ran short of memory
)

// Mode is a named set of tiers and variants.
type Mode struct {
	Name    string            `json:"name"`
	Default bool              `json:"default"`
	Tiers   map[string]string `json:"tiers"` // tier to variant
}

// Status is the daemon's own state and every tier.
type Status struct {
	Version      string    `json:"version"`
	Started      time.Time `json:"started"`
	Systemd      string    `json:"systemd"` // version as the manager reports it
	ConfigPath   string    `json:"config_path"`
	ConfigHash   string    `json:"config_hash,omitempty"`
	ConfigError  string    `json:"config_error,omitempty"`  // the file as it is now cannot be used; the previous one is in force
	ConfigEdited bool      `json:"config_edited,omitempty"` // the file is not the one that was read: a reload is due
	Warnings     []string  `json:"warnings,omitempty"`
	Gateway      string    `json:"gateway"`              // "connected" or "absent"
	PortError    string    `json:"port_error,omitempty"` // why the port of all tiers is not open
	Tiers        []Tier    `json:"tiers"`
}

// Change is a slow operation that can be watched, waited for and aborted.
type Change struct {
	ID       string    `json:"id"`
	Kind     string    `json:"kind"`    // "up", "down", "start", "stop", "restart", "switch", "reload", "evict", "ensure", "idle", "pressure", "return"
	Summary  string    `json:"summary"` // "switch orch to llama"
	Tiers    []string  `json:"tiers"`
	State    string    `json:"state"` // "doing", "done", "error", "aborted"
	Tasks    []Task    `json:"tasks"`
	Err      *Error    `json:"error,omitempty"`
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished,omitzero"`
}

// Done tells whether the change has come to its end, good or bad.
func (c Change) Done() bool { return c.State != "doing" }

// Task is one step of a change.
type Task struct {
	Tier    string `json:"tier"`
	Unit    string `json:"unit,omitempty"`
	Summary string `json:"summary"`          // "start tier-coder.service"
	State   string `json:"state"`            // "todo", "doing", "done", "error", "skipped"
	Status  string `json:"status,omitempty"` // live words from the unit
	Err     string `json:"error,omitempty"`  // why it failed, or was skipped for want of room
}

// Event is one line of the event stream (SSE on /v1/events).
type Event struct {
	Seq    uint64    `json:"seq"`
	Time   time.Time `json:"time"`
	Kind   string    `json:"kind"` // "tier", "change", "config", "gateway", "host", "guard"
	Tier   string    `json:"tier,omitempty"`
	Unit   string    `json:"unit,omitempty"`
	State  State     `json:"state,omitempty"`
	Change string    `json:"change,omitempty"`
	Text   string    `json:"text"` // one sentence for a person
}

// UnitText is one unit as systemd would show it (`tierctl plan`).
type UnitText struct {
	Unit    string `json:"unit"`
	Tier    string `json:"tier"`
	Variant string `json:"variant"`
	Action  string `json:"action"` // "start", "stop", "keep", "restart", "none"
	Text    string `json:"text"`
}

// Plan is what would happen for a mode, and why not.
type Plan struct {
	Mode     string     `json:"mode"`
	Units    []UnitText `json:"units"`
	Warnings []string   `json:"warnings,omitempty"`
	Refusal  string     `json:"refusal,omitempty"`
}

// TierRequest asks to change one tier (POST /v1/tiers/{name}).
type TierRequest struct {
	Action  string `json:"action"` // "start", "stop", "restart", "switch"
	Variant string `json:"variant,omitempty"`
	Evict   bool   `json:"evict,omitempty"` // "start": other tiers may give way; one with start = "demand" has that leave anyway
	Drain   bool   `json:"drain,omitempty"` // "switch": the variant that is up ends first, also when there is room for both
}

// StackRequest asks to change the running set (POST /v1/stack).
type StackRequest struct {
	Action string `json:"action"` // "up", "down"
	Mode   string `json:"mode,omitempty"`
	Boot   bool   `json:"boot,omitempty"` // "up": only the tiers with start = "boot", in their default variants
}

// ConfigRequest asks to read tiers.toml again (POST /v1/config).
type ConfigRequest struct {
	Action  string `json:"action"` // "reload"
	Restart bool   `json:"restart,omitempty"`
}

// ConfigResult tells what a reload found.
type ConfigResult struct {
	Changed  []string `json:"changed"` // tiers whose definition is new
	Removed  []string `json:"removed"`
	Pending  []string `json:"pending"`            // running tiers that a restart would change
	Gateway  []string `json:"gateway,omitempty"`  // keys of [gateway] that are new, and in force
	Settings []string `json:"settings,omitempty"` // others that need no restart: "host.reserve", "tier.coder.hold", "mode.full"
	Warnings []string `json:"warnings,omitempty"`
}

// ChangeRequest acts on a change (POST /v1/changes/{id}).
type ChangeRequest struct {
	Action string `json:"action"` // "abort"
}

// Table is what the gateway needs to know to forward: it gets a new one at every change (GET /v1/gateway/table).
type Table struct {
	Seq    uint64  `json:"seq"`
	Listen string  `json:"listen"` // address of every listener, without port
	Port   int     `json:"port"`   // of the listener that serves every tier by name
	Routes []Route `json:"routes"`
	// Leaving are units that serve what is in flight there and take nothing new, beside the one that Routes names for their
	// tier: the variant that was up before a switch.
	Leaving []Route `json:"leaving,omitempty"`

	// Who may use the gateway, and how much of it. NoConfig tells that tierd does not know: no tiers.toml could be used since it
	// began. What a table before this one said of Listen, Port and of what follows then stays.
	NoConfig       bool     `json:"no_config,omitempty"`
	Keys           []Key    `json:"keys,omitempty"`            // none: nobody needs one
	OpenLoopback   bool     `json:"open_loopback,omitempty"`   // requests from a loopback address need no key
	Hosts          []string `json:"hosts,omitempty"`           // further names accepted in Host and Origin, in small letters
	MaxConnections int      `json:"max_connections,omitempty"` // of clients; 0: the gateway's default
	MaxBody        uint64   `json:"max_body,omitempty"`        // bytes of a request; 0: the gateway's default
}

// Key is one key of the gateway. Only its hash leaves the hands of whoever has it.
type Key struct {
	Name   string   `json:"name"`
	SHA256 string   `json:"sha256"`          // 64 hexadecimal digits in small letters
	Scopes []string `json:"scopes"`          // what it opens: Scope*
	Tiers  []string `json:"tiers,omitempty"` // to which it opens; none named: all
}

// What a key may open.
const (
	ScopeModels  = "models"  // requests to tiers, and the list of models
	ScopeMetrics = "metrics" // /metrics
)

// Route is one tier for the gateway.
type Route struct {
	Tier  string   `json:"tier"`
	Role  string   `json:"role"`
	Port  int      `json:"port"`
	Names []string `json:"names"` // accepted as `model`: tier, role, model, tier/variant of the one that is up
	// LoRA adapters of the variant that is up: accepted as `model` too, and passed on to the engine as they are.
	Adapters []string `json:"adapters,omitempty"`
	// The names of the tier's other variants. They stay valid whichever is up, unless another tier is called so.
	Others  []string `json:"others,omitempty"`
	State   State    `json:"state"`
	Status  string   `json:"status,omitempty"`
	Reason  string   `json:"reason,omitempty"`
	Unit    string   `json:"unit"`
	Variant string   `json:"variant"`
	Engine  string   `json:"engine"`
	Model   string   `json:"model"`
	Served  string   `json:"served"` // the name that the engine itself accepts in `model`; "" when any will do
	Socket  string   `json:"socket"`
	Context int      `json:"context,omitempty"`
	Drain   float64  `json:"drain,omitempty"` // seconds that requests in flight may take once State is draining

	Parallel    int       `json:"parallel,omitempty"`    // requests that the engine works on at the same time; 0: not known
	Concurrency int       `json:"concurrency,omitempty"` // requests that the gateway lets through at the same time; 0: no limit
	Hold        float64   `json:"hold,omitempty"`        // seconds that a request waits for the tier at most
	Keepalive   string    `json:"keepalive,omitempty"`   // "comments": a stream that waits is begun early; "": no byte before the engine's
	ReadyBy     time.Time `json:"ready_by,omitzero"`     // Starting, or another start follows: when it will be ready, by earlier loads; zero: not known
}

// EnsureRequest asks for a tier that requests wait for (POST /v1/gateway/ensure). The answer comes when the tier is ready, or
// says why it will not be. Who hangs up before its load was admitted takes the wish back; a load that has begun goes on.
type EnsureRequest struct {
	Tier string `json:"tier"`
}

// GatewayReport is what the gateway tells tierd (POST /v1/gateway/report).
type GatewayReport struct {
	Listeners []Listener         `json:"listeners"`
	InFlight  map[string]int     `json:"in_flight,omitempty"` // requests by tier
	Idle      map[string]float64 `json:"idle,omitempty"`      // by tier without one: seconds since its last one ended
	Leaving   map[string]int     `json:"leaving,omitempty"`   // by unit that takes nothing new: requests that are in flight there
	Drained   []string           `json:"drained,omitempty"`   // those of them without a request or a connection of the gateway's
}

// Listener is one port of the gateway.
type Listener struct {
	Tier  string `json:"tier"` // "" for the port of all tiers
	Port  int    `json:"port"`
	Error string `json:"error,omitempty"` // why it is not open; tierd adds who holds it
}

// AdmitRequest is the line that a shim sends on the admission socket. tierd learns which unit asks from the peer's
// cgroup, so the line names none.
type AdmitRequest struct {
	Op string `json:"op"` // "start": may I load? "stop": I was told to end, tell me when no request is in flight
}

// AdmitAnswer is the line that tierd sends back.
//
// Before it, lines with Wait alone may come: the shim goes on waiting, and at least every few seconds hears why.
type AdmitAnswer struct {
	Wait    string `json:"wait,omitempty"`
	OK      bool   `json:"ok"`
	Class   string `json:"class,omitempty"`
	Message string `json:"message,omitempty"` // the reason, one sentence
}

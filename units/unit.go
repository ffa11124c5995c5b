package units

// Unit is one systemd service: a variant of a tier, as properties that are sent as they are.
type Unit struct {
	Name       string // tier-coder.service, tier-orch-llama.service
	Tier       string
	Variant    string
	Default    bool   // the tier's first variant
	Hash       string // of everything that decides how the process runs; also in LogExtraFields and in the environment
	Properties []Property
	Port       int
	Socket     string // where the engine listens: /run/tier/<unit without suffix>/engine.sock
	Engine     string // kind: vllm, llama or remote
	GPU        bool
	Model      string    // as written in tiers.toml
	Served     string    // the name that the engine accepts in `model`
	Adapters   []Adapter // vLLM: names that it accepts besides, each with its own answers
	Context    int       // tokens
	Memory     Bytes     // Charge.Total(); 0: not known, nobody looked for the model or it blocks the unit
	Charge     Charge
	Reads      Reads // what it reads for each token
	Priority   int
	Start      string // boot, demand or manual
	Blocked    string // why it cannot start as things are (engine or model missing), one sentence; "" otherwise
	BlockClass string // failure class of Blocked, as in agent/api

	Format        Format      // of the model's numbers; zero when it was not found or not looked for
	EngineVersion string      // of a vLLM, as its folder says it; "" when not known
	ModelFiles    []ModelFile // that the charge was made from, for ModelChanged

	measureKey string // see MeasureKey
}

// Property is one setting under its D-Bus name. Value's Go type has exactly the D-Bus signature that
// StartTransientUnit wants (a string, a bool, uint64, int32, []string, []Exec, ...), so the adapter only wraps it.
type Property struct {
	Name  string
	Value any
}

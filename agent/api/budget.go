package api

// Budget is who holds what of the memory that the tiers share, and whether that holds (GET /v1/budget). Within an error of
// KindBudget it is the sum that did not.
type Budget struct {
	Mode     string   `json:"mode,omitempty"` // what if that mode were up; "": what is up
	RAM      Pool     `json:"ram"`
	GPU      *Pool    `json:"gpu,omitempty"`  // nil without a GPU
	Reserve  uint64   `json:"reserve"`        // of the RAM, never promised
	KeepFree uint64   `json:"keep_free"`      // of the RAM, has to stay free after a load
	Free     *uint64  `json:"free,omitempty"` // MemAvailable less CmaFree, now; not there where the kernel does not say
	Pending  uint64   `json:"pending"`        // promised, and not taken yet
	Tiers    []Share  `json:"tiers"`
	Fits     bool     `json:"fits"`
	Words    string   `json:"words,omitempty"`    // the first sum that does not hold, written out
	GiveWay  []string `json:"give_way,omitempty"` // tiers whose end would make room
	Waiting  []Waiter `json:"waiting,omitempty"`  // tiers whose start waits to be let in, the first come first
}

// Waiter is a tier that is to start and holds nothing yet.
type Waiter struct {
	Tier  string `json:"tier"`
	Unit  string `json:"unit"`
	Words string `json:"words"` // for what it waits
}

// Pool is one kind of memory.
type Pool struct {
	Name     string  `json:"name"`             // "ram", "gtt" (a part of the RAM) or "vram"
	Size     *uint64 `json:"size,omitempty"`   // not there where it is not known
	Used     *uint64 `json:"used,omitempty"`   // by anybody, now
	Promised uint64  `json:"promised"`         // to tiers
	Others   uint64  `json:"others"`           // held by programs that are no tiers
	Leaked   uint64  `json:"leaked"`           // in use and owned by no process
	Broken   string  `json:"broken,omitempty"` // why nothing may be loaded there whatever its size
}

// Share is what one tier holds, or would.
type Share struct {
	Tier    string `json:"tier"`
	Unit    string `json:"unit"`
	Variant string `json:"variant,omitempty"`
	Phase   string `json:"phase"` // "loading", "retrying", "ready", "ending"; "planned" when it is not up
	RAM     uint64 `json:"ram"`
	GPU     uint64 `json:"gpu"`
	Taken   uint64 `json:"taken"` // the part of RAM that Free lacks already
	Charge  Charge `json:"charge"`
}

// Charge is what a tier's memory is for, in bytes.
type Charge struct {
	Weights  uint64 `json:"weights"`
	KV       uint64 `json:"kv"`
	Overhead uint64 `json:"overhead"`
	Host     uint64 `json:"host,omitempty"`     // of a GPU tier's processes, outside the GPU's pool
	Mapped   uint64 `json:"mapped,omitempty"`   // of the weights, in the page cache
	Measured uint64 `json:"measured,omitempty"` // the most that an earlier run took
	Written  uint64 `json:"written,omitempty"`  // as tiers.toml says, in place of the rest
	Text     string `json:"text"`
}

// Package trial says what guards against memory pressure are tried on, and what came of a trial: pure, it is handed what was
// recorded in the VM.
package trial

// Scenario is one way in which memory goes away. Amounts are of a machine with 3008 MiB, of which 800 are available at the
// start; a leak ends 150 MiB beyond that, so that the end of reviewer alone is enough.
type Scenario struct {
	Key     string // its name; with swap it ends in z
	What    string // for a person
	By      string // who takes the memory: Load, or a tier
	Kind    string // "anon", "locked", "dma" or "cache", as packaging/guardbench/memory knows them
	Rate    int    // MiB a second, from 150 MiB above the soft line on; Fast: as fast as the machine goes
	Endless bool   // to 2600 MiB
	Hidden  bool   // coder and orch have 85 % of their memory in buffers that no process and no cgroup shows
	Scored  bool   // tiers have an OOMScoreAdjust
	Busy    bool   // reviewer has requests in flight
	Zram    bool   // with 1 GiB of compressed swap
	Right   []Choice
}

// Fast is a rate that no machine reaches.
const Fast = 16 << 10

// Load is the process outside of all tiers.
const Load = "load"

// Tiers are those of the machine, in the order in which they may be given up.
var Tiers = []string{"reviewer", "utility", "orch", "coder"}

// Lines, in bytes of available memory: 10, 5 and 2.5 % of the machine's.
const (
	Soft      = 300 << 20
	Hard      = 150 << 20
	Emergency = 75 << 20
)

// Choice is a set of victims that is right: all of Must, none but those and May, and no more than Most in all.
type Choice struct {
	Must, May []string
	Most      int
	Load      bool // the load has to be gone as well
}

var (
	nobody   = []Choice{{}}
	reviewer = []Choice{{Must: []string{"reviewer"}, Most: 1}}
	// The tier that leaks has to go, and at most one other may have gone before it was found.
	leaker = []Choice{{Must: []string{"coder"}, May: []string{"reviewer", "utility", "orch"}, Most: 2}}
	// With reviewer busy, idle tiers are cheaper, and so is reviewer when utility was not enough: never all three.
	cheaper = []Choice{
		{Must: []string{"orch"}, May: []string{"utility"}, Most: 2},
		{Must: []string{"reviewer"}, May: []string{"utility"}, Most: 2},
	}
	// What grows outside without end cannot be fed: idle tiers at most, and then the load itself.
	endless = []Choice{{May: []string{"reviewer", "utility", "orch"}, Most: 3, Load: true}}
)

// Scenarios are all, in the order in which they are run: those for which the tiers need not be started anew beside each other.
var Scenarios = []Scenario{
	{Key: "a", What: "100 MiB/s outside of the tiers", By: Load, Kind: "anon", Rate: 100, Right: reviewer},
	{Key: "b", What: "as fast as can be outside of the tiers", By: Load, Kind: "anon", Rate: Fast, Right: reviewer},
	{Key: "c", What: "100 MiB/s in coder", By: "coder", Kind: "anon", Rate: 100, Right: leaker},
	{Key: "e", What: "4 GiB read from a file", By: Load, Kind: "cache", Rate: Fast, Right: nobody},
	{Key: "f", What: "a, with reviewer busy", By: Load, Kind: "anon", Rate: 100, Busy: true, Right: cheaper},
	{Key: "g", What: "b in dma-heap buffers", By: Load, Kind: "dma", Rate: Fast, Right: reviewer},
	{Key: "m", What: "a in locked memory", By: Load, Kind: "locked", Rate: 100, Right: reviewer},
	{Key: "o", What: "a, with OOMScoreAdjust on the tiers", By: Load, Kind: "anon", Rate: 100, Scored: true, Right: reviewer},
	{Key: "u", What: "a without end", By: Load, Kind: "anon", Rate: 100, Endless: true, Right: endless},
	{Key: "v", What: "c without end", By: "coder", Kind: "anon", Rate: 100, Endless: true, Right: leaker},
	{Key: "az", What: "a with zram", By: Load, Kind: "anon", Rate: 100, Zram: true, Right: reviewer},
	{Key: "bz", What: "b with zram", By: Load, Kind: "anon", Rate: Fast, Zram: true, Right: reviewer},
	{Key: "dz", What: "d with zram", By: Load, Kind: "dma", Rate: 100, Hidden: true, Zram: true, Right: reviewer},
	{Key: "d", What: "100 MiB/s in dma-heap buffers, the tiers' memory mostly there too", By: Load, Kind: "dma", Rate: 100, Hidden: true, Right: reviewer},
}

// Guards are all that are compared, by the names that tables have.
var Guards = []string{None, EarlyOOM, OOMD, OOMDAggressive, Nohang, TierGuard}

// What guards are called.
const (
	None           = "none"            // the kernel alone
	EarlyOOM       = "earlyoom"        // as Debian starts it
	OOMD           = "oomd"            // systemd-oomd, told to watch the tiers' slice, with its own limits
	OOMDAggressive = "oomd-aggressive" // with 10 % of pressure for 1 s, 80 % of swap, and coder to be avoided
	Nohang         = "nohang"          // as Debian starts it
	TierGuard      = "tier-guard"
)

// Find returns the scenario of that name.
func Find(key string) (Scenario, bool) {
	for _, s := range Scenarios {
		if s.Key == key {
			return s, true
		}
	}
	return Scenario{}, false
}

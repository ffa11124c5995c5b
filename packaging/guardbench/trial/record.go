package trial

import (
	"encoding/json"
	"fmt"
)

// Run is what the machine outside asks of the VM: one scenario under one guard.
type Run struct {
	Scenario string `json:"scenario"`
	Guard    string `json:"guard"`
	Round    int    `json:"round"`
}

// Name tells runs apart, also as a file's name.
func (r Run) Name() string { return fmt.Sprintf("%s-%s-%d", r.Scenario, r.Guard, r.Round) }

// Record is what was seen in the VM. Times are microseconds since the load was told to go, amounts are bytes.
type Record struct {
	Run
	Total    int64            `json:"total"`  // MemTotal
	Start    int64            `json:"start"`  // MemAvailable before the load
	Cap      int64            `json:"cap"`    // what the load was to take
	Taken    int64            `json:"taken"`  // what it took
	Full     int64            `json:"full"`   // when it had all; 0: never
	Exits    map[string]int64 `json:"exits"`  // by tier or Load, of those that ended before they were told to
	Terms    map[string]int64 `json:"terms"`  // when each saw its first SIGTERM
	OOMKills int64            `json:"ooms"`   // by the kernel, of a process each
	RSS      int64            `json:"rss"`    // of the guard, the most of before and after; 0: it has no process
	Crashed  bool             `json:"crash"`  // the guard's process is gone, or another
	Broken   bool             `json:"broken"` // the VM's systemd did not outlive it: another VM is needed
	Words    []string         `json:"words"`  // what tier-guard told, a sentence each
	Setup    float64          `json:"setup"`  // seconds that the run took before the load, and after it
	Cleanup  float64          `json:"clean"`  // seconds
	Samples  []Sample         `json:"sample"` // every 5 ms
}

// Sample is one look at the VM's memory, an array of numbers in JSON.
type Sample struct {
	At        int64 // microseconds since the load was told to go
	Available int64 // MemAvailable, bytes
	SwapFree  int64 // bytes
	Full      int64 // microseconds in which all tasks waited for memory, since boot
}

// MarshalJSON writes four numbers.
func (s Sample) MarshalJSON() ([]byte, error) {
	return json.Marshal([4]int64{s.At, s.Available, s.SwapFree, s.Full})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (s *Sample) UnmarshalJSON(text []byte) error {
	var n [4]int64
	if err := json.Unmarshal(text, &n); err != nil {
		return err
	}
	*s = Sample{n[0], n[1], n[2], n[3]}
	return nil
}

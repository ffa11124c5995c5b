package rocm

import (
	"encoding/json"
	"errors"
)

// MarshalJSON writes lists without entries as such, which whoever goes through them need not ask for first.
func (s Snapshot) MarshalJSON() ([]byte, error) {
	type plain Snapshot
	p := plain(s)
	p.Swaps, p.GPUs, p.Clients, p.Problems = some(p.Swaps), some(p.GPUs), some(p.Clients), some(p.Problems)
	return json.Marshal(p)
}

func some[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// problem is a Problem as JSON has it.
type problem struct {
	File  string `json:"file"`
	Error string `json:"error"`
	Hung  bool   `json:"hung,omitempty"` // the read did not return in time
}

// MarshalJSON writes the error as its text.
func (p Problem) MarshalJSON() ([]byte, error) {
	out := problem{File: p.File}
	if p.Err != nil {
		out.Error, out.Hung = p.Err.Error(), errors.Is(p.Err, ErrHung)
	}
	return json.Marshal(out)
}

// UnmarshalJSON makes the text an error again, of which errors.Is still tells ErrHung.
func (p *Problem) UnmarshalJSON(data []byte) error {
	var in problem
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	p.File, p.Err = in.File, errors.New(in.Error)
	if in.Hung {
		p.Err = hungError(in.Error)
	}
	return nil
}

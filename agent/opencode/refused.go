package opencode

import "fmt"

// Refused says why a file is not written or not taken back, and what helps.
type Refused struct {
	Path string
	Text string // one sentence
	Hint string // what to do
	Diff string // what somebody else changed; "" when it is not about that

	Forceable bool // with force it is done nevertheless; the bytes that are in the way are kept
	Forbidden bool // it takes other rights
}

func (r *Refused) Error() string { return r.Text }

func refuse(path, hint, format string, args ...any) *Refused {
	return &Refused{Path: path, Text: fmt.Sprintf(format, args...), Hint: hint}
}

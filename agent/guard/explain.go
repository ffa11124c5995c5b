package guard

import "strconv"

// size is an amount as a person reads it: whole MiB, and GiB with one place from 10 GiB on.
func size(n uint64) string { return string(appendSize(nil, n)) }

func appendSize(b []byte, n uint64) []byte {
	switch {
	case n >= 10*gib:
		return append(strconv.AppendFloat(b, float64(n)/gib, 'f', 1, 64), " GiB"...)
	case n >= mib:
		return append(strconv.AppendUint(b, n/mib, 10), " MiB"...)
	case n >= 1<<10:
		return append(strconv.AppendUint(b, n>>10, 10), " KiB"...)
	}
	return append(strconv.AppendUint(b, n, 10), " bytes"...)
}

// AppendText writes the decision as one sentence with its figures.
func (d *Decision) AppendText(b []byte) []byte { return append(b, d.Reason.String()...) }

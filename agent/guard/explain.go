package guard

import (
	"bytes"
	"math"
	"strconv"
	"time"
)

// AppendText writes the decision as one sentence with its figures, without its full stop.
func (d *Decision) AppendText(b []byte) []byte {
	v := &d.Victim
	switch d.Reason {
	case Crossed:
		return d.state(append(b, "no tier may load: "...))
	case Recovered:
		return d.state(append(b, "tiers may load again: "...))
	case Outside:
		return append(d.state(append(b, "memory is taken outside the tiers: "...)), "; no other tier gives way for it, and the kernel will end who takes it"...)
	case NoneLeft:
		return append(d.state(append(b, "no tier is left that may be stopped: "...)), "; close something"...)
	case Quiet:
		return d.state(append(b, "nothing is to be done: "...))
	case Holding:
		return append(d.state(append(b, "nobody gives way: "...)), "; what is left holds for now"...)
	}
	b = append(b, v.Name...)
	switch d.Reason {
	case Waiting:
		b = appendSpan(append(b, " is waited for, "...), v.Since)
		return append(b, " since it was told to go"...)
	case Gone:
		b = appendSpan(append(b, " has ended, "...), v.Since)
		return append(d.state(append(b, " after it was told to; "...)), "; its memory is waited for"...)
	case Returned:
		b = append(appendSize(append(b, " gave back "...), v.Back), " of about "...)
		return d.state(append(appendSize(b, v.Gives), "; "...))
	case NotReturned:
		b = append(appendSize(append(b, " has ended, but its memory did not come back: "...), v.Back), " of about "...)
		return append(d.state(append(appendSize(b, v.Gives), "; "...)), "; no other tier gives way for it; if it stays so, restart the host"...)
	case Stuck:
		b = appendSpan(append(b, " does not end, even though killed, "...), v.Since)
		return append(d.state(append(b, " after it was told to go: most likely it waits in the kernel; "...)), "; it is left alone"...)
	case Unreachable:
		return append(d.state(append(b, " cannot be signalled and is left alone: "...)), "; see the log of tier-guard"...)
	case Overdue, Worse:
		return d.harder(b)
	}
	b = d.state(append(b, how[d.Act]...))
	b = v.why(append(b, "; "...))
	if v.Gives > 0 {
		b = appendSize(append(b, ", gives back about "...), v.Gives)
	}
	return b
}

var how = map[Act]string{
	Ask:  " finishes its requests and gives way: ",
	Stop: " gives way: ",
	Kill: " gives way at once: ",
}

// harder says what is done about a victim that is still there.
func (d *Decision) harder(b []byte) []byte {
	if d.Act == Kill {
		b = append(b, " is killed: "...)
	} else {
		b = append(b, " is stopped without waiting for its requests: "...)
	}
	if d.Reason == Overdue {
		b = appendSpan(append(b, "it has not ended "...), d.Victim.Since)
		return d.state(append(b, " after it was told to; "...))
	}
	b = appendSpan(append(b, "memory went on falling for "...), d.Victim.Since)
	return d.state(append(b, " after it was told to end; "...))
}

// state is how much is available, and where that is going.
func (d *Decision) state(b []byte) []byte {
	b = append(appendSize(b, d.Available), " available"...)
	if d.Available < d.Line {
		b = append(b, ", "...)
		if readAlike(d.Available, d.Line) {
			b = append(b, "just "...)
		}
		b = append(append(append(b, "below the "...), d.Level.String()...), " line of "...)
		b = appendSize(b, d.Line)
	}
	switch { // in whole MiB: it is measured, and never quite the same
	case d.Slope <= -mib:
		b = append(appendSize(append(b, ", falling "...), uint64(-d.Slope)/mib*mib), "/s"...)
	case d.Slope >= mib:
		b = append(appendSize(append(b, ", rising "...), uint64(d.Slope)/mib*mib), "/s"...)
	}
	return b
}

// why is what gave the tier its place in the order.
func (v *Figures) why(b []byte) []byte {
	switch {
	case v.Leaks:
		b = appendSize(b, v.Over)
		return append(b, " above its charge and growing"...)
	case v.Loading:
		b = append(b, "loading"...)
	case v.Busy:
		b = append(b, "busy"...)
	default:
		b = appendSpan(append(b, "idle for "...), v.Idle)
	}
	if v.Demand {
		b = append(b, ", comes back on demand"...)
	}
	if v.Pinned {
		b = append(b, ", pinned"...)
	}
	return strconv.AppendInt(append(b, ", priority "...), int64(v.Priority), 10)
}

// Size is an amount as units.Bytes and so all else of tierd writes it, in its largest fitting unit with at most two decimals:
// "42.5GiB", "512MiB", "0".
func Size(n uint64) string { return string(appendSize(nil, n)) }

var sizes = [...]struct {
	size uint64
	name string
}{{1 << 40, "TiB"}, {gib, "GiB"}, {mib, "MiB"}, {1 << 10, "KiB"}}

func appendSize(b []byte, n uint64) []byte {
	for _, u := range sizes {
		if n >= u.size {
			return append(strconv.AppendFloat(b, math.Round(float64(n)/float64(u.size)*100)/100, 'f', -1, 64), u.name...)
		}
	}
	if n == 0 {
		return append(b, '0')
	}
	return append(strconv.AppendUint(b, n, 10), 'B')
}

// readAlike tells whether two amounts are written the same.
func readAlike(m, n uint64) bool {
	var x, y [32]byte
	return bytes.Equal(appendSize(x[:0], m), appendSize(y[:0], n))
}

// appendSpan writes a duration in its largest unit.
func appendSpan(b []byte, d time.Duration) []byte {
	for _, u := range []struct {
		size time.Duration
		name string
	}{{time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}} {
		if d >= 2*u.size || d >= u.size && d%u.size == 0 {
			return append(strconv.AppendInt(b, int64(d/u.size), 10), u.name...)
		}
	}
	return append(strconv.AppendInt(b, d.Milliseconds(), 10), " ms"...)
}

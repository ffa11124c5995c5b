package guard

import "fmt"

const (
	mib = 1 << 20
	gib = 1 << 30
)

// mostSoft is the soft line of a host with 128 GiB and of larger ones: what a desktop wants for itself does not grow on.
const mostSoft = 8 * gib

// HostLines are the lines of a host of which nothing but its memory in bytes is known: soft is 6.5 % of it, 8 GiB at most.
func HostLines(total uint64) Lines { return spread(min(total/1000*65, mostSoft)) }

// KeepFreeLines are the lines of a host that is to keep an amount of memory free. Soft and hard, where not 0, are said in
// tiers.toml and stand for themselves.
func KeepFreeLines(keepFree, soft, hard uint64) Lines {
	if soft == 0 {
		soft = keepFree
	}
	l := spread(soft)
	if hard != 0 {
		l.Hard, l.Emergency = hard, hard/2
	}
	return l
}

// spread puts the others around the soft line: a load that begins above refuse leaves a quarter for what it has not told of,
// and below hard there is as much left as was lost since the soft line.
func spread(soft uint64) Lines {
	return Lines{Refuse: soft + soft/4, Soft: soft, Hard: soft / 2, Emergency: soft / 4}
}

// Check is why the lines cannot be had on a host with total bytes of memory, and what to change.
func (l Lines) Check(total uint64) error {
	switch {
	case l.Soft == 0:
		return fmt.Errorf("the guard's soft line is 0: give [host] keep_free, or soft in [guard], an amount")
	case l.Refuse <= l.Soft:
		return fmt.Errorf("the guard's soft line of %s is not below the %s under which no tier loads: give soft less in [guard]", Size(l.Soft), Size(l.Refuse))
	case l.Hard >= l.Soft:
		return fmt.Errorf("the guard's hard line of %s is not below the soft line of %s: give hard less in [guard], or soft more", Size(l.Hard), Size(l.Soft))
	case l.Emergency == 0 || l.Emergency >= l.Hard:
		return fmt.Errorf("the guard's emergency line of %s is not between 0 and the hard line of %s: give hard more in [guard]", Size(l.Emergency), Size(l.Hard))
	case l.Refuse >= total:
		return fmt.Errorf("below %s the guard would let no tier load, and this host has %s in all: give keep_free or soft less", Size(l.Refuse), Size(total))
	}
	return nil
}

// level is where an amount of available memory lies.
func (l Lines) level(available uint64) Level {
	switch {
	case available < l.Emergency:
		return BelowEmergency
	case available < l.Hard:
		return BelowHard
	case available < l.Soft:
		return BelowSoft
	case available < l.Refuse:
		return BelowRefuse
	}
	return Calm
}

// of is the line below which a level begins.
func (l Lines) of(v Level) uint64 {
	switch v {
	case BelowEmergency:
		return l.Emergency
	case BelowHard:
		return l.Hard
	case BelowSoft:
		return l.Soft
	case BelowRefuse:
		return l.Refuse
	}
	return 0
}

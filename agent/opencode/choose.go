package opencode

import (
	"slices"
)

// choose finds the tiers for the primary agent and for titles.
func (p *planner) choose() {
	main, ok := p.ofRole("orchestrator")
	if !ok {
		main = slices.MaxFunc(p.seats, func(a, b seat) int {
			return byRank(rank(a.Tools, b.Tools), rank(!a.Leaves, !b.Leaves), a.Context-b.Context)
		})
	}
	small, ok := p.ofRole("utility")
	if !ok {
		small = slices.MinFunc(p.seats, smaller)
	}
	p.main, p.small = main, small
}

// smaller puts the model first that writes a title with the least effort. One that is elsewhere takes no memory and is no small
// model for that, and a title would leave the machine without need.
func smaller(a, b seat) int {
	memory := 0
	if a.Memory > 0 && b.Memory > 0 {
		memory = rank(a.Memory > b.Memory, b.Memory > a.Memory)
	}
	return byRank(rank(a.Leaves, b.Leaves), memory, a.Context-b.Context)
}

// rank puts the one that has something after the other.
func rank(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

func byRank(ranks ...int) int {
	for _, r := range ranks {
		if r != 0 {
			return r
		}
	}
	return 0
}

// ofRole is the first tier of a role.
func (p *planner) ofRole(role string) (seat, bool) {
	i := slices.IndexFunc(p.seats, func(s seat) bool { return s.Role == role })
	if i < 0 {
		return seat{}, false
	}
	return p.seats[i], true
}

// forWork is the first tier among these roles, then the primary agent's, that calls tools and has room for such prompts.
func (p *planner) forWork(need int, roles ...string) (seat, bool) {
	var found []seat
	for _, role := range roles {
		if s, ok := p.ofRole(role); ok {
			found = append(found, s)
		}
	}
	found = append(found, p.main)
	i := slices.IndexFunc(found, func(s seat) bool { return s.Tools && s.fits(need) })
	if i < 0 {
		return p.main, false
	}
	return found[i], true
}

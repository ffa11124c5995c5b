package guard

// Guard keeps what one look has to know of those before. It is one goroutine's.
type Guard struct {
	lines Lines
	pace  Pace
}

// New is a guard that has seen nothing yet. The lines have been checked.
func New(l Lines, p Pace) *Guard { return &Guard{lines: l, pace: p} }

// Set gives it other lines and another pace from the next look on.
func (g *Guard) Set(l Lines, p Pace) { g.lines, g.pace = l, p }

// Step is what to do after one look. It does not allocate.
func (g *Guard) Step(f *Facts) Decision {
	return Decision{Tier: -1, Available: f.Available, Level: g.lines.level(f.Available), Next: g.pace.next(f.Available, g.lines.Soft, 0)}
}

package guard

// CopyTo makes another guard the same, so that Order and Would can be asked while this one goes on. It does not allocate.
func (g *Guard) CopyTo(to *Guard) { to.copy(g) }

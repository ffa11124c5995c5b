package agent

// hints is a channel that never makes the giver wait: hints that are not taken become one.
type hints struct{ ch chan bool }

func newHints() hints { return hints{make(chan bool, 1)} }

func (h *hints) give(all bool) {
	for {
		select {
		case h.ch <- all:
			return
		default:
		}
		select {
		case earlier := <-h.ch:
			all = all || earlier
		default:
		}
	}
}

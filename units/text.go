package units

// Text is the unit as `systemctl cat` would show it.
func (u Unit) Text() string { return "# " + u.Name + "\n" }

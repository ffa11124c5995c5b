package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// isTerminal says whether somebody sits at both ends: /dev/null is a character device too.
func isTerminal() bool {
	_, in := unix.IoctlGetTermios(int(os.Stdin.Fd()), unix.TCGETS)
	_, out := unix.IoctlGetTermios(int(os.Stdout.Fd()), unix.TCGETS)
	return in == nil && out == nil
}

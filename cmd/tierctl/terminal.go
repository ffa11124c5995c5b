package main

import (
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/agent/api"
)

// The colours, as SGR escape sequences (ECMA-48); "" leaves text as it is.
const (
	red     = "\x1b[31m"
	green   = "\x1b[32m"
	yellow  = "\x1b[33m"
	blue    = "\x1b[34m"
	magenta = "\x1b[35m"
	cyan    = "\x1b[36m"
	dim     = "\x1b[2m"
	reset   = "\x1b[0m"
)

// terminalSize is the size of w in columns and rows; ok tells that w is a terminal at all. A serial console is one
// that does not tell its size: 0, 0.
func terminalSize(w io.Writer) (columns, rows int, ok bool) {
	f, isFile := w.(*os.File)
	if !isFile {
		return 0, 0, false
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0, false
	}
	return int(size.Col), int(size.Row), true
}

// isTerminal tells whether a person can be asked on f.
func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// colourful tells whether w may get escape sequences: a terminal that can, and no NO_COLOR (https://no-color.org).
func colourful(w io.Writer) bool {
	_, _, ok := terminalSize(w)
	return ok && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// redrawable tells whether lines on w can be drawn over. That needs the size: nobody can go up by lines that may have
// wrapped.
func redrawable(w io.Writer) bool {
	columns, rows, _ := terminalSize(w)
	return columns > 0 && rows > 0 && colourful(w)
}

// paint is a colour where colours are shown.
func (a *app) paint(colour string) string {
	if !colourful(a.stdout) {
		return ""
	}
	return colour
}

func painted(text, paint string) string {
	if paint == "" || text == "" {
		return text
	}
	return paint + text + reset
}

func stateColour(s api.State) string {
	switch s {
	case api.Ready:
		return green
	case api.Starting, api.Draining, api.Stopping:
		return yellow
	case api.Failed, api.Blocked:
		return red
	}
	return dim
}

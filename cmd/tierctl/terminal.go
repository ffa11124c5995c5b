package main

import (
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/agent/api"
)

// The colours, as SGR escape sequences (ECMA-48); "" leaves text as it is.
const (
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	dim    = "\x1b[2m"
	reset  = "\x1b[0m"
)

// terminalWidth is the width of w in columns, or 0 when w is not a terminal.
func terminalWidth(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	if size.Col == 0 {
		return 80 // a serial console does not tell
	}
	return int(size.Col)
}

// fancy tells whether w may get colour and lines that are drawn over: a terminal that can, and no NO_COLOR
// (https://no-color.org).
func fancy(w io.Writer) bool {
	return terminalWidth(w) > 0 && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
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

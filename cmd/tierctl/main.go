// Command tierctl is the command line of tierd. It talks to the daemon through agent/api; `check` and `plan --config`
// work without a daemon, with package units.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/tierd/tierd/agent/api"
)

func main() { os.Exit(newApp().run(os.Args[1:])) }

func newApp() *app {
	return &app{
		stdin:  os.Stdin,
		stdout: os.Stdout,
		stderr: os.Stderr,
		now:    time.Now,
		dial:   func(socket string) control { return api.New(socket) },

		completeWithin: 500 * time.Millisecond, settle: 3 * time.Second,
	}
}

// app is one call of tierctl: where it reads and writes, and what its flags said.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	now            func() time.Time
	dial           func(socket string) control
	root           string // where /etc and /var are, for OpenCode's managed configuration; "": "/", but in tests

	completeWithin time.Duration // how long a Tab may hang when tierd does not answer
	settle         time.Duration // how long a tier's last request may count as in flight: the gateway reports from time to time

	socket string
	format string
	noWait bool

	parsed bool // cobra took the command line: what fails from here on is not a mistake of usage
}

// run does what args ask and returns the exit status.
func (a *app) run(args []string) int {
	// The first Ctrl-C ends the wait in an orderly way; NotifyContext gives the second one back its own effect only
	// after stop, so stop is called as soon as the first has come. SIGTERM keeps its effect: systemd takes a death by
	// it for a clean end of tierd-boot.service, and would not take a status of ours for one.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, stop)

	root := a.rootCommand()
	strictHelp(root)
	a.fitHelp(root)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !a.parsed {
		err = usageFailure(cmd, err)
	}
	a.report(err)
	return exitStatus(err)
}

// Command tierd is the daemon: it turns the process into values, joins the agent to its sockets, and ends without
// touching a tier.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/tierd/tierd/agent"
	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/journal"
)

// version is set by the build: -ldflags "-X main.version=1.2.3".
var version = "development build"

// Exit statuses.
const (
	exitFailed = 1
	exitUsage  = 2
)

// A daemon that is nearly always idle should be small and quiet rather than quick: the heap is a few MiB, and twice of
// that is not worth the processor time that it saves; with more than one processor each event wakes several threads, of
// which all but one find nothing to do. GOGC, GOMEMLIMIT and GOMAXPROCS in the environment still win.
const (
	gcPercent   = 50
	memoryLimit = 16 << 20 // bytes; beyond it the collector works harder, nothing fails
	processors  = 1        // that run Go code at a time; what waits in a system call takes none
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// settings is the command line.
type settings struct {
	control, admit string // paths; "" for the socket that systemd hands over
	guard          string // the same; "": see openGuard
	config         string
	debug          bool
	version        bool
}

func parse(args []string, stderr io.Writer) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("tierd", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, "usage: tierd [-config FILE] [-control PATH -admit PATH [-guard PATH]]\n\n"+
			"The daemon of the model tiers. systemd starts it with its sockets (tierd.socket, tierd-admit.socket);\n"+
			"by hand it makes them where -control and -admit say.\n\n")
		flags.PrintDefaults()
	}
	flags.StringVar(&s.config, "config", "/etc/tierd/tiers.toml", "the tiers, in `FILE`")
	flags.StringVar(&s.control, "control", "", "listen for clients on `PATH`, not on the socket from systemd")
	flags.StringVar(&s.admit, "admit", "", "listen for starting tiers on `PATH`, not on the socket from systemd")
	flags.StringVar(&s.guard, "guard", "", "listen for tier-guard on `PATH`; left out: "+api.GuardSocket+", or nowhere with -control")
	flags.BoolVar(&s.debug, "debug", false, "log what is of use to developers as well")
	flags.BoolVar(&s.version, "version", false, "print the version and end")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		err := fmt.Errorf("unknown argument %q: tierd takes options only", flags.Arg(0))
		fmt.Fprintf(stderr, "tierd: %v\n", err)
		return s, err
	}
	return s, nil
}

func run(args []string, stdout, stderr io.Writer) int {
	s, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return exitUsage
	case s.version:
		fmt.Fprintf(stdout, "tierd %s\n", version)
		return 0
	}
	stayQuiet()
	// Before the sockets are there: who sees them may end tierd, and then they are to go.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	sockets, err := openSockets(s)
	if err != nil {
		fmt.Fprintf(stderr, "tierd: %v\n", err)
		return exitUsage
	}
	defer func() { sockets.close() }()
	log := journal.New(stderr, s.debug, journal.Under())
	if sockets.guard, err = openGuard(s); err != nil {
		log.Error("tier-guard will not be heard", "err", err)
	}

	bus := agent.NewSystemd(log)
	defer bus.Close()
	kernel := agent.NewKernel("/")
	d := daemon{
		core: agent.New(agent.Options{
			Systemd:    bus,
			Log:        log,
			ConfigPath: s.config,
			Version:    version,
			Host:       agent.HostReader("/", bus, kernel),
			Kernel:     kernel,
			FS:         os.DirFS("/"),
			StateDir:   os.Getenv("STATE_DIRECTORY"), // from systemd; by hand nothing is kept
			RunDir:     "/run/tierd",
			Root:       "/",
		}),
		log:     log,
		notify:  newNotifier(log),
		sockets: sockets,
		hangup:  hangup,
		root:    "/",
	}
	if err := d.run(ctx); err != nil {
		log.Error("tierd ends: what runs goes on", "err", err)
		return exitFailed
	}
	return 0
}

func stayQuiet() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(processors)
	}
}

// Command tier-gateway is the unprivileged HTTP process between clients and engines: it joins agent/gateway to tierd.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/gateway"
	"github.com/tierd/tierd/agent/journal"
)

// processors is how many threads run Go code at a time. What a request costs are system calls and not Go code, and with a
// second processor the runtime looks for work there each time that one waits: a tenth of the CPU time of a request that comes
// alone. One is good for 37,000 requests a second (docs/bench.md), a hundred times what models answer, on a machine whose
// other cores are for these. GOMAXPROCS in the environment still wins.
const processors = 1

func main() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(processors)
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// options are the flags.
type options struct {
	control, folder string
	reload, debug   bool
	stop, retire    time.Duration
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("tier-gateway", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.control, "control", api.ControlSocket, "tierd's `socket`")
	f.StringVar(&o.folder, "runtime", os.Getenv("RUNTIME_DIRECTORY"), "`directory` of the socket for -reload")
	f.BoolVar(&o.reload, "reload", false, "have the running gateway hand over to a fresh process of the binary on disk, and wait for it")
	f.BoolVar(&o.debug, "debug", false, "log every error that a client gets")
	f.DurationVar(&o.stop, "stop-timeout", 30*time.Second, "how long requests in flight may take after SIGTERM")
	f.DurationVar(&o.retire, "reload-timeout", 15*time.Minute, "how long they may take in the old process after a reload")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		err := fmt.Errorf("tier-gateway takes no arguments, got %q", f.Args())
		fmt.Fprintln(stderr, err)
		return o, err
	}
	return o, nil
}

// run returns the exit status: 0 after a stop or a handover, 1 when it could not serve, 2 for wrong usage.
func run(args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case o.reload:
		err = askReload(filepath.Join(o.folder, reloadName))
	default:
		err = serve(o, stderr)
	}
	if err != nil {
		fmt.Fprintln(stderr, "tier-gateway:", err)
		return 1
	}
	return 0
}

// serve runs the gateway with what the service manager or a predecessor left in the environment.
func serve(o options, stderr io.Writer) error {
	log := journal.New(stderr, o.debug, journal.Under())
	inherited, err := gateway.Inherit(os.Getenv, os.Getpid())
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	reloads := make(chan chan<- error)
	reload := &reloader{log: log, wishes: reloads, ended: make(chan struct{})}
	if o.folder != "" {
		if err := reload.listen(filepath.Join(o.folder, reloadName), inherited); err != nil {
			return err
		}
	}
	defer reload.finish()
	go hangups(ctx, reload)
	tierd := api.New(o.control)
	return gateway.New(gateway.Config{
		Control:     tierd,
		Overview:    tierd,
		Log:         log,
		Notify:      &gateway.Notifier{Address: os.Getenv("NOTIFY_SOCKET")},
		Inherited:   inherited,
		Reload:      reloads,
		StopBound:   o.stop,
		RetireBound: o.retire,
		Spawn:       reload.spawn,
	}).Run(ctx)
}

// hangups turns SIGHUP into a reload; what comes of it is in the log.
func hangups(ctx context.Context, reload *reloader) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
			_ = reload.handOver()
		}
	}
}

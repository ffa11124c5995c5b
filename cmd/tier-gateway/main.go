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
	"syscall"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/gateway"
	"github.com/tierd/tierd/agent/journal"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// options are the flags.
type options struct {
	control, runtime string
	reload, debug    bool
	stop, retire     time.Duration
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("tier-gateway", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.control, "control", api.ControlSocket, "tierd's `socket`")
	f.StringVar(&o.runtime, "runtime", os.Getenv("RUNTIME_DIRECTORY"), "`directory` of the socket for -reload")
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
		err = askReload(filepath.Join(o.runtime, reloadName))
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
	if o.runtime != "" {
		if err := reload.listen(filepath.Join(o.runtime, reloadName), inherited); err != nil {
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

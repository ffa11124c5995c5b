// Command tier-guard is the small process, locked in memory, that has a tier give way when memory runs out: it reads, acts and
// proves, agent/guard decides.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/tierd/tierd/agent/guard"
	"github.com/tierd/tierd/agent/journal"
	"golang.org/x/sys/unix"
)

// version is set by the build: -ldflags "-X main.version=1.2.3".
var version = "development build"

// Exit statuses.
const (
	exitFailed = 1
	exitUsage  = 2
)

// The heap is locked, so it is kept small: it is a few hundred KiB, and collected at one MiB. The hot goroutine allocates
// nothing and so takes no part in that; a second processor is there so that it need not wait for others.
const (
	gcPercent  = 25 // of the 4 MiB at which Go would begin to collect
	processors = 2
)

func main() {
	if kind := os.Getenv(childVar); kind != "" {
		beChild(kind)
		return
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run returns the exit status: 0 after SIGTERM, 1 when it cannot watch the host, 2 for wrong usage.
func run(args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return exitUsage
	case o.version:
		fmt.Fprintf(stdout, "tier-guard %s\n", version)
		return 0
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	log := journal.New(stderr, o.debug, journal.Under())
	stayInMemory(log)
	if err := watch(ctx, o, log, dialNotify(os.Getenv, os.Getpid())); err != nil {
		fmt.Fprintf(stderr, "tier-guard: %v\n", err)
		return exitFailed
	}
	return 0
}

// stayInMemory locks what the process has and what it will get, each page from when it is first used: Go maps far more than
// it uses. Without the right to, the guard goes on, and says that it is not armed.
func stayInMemory(log *slog.Logger) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(processors)
	}
	if err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT); err != nil {
		log.Warn("cannot lock its memory", "err", err)
	}
}

// watch runs the guard's threads until ctx ends.
func watch(ctx context.Context, o options, log *slog.Logger, notify *notifier) error {
	defer notify.close()
	h, err := openHost(o.root)
	if err != nil {
		return err
	}
	defer h.close()
	f := newFacts()
	first := &table{stale: true}
	if !h.look(f, first) {
		return fmt.Errorf("cannot read how much memory there is from %sproc/meminfo", o.root)
	}
	first.lines, first.pace = o.over(nil, f.Total)
	if err := first.lines.Check(f.Total); err != nil {
		return err
	}
	trace, err := openTrace(o.trace)
	if err != nil {
		return err
	}
	hot := newHot(h, first, notify)
	hot.trace = trace
	k := &keeper{
		ctx: ctx, log: log, opts: o, total: f.Total, hot: hot, link: newLink(o.socket), notify: notify, proof: newProof(o.root),
		kept: kept{dir: o.state}, table: first, silent: true, quiet: time.Now(), complained: map[string]string{}, started: time.Now(),
	}
	log.Info("watching", "soft", guard.Size(first.lines.Soft), "hard", guard.Size(first.lines.Hard), "memory", guard.Size(f.Total), "dry_run", first.pace.DryRun)
	k.recall()
	notify.send("READY=1", "STATUS=Trying out whether it could act")
	k.runAll()
	return nil
}

// newFacts has room for all tiers that there may be.
func newFacts() *guard.Facts { return &guard.Facts{Tiers: make([]guard.TierFacts, guard.MaxTiers)} }

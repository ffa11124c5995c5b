// Command tier-shim is the main process of every tier's unit. `tier-shim run` asks tierd for admission, starts the
// engine, tells systemd how the load goes, says READY when the engine has answered a real request, feeds the watchdog
// while it goes on answering, and translates its end into an exit status and one sentence. `tier-shim remote` serves a
// tier by forwarding to an HTTPS server.
//
// It imports the standard library and golang.org/x/sys alone: it runs in the engine's sandbox and stays resident beside
// every model, so it is kept small.
package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr, os.Environ())) }

// run is main with its surroundings as values. It returns the exit status of the process.
func run(args []string, stdout, stderr io.Writer, env []string) int {
	return runIn(ownCgroup(), args, stdout, stderr, env)
}

// runIn is run in a control group.
func runIn(group cgroup, args []string, stdout, stderr io.Writer, env []string) int {
	runtime.GOMAXPROCS(2) // a thread per core of a 32-core host would be all stacks and no use
	opts, err := parseOptions(args)
	if err != nil {
		fmt.Fprintf(stderr, "tier-shim: %v\n", err)
		return statusOf[classConfiguration]
	}
	note := dialNotify(lookup(env, "NOTIFY_SOCKET"))
	defer note.close()
	stop := catchStop()
	defer stop.release()

	shim := &shim{opts: opts, env: env, stdout: stdout, stderr: stderr, note: note, stop: stop, cgroup: group}
	var last *end
	if opts.mode == "remote" {
		debug.SetGCPercent(50)
		last = shim.remote()
	} else {
		debug.SetGCPercent(20) // the live heap is a few hundred KiB; Go's default would let it grow to 4 MiB first
		last = shim.supervise()
	}
	// The sentence is the last STATUS= of the unit. No barrier is needed behind it: systemd handles what is queued on
	// its notification socket before it reaps a child (priority of the event sources in manager.c).
	note.send("STATUS=" + last.text)
	shim.say("%s", last.text)
	return last.status
}

// shim is one run: what was asked for, and the process's surroundings.
type shim struct {
	opts   options
	env    []string
	stdout io.Writer
	stderr io.Writer
	note   *notifier
	stop   *stopSignals
	cgroup cgroup

	journal journal
}

// say writes one line of the shim's own to the journal, beside the engine's lines.
func (s *shim) say(format string, args ...any) {
	s.journal.sentence(s.stderr, fmt.Sprintf("tier-shim: "+format+"\n", args...))
}

// status shows one line in `systemctl status`.
func (s *shim) status(text string) { s.note.send("STATUS=" + text) }

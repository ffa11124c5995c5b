// guest is the bench's program in the VM: it runs one scenario under one guard and records what was to be seen. It stands for
// tierd as well, since a guard is told by tierd which tiers there are.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/packaging/guardbench/trial"
)

func main() { os.Exit(run(os.Args[1:])) }

// run takes a trial.Run in JSON and the file for the trial.Record.
func run(args []string) int {
	if len(args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: guest RUN FILE")
		return 2
	}
	if err := record(args[0], args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
		return 1
	}
	return 0
}

func record(order, file string) error {
	var r trial.Run
	if err := json.Unmarshal([]byte(order), &r); err != nil {
		return err
	}
	if err := standAside(); err != nil {
		return err
	}
	t, err := newAttempt(r)
	if err != nil {
		return err
	}
	out, err := t.run()
	if err != nil {
		return err
	}
	text, err := json.Marshal(out)
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o644)
}

// standAside keeps this process out of what it measures: nobody takes it for a victim, it never waits for memory, and it does
// not collect garbage.
func standAside() error {
	debug.SetGCPercent(-1)
	if err := os.MkdirAll(benchDir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile("/proc/self/oom_score_adj", []byte("-1000"), 0); err != nil {
		return err
	}
	if err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT); err != nil {
		return fmt.Errorf("cannot lock memory: %w", err)
	}
	return nil
}

// benchDir holds the pages, the program memory, and the socket of the one that stands for tierd.
const benchDir = "/run/bench"

func benchPath(name string) string { return filepath.Join(benchDir, name) }

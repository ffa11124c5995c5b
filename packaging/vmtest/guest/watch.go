package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// watch looks at the host again and again, until it is told to stop by SIGTERM, and writes JSON lines to a file: each
// change of a unit's state and each violation when it begins, and last a summary, which goes to stdout as well.
func watch(args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("watch", flag.ContinueOnError)
	tiers := flags.String("tiers", "", "tiers and their charges in bytes: orch=352321536,coder=352321536")
	engine := flags.String("engine", "llama-server", "name of an engine's process")
	every := flags.Duration("every", 50*time.Millisecond, "time between samples")
	out := flags.String("out", "", "file for the JSON lines")
	var l limits
	flags.Int64Var(&l.Reserve, "reserve", 0, "bytes that have to stay available")
	flags.Int64Var(&l.Budget, "budget", 0, "bytes that all tiers together may take")
	if err := flags.Parse(args); err != nil {
		return err
	}
	charges, err := parseCharges(*tiers)
	if err != nil {
		return err
	}
	file, err := os.Create(*out)
	if err != nil {
		return err
	}
	m, err := dialManager(managerSocket)
	if err != nil {
		return err
	}
	if err := comeFirst(); err != nil {
		return err
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, os.Interrupt, syscall.SIGTERM)
	var known states
	lost := make(chan error, 1)
	go func() { lost <- known.follow(m.state, *every) }()
	s := &sampler{root: "/", tiers: charges, engine: *engine, state: known.of}
	r := newRecord(l, json.NewEncoder(file))
	tick := time.NewTicker(*every)
	for {
		one, err := s.read()
		if err == nil {
			err = r.add(time.Now(), one)
		}
		if err != nil {
			return errors.Join(err, file.Close())
		}
		select {
		case <-tick.C:
		case err := <-lost:
			return errors.Join(err, file.Close())
		case <-ended:
			return errors.Join(r.end(), file.Close(), json.NewEncoder(stdout).Encode(r.Summary))
		}
	}
}

// parseCharges reads "orch=352321536,coder=352321536".
func parseCharges(text string) (map[string]int64, error) {
	charges := map[string]int64{}
	for word := range strings.SplitSeq(text, ",") {
		tier, number, _ := strings.Cut(word, "=")
		bytes, err := strconv.ParseInt(number, 10, 64)
		if err != nil || tier == "" || bytes <= 0 {
			return nil, fmt.Errorf("%q is no tier with a charge in bytes, such as orch=352321536", word)
		}
		charges[tier] = bytes
	}
	return charges, nil
}

// comeFirst lets nothing that is watched starve or kill the one that watches. The goroutine stays on the thread that comes
// before all others.
func comeFirst() error {
	runtime.LockOSThread()
	realTime := &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: 10}
	if err := unix.SchedSetAttr(0, realTime, 0); err != nil {
		return fmt.Errorf("cannot come before other processes: %w", err)
	}
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, -20); err != nil { // for the runtime's other threads
		return err
	}
	return os.WriteFile("/proc/self/oom_score_adj", []byte("-1000"), 0o644)
}

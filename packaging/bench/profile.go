package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// profile gives the gateway each phase once more and leaves a CPU profile of each in dir. The gateway has to be one that
// was built with -tags profile.
func profile(w io.Writer, r *rig, dir string, phases []phase) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	written := filepath.Join(r.dir, "profile")
	// The gateway inherits it.
	if err := os.Setenv("TIER_GATEWAY_PROFILE", written); err != nil {
		return err
	}
	g, err := r.freshGateway()
	if err != nil {
		return err
	}
	for _, p := range phases {
		j := p.job
		j.Address = r.tierd.address()
		err := toggle(g, written+".part")
		if err == nil {
			_, err = r.client.do(j)
		}
		if err := errors.Join(err, toggle(g, written)); err != nil {
			return fmt.Errorf("profile of %s: %w", p.name, err)
		}
		name := filepath.Join(dir, strings.ReplaceAll(p.name, " ", "-")+".pprof")
		if err := move(written, name); err != nil {
			return err
		}
		fmt.Fprintf(w, "profile: go tool pprof -top %s\n", name)
	}
	return nil
}

// toggle begins or ends a profile and waits for the file that shows it.
func toggle(g *process, path string) error {
	if err := g.Process.Signal(syscall.SIGUSR1); err != nil {
		return err
	}
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
	}
	return errors.New("the gateway writes none: it has to be built with -tags profile")
}

// move works between file systems, too.
func move(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(to, data, 0o644), os.Remove(from))
}

package agent

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
)

// keeper writes a file of a directory of tierd's beside the loop, one writer at a time. It belongs to the loop.
type keeper struct {
	busy bool
	next func(dir string) error // what is to be written after that
}

// keep writes a file into a directory, or replaces what waits to be written there.
func (a *Agent) keep(k *keeper, dir, what string, write func(dir string) error) {
	if dir == "" {
		return
	}
	if k.busy {
		k.next = write
		return
	}
	k.busy = true
	a.spawn(func(context.Context) {
		err := write(dir)
		a.post(func() {
			k.busy = false
			if err != nil {
				a.opts.Log.Warn("cannot keep "+what+" for the next start", "err", err)
			}
			if next := k.next; next != nil {
				k.next = nil
				a.keep(k, dir, what, next)
			}
		})
	})
}

// replaceFile writes a value as JSON in one step: who reads sees the old file or the new one.
func replaceFile(dir, name string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path+".new", text, 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

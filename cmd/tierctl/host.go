package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/rocm"
)

func (a *app) hostCommand() *cobra.Command {
	var root, record string
	cmd := &cobra.Command{
		Use:   "host",
		Short: "Show what this machine is, as tierd sees it",
		Long: `Show what the kernel says of this machine: CPU, memory, swap and pressure, the GPUs with
the pool that models are loaded into and why that one, kernel parameters, temperature
and power, and which processes hold GPU memory. What could not be read is listed at the
end.

tierd is asked, since it may look into every process. When it does not answer, tierctl
looks by itself: without root, GPU processes of other users are then missing.

With --record, what was read is written into a file that --root takes, here or
elsewhere: to look at it later, or to attach it to a report. It holds the names of
processes that use a GPU, but no command line or environment of a process.`,
		Example: `  tierctl host
  sudo tierctl host --record host.tar.gz
  tierctl host --root host.tar.gz --format json`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if record != "" {
				return a.recordHost(cmd.Context(), root, record)
			}
			s, err := a.snapshot(cmd.Context(), root)
			if err != nil {
				return err
			}
			if a.format == formatJSON {
				return a.writeJSON(s)
			}
			a.printHost(s)
			return nil
		},
	}
	rootFlag(cmd, &root)
	cmd.Flags().StringVar(&record, "record", "", "write what was read into this file, for --root")
	return cmd
}

// snapshot looks at the host that root names; "" is this one, as tierd sees it if it answers.
func (a *app) snapshot(ctx context.Context, root string) (rocm.Snapshot, error) {
	if root == "" {
		s, err := a.daemonSnapshot(ctx)
		if err == nil || !isKind(err, api.KindUnavailable) {
			return s, err
		}
		fmt.Fprintf(a.stderr, "tierd does not answer; this is what the user %s may see.\n", userName())
		root = "/"
	}
	h, err := openHost(root)
	if err != nil {
		return rocm.Snapshot{}, err
	}
	return h.look(ctx)
}

func (a *app) daemonSnapshot(ctx context.Context) (rocm.Snapshot, error) {
	var s rocm.Snapshot
	text, err := a.client().Host(ctx)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("cannot read what tierd says of the host (is it of another version?): %w", err)
	}
	return s, nil
}

// recordHost writes a recording, and reads it again, which shows that it can be and what is missing in it.
func (a *app) recordHost(ctx context.Context, root, file string) error {
	if root == "" {
		root = "/"
	}
	switch host, err := openHost(root); {
	case err != nil:
		return err
	case host.files == nil:
		return &failure{status: exitUsage, message: root + " is a recording already"}
	}
	var data bytes.Buffer
	if err := rocm.Record(ctx, root, &data); err != nil {
		return err
	}
	h, err := rocm.OpenRecording(bytes.NewReader(data.Bytes()))
	if err != nil {
		return fmt.Errorf("cannot read the recording again: %w", err)
	}
	s, err := hostSource{root: root, reader: h}.look(ctx)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, data.Bytes(), 0o644); err != nil {
		return fmt.Errorf("cannot write the recording: %w", err)
	}
	if a.format == formatJSON {
		return a.writeJSON(recorded{File: file, Bytes: data.Len(), GPUs: len(s.GPUs), Clients: len(s.Clients), Complete: s.ClientsComplete})
	}
	fmt.Fprintf(a.stdout, "Recorded %s and %s in %s (%s).\n", count(len(s.GPUs), "GPU"), countProcesses(len(s.Clients)), file, size(uint64(data.Len())))
	if why := unseenClients(s); why != "" {
		say(a.stderr, 2, warning(why))
	}
	return nil
}

// unseenClients says that GPU processes may be missing in a snapshot of this machine, and why; "" when none is.
func unseenClients(s rocm.Snapshot) string {
	switch {
	case s.ClientsComplete:
		return ""
	case os.Geteuid() != 0:
		return "GPU processes of other users are missing in it: record it as root, with sudo"
	}
	return "not every process could be looked into, so some that use a GPU may be missing in it"
}

// recorded is what `tierctl host --record --format json` prints.
type recorded struct {
	File     string `json:"file"`
	Bytes    int    `json:"bytes"`
	GPUs     int    `json:"gpus"`
	Clients  int    `json:"clients"`  // processes that use a GPU
	Complete bool   `json:"complete"` // every process could be looked into
}

func countProcesses(n int) string {
	if n == 1 {
		return "1 process that uses them"
	}
	return fmt.Sprintf("%d processes that use them", n)
}

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

func (a *app) guardTraceCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "trace [FILE]",
		Short: "Save the guard's last looks at the host, and what it decided",
		Long: `Save what the guard saw at its last looks and what it decided each time, one JSON object a
line, in FILE or on standard output. tierctl guard replay reads it, on any machine. It
holds names of tiers and figures, nothing else.`,
		Example: `  tierctl guard trace trace.jsonl
  tierctl guard trace | tail -n 1 | jq .`,
		Args: takes(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			file := ""
			if len(args) > 0 {
				file = args[0]
			}
			return a.saveTrace(cmd.Context(), file)
		},
	}
}

func (a *app) saveTrace(ctx context.Context, file string) error {
	lines, err := a.client().GuardTrace(ctx)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	for _, line := range lines {
		text.Write(line)
		text.WriteByte('\n')
	}
	if file == "" {
		_, err = a.stdout.Write(text.Bytes())
		return err
	}
	if err := os.WriteFile(file, text.Bytes(), 0o644); err != nil {
		return fmt.Errorf("cannot write the trace: %w", err)
	}
	fmt.Fprintf(a.stderr, "Wrote %s to %s.\n", count(len(lines), "line"), file)
	return nil
}

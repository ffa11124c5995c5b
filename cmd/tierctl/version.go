package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

// version is set by the build: -ldflags "-X main.version=1.2.3".
var version = "development build"

// versions is what `tierctl version --format json` prints; Daemon is "" when tierd does not answer.
type versions struct {
	Client string `json:"tierctl"`
	Daemon string `json:"tierd,omitempty"`
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Show the versions of tierctl and of tierd",
		Long:    "Show the version of tierctl, and that of the running tierd when it answers. They\ndiffer for as long as an upgrade has not restarted tierd.",
		Example: `  tierctl version`,
		Args:    takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
			defer cancel()
			v := versions{Client: version}
			if status, err := a.client().Status(ctx); err == nil {
				v.Daemon = status.Version
			}
			if a.format == formatJSON {
				return a.writeJSON(v)
			}
			fmt.Fprintf(a.stdout, "tierctl %s\n", v.Client)
			if v.Daemon != "" {
				fmt.Fprintf(a.stdout, "tierd %s\n", v.Daemon)
			}
			return nil
		},
	}
}

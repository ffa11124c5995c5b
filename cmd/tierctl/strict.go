package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// strictHelp has `tierctl help X` and `tierctl completion X` fail for an X that there is not: cobra's own print the general help
// then, with status 0.
func strictHelp(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		switch c.Name() {
		case "help":
			show := c.Run
			c.Run = nil
			c.RunE = func(cmd *cobra.Command, args []string) error {
				if found, rest, err := root.Find(args); err != nil || len(rest) > 0 && found.HasSubCommands() {
					return noTopic(found, rest)
				}
				show(cmd, args)
				return nil
			}
		case "completion":
			c.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		}
	}
}

// noTopic is the error for the first of names, which the command has not.
func noTopic(cmd *cobra.Command, names []string) error {
	return &failure{
		status:  exitUsage,
		message: fmt.Sprintf("there is no command %q, and no such topic", names[0]),
		hint:    nearCommands(cmd, names[0], "tierctl help"),
	}
}

package main

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/units"
)

const rootHelp = `tierctl controls tierd: language models as systemd units ("tiers") on one machine.

Tiers are started, stopped and switched here or with systemctl; both see the same
units. Reading is open to every local user; changing anything takes root or one of
the groups tierd, sudo and wheel.`

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "tierctl COMMAND",
		Short:         "Control the model tiers of this machine",
		Long:          rootHelp,
		SilenceErrors: true,
		SilenceUsage:  true,
		Example: `  tierctl up full          start the tiers of the mode "full", with progress
  tierctl status           what runs, and why something does not
  tierctl switch-orch llama`,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkFormat(a.format); err != nil {
				return err
			}
			a.parsed = true
			return nil
		},
	}
	root.DisableSuggestions = true // usageFailure makes them
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.AddGroup(
		&cobra.Group{ID: groupLook, Title: "Look:"},
		&cobra.Group{ID: groupChange, Title: "Change what runs:"},
		&cobra.Group{ID: groupConfig, Title: "Configuration:"},
		&cobra.Group{ID: groupClient, Title: "Clients and models:"},
	)
	flags := root.PersistentFlags()
	flags.StringVar(&a.socket, "socket", cmp.Or(os.Getenv("TIERD_SOCKET"), api.ControlSocket),
		"tierd's control socket; $TIERD_SOCKET sets it too")
	flags.Lookup("socket").DefValue = api.ControlSocket // help must not depend on the environment
	flags.StringVar(&a.format, "format", formatText, "text, or json: the result as the control API gives it")
	_ = root.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))

	for _, group := range a.groups() {
		for _, c := range group.commands {
			c.GroupID = group.id
			root.AddCommand(c)
		}
	}
	root.AddCommand(a.versionCommand(), a.manCommand(), exitStatusTopic())
	allAlike(root)
	return root
}

const (
	groupLook   = "look"
	groupChange = "change"
	groupConfig = "config"
	groupClient = "client"
)

type commandGroup struct {
	id       string
	commands []*cobra.Command
}

func (a *app) groups() []commandGroup {
	return []commandGroup{
		{groupLook, []*cobra.Command{
			a.statusCommand(), a.healthCommand(), a.logsCommand(), a.eventsCommand(), a.changesCommand(),
			a.budgetCommand(), a.hostCommand(), a.guardCommand(), a.notifyCommand(), a.doctorCommand(),
		}},
		{groupChange, []*cobra.Command{
			a.upCommand(), a.downCommand(), a.startCommand(), a.stopCommand(), a.restartCommand(),
			a.switchCommand(), a.switchOrchCommand(), a.abortCommand(),
		}},
		{groupConfig, []*cobra.Command{a.checkCommand(), a.planCommand(), a.reloadCommand(), a.keyCommand()}},
		{groupClient, []*cobra.Command{
			a.opencodeCommand(),
			a.importCommand(),
			a.benchCommand(),
			a.pullCommand(),
		}},
	}
}

// exitStatusTopic has nothing to run, so cobra shows it as a topic of `tierctl help`.
func exitStatusTopic() *cobra.Command {
	return &cobra.Command{Use: "exit-status", Short: "What the exit statuses mean", Long: exitStatusHelp()}
}

func checkFormat(format string) error {
	if !slices.Contains(formats, format) {
		return fmt.Errorf("unknown format %q: it is one of %s", format, strings.Join(formats, ", "))
	}
	return nil
}

// usageFailure says what is wrong with a command line, and where help is.
func usageFailure(cmd *cobra.Command, err error) error {
	f := &failure{status: exitUsage, message: err.Error(), hint: cmd.CommandPath() + " --help"}
	var name string
	if _, scanErr := fmt.Sscanf(f.message, "unknown command %q", &name); scanErr == nil {
		f.message = fmt.Sprintf("there is no command %q", name)
		f.hint = nearCommands(cmd, name, f.hint)
	}
	return f
}

// nearCommands is the hint with the commands in front that the name is a slip of, the nearest first.
func nearCommands(cmd *cobra.Command, name, hint string) string {
	near := cmd.SuggestionsFor(name)
	if len(near) == 0 {
		return hint
	}
	slices.SortStableFunc(near, func(a, b string) int { return units.Distance(name, a) - units.Distance(name, b) })
	return "did you mean " + strings.Join(near, " or ") + "? " + hint + " shows all"
}

// allAlike sets what holds for every command: slips of two letters are recognised, and the shell offers file names only
// where the usage names a FILE.
func allAlike(cmd *cobra.Command) {
	cmd.SuggestionsMinimumDistance = 2
	if cmd.ValidArgsFunction == nil && !strings.Contains(cmd.Use, "FILE") {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	for _, c := range cmd.Commands() {
		allAlike(c)
	}
}

// takes bounds the number of arguments; most < 0: no upper bound. One too many for a command with others below it is a
// misspelt one of those, which usageFailure offers.
func takes(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if most == 0 && len(args) > 0 && cmd.HasAvailableSubCommands() {
			return fmt.Errorf("unknown command %q", args[0])
		}
		if len(args) < least || most >= 0 && len(args) > most {
			return fmt.Errorf("wrong number of arguments (%d): usage is %s", len(args), cmd.UseLine())
		}
		return nil
	}
}

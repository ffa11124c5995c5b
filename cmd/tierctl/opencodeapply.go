package main

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tierd/tierd/agent/opencode"
)

func (a *app) opencodeApplyCommand() *cobra.Command {
	var w opencodeWish
	var force, yes bool
	cmd := &cobra.Command{
		Use:     "apply",
		Aliases: []string{"install"},
		Short:   "Write OpenCode's configuration, after showing the diff",
		Long: `Show what is to be written as a unified diff, ask, and write it: all files, or none. What
was there is kept, and tierctl opencode undo brings it back. A second apply of the same
writes nothing.

It refuses where a file of yours is in the way, where one that it wrote has been edited,
where a directory is a link, perhaps into a repository of dotfiles, where OpenCode could
not start for a fault in another of its files, and where a tier is too small to work.
--force replaces a file that is in the way or was edited; undo brings that back, too.

Without a terminal to ask on it takes --yes.`,
		Example: `  tierctl opencode apply
  tierctl opencode apply --with-omo --yes
  tierctl opencode apply --key-file ~/.config/tierd/key
  sudo tierctl opencode apply --managed`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.applyOpencode(cmd, w, force, yes) },
	}
	w.placeFlags(cmd)
	w.planFlags(cmd)
	cmd.Flags().BoolVar(&force, "force", false, "replace a file that is in the way, or was edited; it is kept for undo")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

func (a *app) applyOpencode(cmd *cobra.Command, w opencodeWish, force, yes bool) error {
	p, c, plan, err := a.opencodeLook(cmd, w)
	if err != nil {
		return err
	}
	a.sayFindings(p, plan)
	if err := c.Against(force); err != nil {
		return a.withDiffs(err)
	}
	if c.Needed() {
		a.printChanges(a.stderr, c)
		fmt.Fprintln(a.stderr)
		if err := a.confirm(yes, "tierctl opencode apply --yes", "nothing was written"); err != nil {
			return err
		}
	}
	if err := opencode.Apply(p, c, force); err != nil {
		return notYours(err)
	}
	if a.format == formatJSON {
		err = a.writeJSON(opencodeResultOf(p, c, plan, false))
	} else {
		a.printApplied(c)
	}
	a.sayNext(p, c)
	return err
}

// notYours says what helps where a file or folder may not be read or written. The system's word for it says no more than that.
func notYours(err error) error {
	var no *opencode.Refused
	var f *failure
	switch {
	case errors.As(err, &no), errors.As(err, &f):
		return err
	case errors.Is(err, fs.ErrPermission):
		return &failure{status: exitFailed, message: err.Error(), hint: "it has to be yours, and for you to read and write (chown, chmod u+rwX); nothing was written"}
	case errors.Is(err, syscall.EROFS):
		return &failure{status: exitFailed, message: err.Error(), hint: "name a file elsewhere by --to, and a folder for what is kept by XDG_STATE_HOME; nothing was written"}
	}
	return err
}

// withDiffs shows what others have changed, which the errors speak of.
func (a *app) withDiffs(err error) error {
	for _, e := range parts(err) {
		var no *opencode.Refused
		if errors.As(e, &no) && no.Diff != "" {
			fmt.Fprintln(a.stderr, no.Diff)
		}
	}
	return err
}

func (a *app) printApplied(c opencode.Changes) {
	for _, f := range c.Files {
		switch f.Action {
		case opencode.ActionSame:
			fmt.Fprintf(a.stdout, "%s is as it should be.\n", f.Path)
		case opencode.ActionRemove:
			fmt.Fprintf(a.stdout, "%s is as it was before.\n", f.Path)
		default:
			fmt.Fprintf(a.stdout, "Wrote %s.\n", f.Path)
		}
	}
}

// sayNext says what it takes until OpenCode works with what was written.
func (a *app) sayNext(p opencode.Place, c opencode.Changes) {
	if v := p.Variable(); v != "" {
		fmt.Fprintf(a.stderr, "OpenCode finds it with this in its environment: %s\n", v)
	}
	if a.opencodeEnv().Program() == "" {
		fmt.Fprintln(a.stderr, "OpenCode is not installed: the configuration waits for it.")
	} else if c.Needed() {
		fmt.Fprintln(a.stderr, "Sessions of OpenCode that run have the old one: it is read at their start.")
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/opencode"
)

// The exit statuses. 130 is what a shell makes of a process that SIGINT ended.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitNotReady    = 3
	exitForbidden   = 4
	exitUnreachable = 5
	exitRefused     = 6
	exitInterrupted = 130
)

// meanings is the table of `tierctl help exit-status` and of the manual page, a line for each case of a status.
var meanings = []struct {
	status int
	cases  []string
}{
	{exitDone, []string{"done"}},
	{exitFailed, []string{"failed: the message says what could not be done"}},
	{exitUsage, []string{"wrong usage: unknown command or flag, or no such tier, variant, mode or change"}},
	{exitNotReady, []string{
		"health: something asked about is not ready",
		"doctor: something is wrong, an error or a warning",
		"guard: it is wanted and not armed",
		"guard test: it is not armed, or turned off",
		"opencode verify: something is not as it should be",
	}},
	{exitForbidden, []string{"not permitted: changing anything takes root or one of the groups tierd, sudo, wheel"}},
	{exitUnreachable, []string{"tierd does not answer"}},
	{exitRefused, []string{"refused by the memory budget: it does not fit"}},
	{exitInterrupted, []string{"interrupted while it waited; a change that was begun goes on"}},
}

// kindStatus gives each kind of error its exit status.
var kindStatus = map[api.ErrorKind]int{
	api.KindBadRequest:  exitUsage,
	api.KindForbidden:   exitForbidden,
	api.KindNotFound:    exitUsage,
	api.KindConflict:    exitFailed,
	api.KindBudget:      exitRefused,
	api.KindConfig:      exitFailed,
	api.KindUnit:        exitFailed,
	api.KindAborted:     exitFailed,
	api.KindUnavailable: exitUnreachable,
	api.KindInternal:    exitFailed,
	api.KindMethod:      exitFailed, // tierctl sends neither, unless it is of another version than tierd
	api.KindTooLarge:    exitFailed,
}

// forbiddenHint is the remedy for a refusal that arrives without one.
const forbiddenHint = "use sudo, or join the group tierd: sudo usermod -aG tierd $USER, then log in again"

// failure is an error of tierctl's own, with its exit status.
type failure struct {
	status  int
	message string
	hint    string
}

func (f *failure) Error() string { return f.message }

// exitStatus is that of the first of the errors that err joins.
func exitStatus(err error) int {
	if err == nil {
		return exitDone
	}
	err = parts(err)[0]
	var own *failure
	var sent *api.Error
	var no *opencode.Refused
	switch {
	case errors.As(err, &own):
		return own.status
	case errors.As(err, &no) && no.Forbidden:
		return exitForbidden
	case errors.As(err, &sent):
		// A start that admission refused is a failed unit for systemd; for the user it is the budget's answer.
		if sent.Class == api.ClassRefused {
			return exitRefused
		}
		if status, ok := kindStatus[sent.Kind]; ok {
			return status
		}
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	}
	return exitFailed
}

// report writes each of the errors that err joins: what could not be done, then what to try on a line of its own.
func (a *app) report(err error) {
	if err == nil {
		return
	}
	said := map[string]bool{}
	for _, e := range parts(err) {
		message, hint := describe(e)
		if said[message] {
			continue // two tiers that failed for one reason
		}
		said[message] = true
		for line := range strings.SplitSeq("tierctl: "+message, "\n") {
			say(a.stderr, 2, line)
		}
		if hint != "" {
			fmt.Fprintf(a.stderr, "hint: %s\n", hint)
		}
	}
}

func describe(err error) (message, hint string) {
	var own *failure
	var sent *api.Error
	var no *opencode.Refused
	switch {
	case errors.As(err, &own):
		return own.message, own.hint
	case errors.As(err, &no):
		return err.Error(), no.Hint
	case errors.As(err, &sent):
		hint = sent.Hint
		if hint == "" && sent.Kind == api.KindForbidden {
			hint = forbiddenHint
		}
		return err.Error(), hint
	case errors.Is(err, context.Canceled):
		return "interrupted", ""
	}
	return err.Error(), ""
}

// parts undoes errors.Join.
func parts(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

func writeExitStatuses(w io.Writer) {
	for _, m := range meanings {
		fmt.Fprintf(w, "  %3d  %s\n", m.status, strings.Join(m.cases, "\n       "))
	}
}

func exitStatusHelp() string {
	var b strings.Builder
	b.WriteString("Exit status of every tierctl command:\n\n")
	writeExitStatuses(&b)
	b.WriteString("\nWhere a command acts on several tiers, the status is that of the first failure.\n" +
		"`tierctl logs` ends with the status of journalctl.")
	return b.String()
}

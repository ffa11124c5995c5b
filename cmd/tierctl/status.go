package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tierd/tierd/agent/api"
)

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status [TIER...]",
		Short: "Show the tiers: what runs, and why something does not",
		Long: `Show each tier with its state, and beneath it what there is to know: what it is doing,
why it failed, whether a restart is pending because tiers.toml has changed, and by
which drop-ins the administrator changed its unit. With TIER, also its unit, its
process and its variants.

States: stopped, starting, ready, draining (finishing its requests), stopping, failed,
blocked (cannot be started as things are: masked, or its model or engine is missing).
MEMORY is what the tier is charged when it is up. A stopped tier is shown with the variant
that a start brings up.

The exit status is 0 whatever the states are; for a verdict use tierctl health.`,
		Example: `  tierctl status
  tierctl status coder
  tierctl status --format json | jq '.tiers[] | select(.state == "ready") | .name'`,
		ValidArgsFunction: a.completeTiers,
		RunE: func(cmd *cobra.Command, args []string) error {
			status, err := a.client().Status(cmd.Context())
			if err != nil {
				return err
			}
			tiers, err := onlyKnown(status.Tiers, args)
			if err != nil {
				return err
			}
			status.Tiers = tiers
			if a.format == formatJSON {
				return a.writeJSON(status)
			}
			if len(args) > 0 {
				status.Warnings, status.PortError = nil, "" // they are about the other tiers as well
			}
			a.printTiers(tiers, len(args) > 0)
			a.printDaemon(status)
			if len(args) == 0 {
				a.printStale(status)
			}
			return nil
		},
	}
}

var statusHeader = []string{"TIER", "STATE", "VARIANT", "ENGINE", "MODEL", "PORT", "MEMORY", "SINCE"}

// printTiers writes the table; details adds what one looks for in a single tier.
func (a *app) printTiers(tiers []api.Tier, details bool) {
	if len(tiers) == 0 {
		fmt.Fprintln(a.stdout, "There are no tiers: tiers.toml defines none.")
		return
	}
	colour := colourful(a.stdout)
	rows := make([]row, len(tiers))
	for i, t := range tiers {
		rows[i] = tierRow(t, a.now(), a.modelWidth(), colour)
		if details {
			rows[i].notes = append(rows[i].notes, tierDetails(t)...)
		}
	}
	header := statusHeader
	columns, _, _ := terminalSize(a.stdout)
	header, rows = narrowed(columns, header, rows)
	writeTable(a.stdout, header, rows)
}

// narrowed leaves out of the table what a terminal of so many columns has no room for: first the models, then the engines. 0 is
// room for all.
func narrowed(columns int, header []string, rows []row) ([]string, []row) {
	for _, name := range []string{"MODEL", "ENGINE"} {
		if columns == 0 || tableWidth(header, rows) <= columns {
			break
		}
		at := slices.Index(header, name)
		header = slices.Delete(slices.Clone(header), at, at+1)
		for i := range rows {
			rows[i].cells = slices.Delete(slices.Clone(rows[i].cells), at, at+1)
		}
	}
	return header, rows
}

// modelWidth is what a terminal leaves for MODEL, the one column without a natural bound; 0: no limit.
func (a *app) modelWidth() int {
	const others = 66 // the other columns with usual contents
	const least = 12
	if columns, _, _ := terminalSize(a.stdout); columns > 0 {
		return max(columns-others, least)
	}
	return 0
}

func tierRow(t api.Tier, now time.Time, modelWidth int, colour bool) row {
	state := cell{text: string(t.State)}
	if colour {
		state.paint = stateColour(t.State)
	}
	since := "-"
	if !t.Since.IsZero() {
		since = formatAge(now.Sub(t.Since))
	}
	return row{
		cells: []cell{
			{text: t.Name}, state, {text: t.Variant}, {text: t.Engine}, {text: shorten(t.Model, modelWidth)},
			{text: strconv.Itoa(t.Port)}, {text: sizeOrDash(t.Memory)}, {text: since},
		},
		notes: tierNotes(t, now),
	}
}

// tierNotes are the lines beneath a tier: only what needs to be known.
func tierNotes(t api.Tier, now time.Time) []string {
	var notes []string
	if t.Status != "" && t.State != api.Ready && t.Status != t.Reason {
		notes = append(notes, t.Status)
	}
	if t.Reason != "" {
		notes = append(notes, t.Reason)
	}
	if t.Warning != "" {
		notes = append(notes, t.Warning)
	}
	if idle := idleNote(t, now); idle != "" {
		notes = append(notes, idle)
	}
	if t.PortError != "" {
		notes = append(notes, t.PortError)
	}
	if t.Removed {
		notes = append(notes, "no longer in tiers.toml: it goes when it is stopped")
	}
	if t.RestartPending {
		notes = append(notes, "restart pending: tiers.toml has changed since it was started (tierctl restart "+t.Name+")")
	}
	if len(t.DropIns) > 0 {
		notes = append(notes, "changed by drop-in "+list(t.DropIns))
	}
	if t.LeavesMachine {
		notes = append(notes, "requests leave this machine")
	}
	return notes
}

// idleNote says of a tier that will be stopped for idleness when that is. A tier of which that is not so is idle in peace.
func idleNote(t api.Tier, now time.Time) string {
	if t.IdleSince.IsZero() || t.StopsAt.IsZero() {
		return ""
	}
	return fmt.Sprintf("idle %s, stops in %s unless a request comes", formatAge(now.Sub(t.IdleSince)), formatAge(t.StopsAt.Sub(now)))
}

// tierDetails are the lines that `status TIER` adds.
func tierDetails(t api.Tier) []string {
	process := t.Unit
	if t.MainPID != 0 {
		process += fmt.Sprintf(", pid %d", t.MainPID)
	}
	if t.MemoryCurrent != nil {
		process += ", " + size(*t.MemoryCurrent) + " in its control group now"
	}
	if t.Restarts > 0 {
		process += ", restarted by systemd " + count(t.Restarts, "time")
	}
	lines := []string{"unit " + process}
	if t.State == api.Ready && t.Status != "" {
		lines = append(lines, "says: "+t.Status)
	}
	rules := []string{"role " + t.Role, "start " + t.Start, fmt.Sprintf("priority %d", t.Priority)}
	if t.Context > 0 {
		rules = append(rules, fmt.Sprintf("context %d tokens", t.Context))
	}
	lines = append(lines, list(rules))
	for _, v := range t.Variants {
		line := fmt.Sprintf("variant %s: %s, %s, %s, %s", v.Name, v.State, v.Engine, v.Model, sizeOrDash(v.Memory))
		if v.Reason != "" && v.Reason != t.Reason {
			line += " (" + v.Reason + ")"
		}
		lines = append(lines, line)
	}
	return lines
}

// printDaemon tells what is not as it should be with tierd itself.
func (a *app) printDaemon(s api.Status) {
	if s.ConfigError != "" {
		fmt.Fprintf(a.stdout, "\n%s cannot be used as it is now; what tierd read before stays in force:\n", s.ConfigPath)
		for line := range strings.Lines(s.ConfigError) {
			say(a.stdout, 4, "  "+strings.TrimRight(line, "\n"))
		}
	}
	if s.ConfigEdited {
		fmt.Fprintln(a.stdout)
		say(a.stdout, 2, edited(s))
	}
	var warnings []string
	ofFile := 0 // what `tierctl check` shows with its line; a page of it would hide the tiers
	for _, w := range s.Warnings {
		switch {
		case saidOfTier(s.Tiers, w):
		case strings.HasPrefix(w, s.ConfigPath+":"):
			ofFile++
		default:
			warnings = append(warnings, warning(w))
		}
	}
	if s.PortError != "" {
		warnings = append(warnings, warning(s.PortError))
	}
	if ofFile > 0 {
		warnings = append(warnings, fmt.Sprintf("further warnings about %s: %d; `tierctl check` lists all", s.ConfigPath, ofFile))
	}
	if len(warnings) > 0 {
		fmt.Fprintln(a.stdout)
	}
	for _, w := range warnings {
		say(a.stdout, 2, w)
	}
	if s.Gateway == "absent" {
		fmt.Fprintf(a.stdout, "\nThe gateway is not connected, so ports may be closed (systemctl status tier-gateway).\n")
	}
}

// saidOfTier tells whether a warning only repeats why a tier is blocked, which stands beneath the tier already.
func saidOfTier(tiers []api.Tier, warning string) bool {
	return slices.ContainsFunc(tiers, func(t api.Tier) bool {
		return t.Reason != "" && strings.Contains(warning, t.Reason)
	})
}

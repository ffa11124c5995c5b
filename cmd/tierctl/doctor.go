package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tierd/tierd/agent/doctor"
)

func (a *app) doctorCommand() *cobra.Command {
	var root, config string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Tell what is wrong with this host and its tiers, and what mends it",
		Long: `Look at everything that tiers depend on, and say what is wrong, why it matters, and the
command or the line that mends it: kernel parameters for the GPU's memory, kernel and
firmware, devices and groups, swap, other programs on the GPU, memory that an engine
left behind, the pressure guard and which services would end programs before it acts,
engines and how they were built, models, and whether the modes of tiers.toml fit. Nothing
is changed, and nothing is started.

It works without tierd and without root, and says then what it could not see. When tierd
answers, what it knows of tiers and processes is used.

Exit status 0 when nothing is wrong, whatever the notes say, and 3 when there is an
error or a warning.`,
		Example: `  tierctl doctor
  sudo tierctl doctor --format json | jq '.[] | select(.severity == "error")'
  tierctl doctor --root host.tar.gz --config ./tiers.toml`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			facts, err := a.facts(cmd.Context(), root, config)
			if err != nil {
				return err
			}
			found := doctor.Check(facts)
			if a.format == formatJSON {
				if err := a.writeJSON(found); err != nil {
					return err
				}
			} else {
				a.printFindings(found)
			}
			return verdict(found)
		},
	}
	rootFlag(cmd, &root)
	cmd.Flags().StringVar(&config, "config", "", "look at this tiers.toml instead of the installed one")
	_ = cmd.MarkFlagFilename("config", "toml")
	return cmd
}

// verdict is the command's error, which gives it its exit status.
func verdict(found []doctor.Finding) error {
	n := severityCounts(found)
	if n[doctor.Error]+n[doctor.Warning] == 0 {
		return nil
	}
	var parts []string
	for _, s := range []doctor.Severity{doctor.Error, doctor.Warning} {
		if n[s] > 0 {
			parts = append(parts, count(n[s], string(s)))
		}
	}
	return &failure{status: exitNotReady, message: "this host is not as it should be: " + list(parts)}
}

func severityCounts(found []doctor.Finding) map[doctor.Severity]int {
	n := map[doctor.Severity]int{}
	for _, f := range found {
		n[f.Severity]++
	}
	return n
}

var severityTitles = []struct {
	severity doctor.Severity
	title    string
	paint    string
}{
	{doctor.Error, "Errors", red}, {doctor.Warning, "Warnings", yellow}, {doctor.Note, "Notes", dim}, {doctor.OK, "Fine", green},
}

// printFindings writes the findings in groups, the worst first, three lines for each: what, why, fix. What is fine has one.
func (a *app) printFindings(found []doctor.Finding) {
	for _, group := range severityTitles {
		title := painted(group.title, a.paint(group.paint)) + "\n"
		for _, f := range found {
			if f.Severity != group.severity {
				continue
			}
			fmt.Fprint(a.stdout, title)
			title = ""
			say(a.stdout, 4, fmt.Sprintf("  %s (%s)", f.What, f.ID))
			if f.Severity == doctor.OK {
				continue
			}
			if f.Why != "" {
				say(a.stdout, 9, fmt.Sprintf("    why: %s [%s]", f.Why, f.Source))
			}
			if f.Fix != "" {
				fmt.Fprintf(a.stdout, "    fix: %s\n", f.Fix)
			}
		}
		if title == "" {
			fmt.Fprintln(a.stdout)
		}
	}
	n := severityCounts(found)
	parts := []string{count(n[doctor.Error], "error"), count(n[doctor.Warning], "warning"), count(n[doctor.Note], "note")}
	fmt.Fprintf(a.stdout, "%s; %s passed.\n", strings.Join(parts, ", "), count(n[doctor.OK], "check"))
}

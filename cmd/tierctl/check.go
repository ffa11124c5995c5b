package main

import (
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/tierd/tierd/units"
)

const configFile = "/etc/tierd/tiers.toml"

// finding is a units.Fault as `tierctl check --format json` prints it.
type finding struct {
	File    string `json:"file"`
	Line    int    `json:"line"` // 0: the file as a whole
	Tier    string `json:"tier,omitempty"`
	Message string `json:"message"`
	Warning bool   `json:"warning"`
}

func (a *app) checkCommand() *cobra.Command {
	var fileOnly bool
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Check tiers.toml, without tierd",
		Long: `Check a tiers.toml, /etc/tierd/tiers.toml if none is named, and print every fault as
FILE:LINE: MESSAGE. Nothing is changed and tierd need not be running. What is wrong
with this host only, such as a model that is not there, is a warning: it concerns one
tier and the file can be used. Exit status 1 when there is a fault that is no warning.`,
		Example: `  tierctl check
  tierctl check ./tiers.toml --file-only`,
		Args: takes(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			file := configFile
			if len(args) == 1 {
				file = args[0]
			}
			host := units.Host{}
			if !fileOnly {
				host = localHost(cmd.Context())
			}
			plan, faults, err := planFile(file, host)
			if err != nil {
				return err
			}
			return a.printCheck(file, plan, faults, host)
		},
	}
	cmd.Flags().BoolVar(&fileOnly, "file-only", false, "do not look for models and engines on this host")
	return cmd
}

// planFile reads a configuration as tierd would. The plan is nil when a fault is more than a warning.
func planFile(file string, host units.Host) (*units.Plan, []units.Fault, error) {
	config, faults, err := readConfig(file)
	if config == nil {
		return nil, faults, err
	}
	plan, more := units.MakePlan(config, host)
	faults = append(faults, more...)
	slices.SortStableFunc(faults, func(a, b units.Fault) int { return a.Line - b.Line })
	if errorCount(faults) > 0 {
		plan = nil
	}
	return plan, faults, nil
}

func (a *app) printCheck(file string, plan *units.Plan, faults []units.Fault, host units.Host) error {
	if a.format == formatJSON {
		if err := a.writeJSON(findings(faults)); err != nil {
			return err
		}
	} else {
		for _, f := range faults {
			say(a.stdout, 2, f.Error())
		}
	}
	if n := errorCount(faults); n > 0 {
		return &failure{status: exitFailed, message: fmt.Sprintf("%s cannot be used: %s", file, count(n, "fault"))}
	}
	if a.format == formatText {
		say(a.stdout, 2, goodSentence(file, plan, len(faults), host))
	}
	return nil
}

// readConfig reads a tiers.toml without a look at this machine. The Config is nil when its text has errors.
func readConfig(file string) (*units.Config, []units.Fault, error) {
	src, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read the configuration: %w", err)
	}
	config, faults := units.ParseConfig(file, src)
	return config, faults, nil
}

func errorCount(faults []units.Fault) int {
	n := 0
	for _, f := range faults {
		if !f.Warning {
			n++
		}
	}
	return n
}

func findings(faults []units.Fault) []finding {
	out := make([]finding, len(faults))
	for i, f := range faults {
		out[i] = finding{File: f.File, Line: f.Line, Tier: f.Tier, Message: f.Msg, Warning: f.Warning}
	}
	return out
}

// goodSentence sums a good file up: what it defines, and what its default mode takes of the memory.
func goodSentence(file string, plan *units.Plan, warnings int, host units.Host) string {
	c := plan.Config
	text := fmt.Sprintf("%s is ok: %s, %s, %s", file,
		count(len(c.Tiers), "tier"), count(len(plan.Units), "variant"), count(len(c.Modes), "mode"))
	if warnings > 0 {
		text += ", " + count(warnings, "warning")
	}
	if mode, err := plan.Mode(""); err == nil && c.Host.DefaultMode != "" {
		var sum units.Bytes
		least := ""
		for _, u := range mode {
			if sum += u.Memory; u.Memory == 0 { // its model is not there, or nobody looked
				least = "at least "
			}
		}
		if sum == 0 {
			return text + fmt.Sprintf("; what mode %q takes is not known.", c.Host.DefaultMode)
		}
		text += fmt.Sprintf("; mode %q takes %s%s", c.Host.DefaultMode, least, sum)
		if host.MemTotal > 0 {
			text += fmt.Sprintf(" of %s, reserve %s", host.MemTotal, c.Host.Reserve)
		}
	}
	return text + "."
}

// planError is the error of a command that needs a plan and cannot have one.
func planError(file string, faults []units.Fault) error {
	return &failure{
		status:  exitFailed,
		message: fmt.Sprintf("cannot plan with %s: %s", file, count(errorCount(faults), "fault")),
		hint:    "tierctl check " + file,
	}
}

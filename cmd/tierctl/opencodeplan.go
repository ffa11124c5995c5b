package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/tierd/tierd/agent/opencode"
)

func (a *app) opencodePlanCommand() *cobra.Command {
	var w opencodeWish
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show what apply would write, as a diff",
		Long: `Show which files apply would write, what is to be said about sizes, and the files as a
unified diff against what is there. Nothing is written.

Exit status 1 when apply would refuse.`,
		Example: `  tierctl opencode plan
  tierctl opencode plan --project --with-omo
  tierctl opencode plan --config ./tiers.toml --format json`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, c, plan, err := a.opencodeLook(cmd, w)
			if err != nil {
				return err
			}
			if a.format == formatJSON {
				err = a.writeJSON(opencodeResultOf(p, c, plan, true))
			} else {
				a.sayFindings(p, plan)
				a.printChanges(a.stdout, c)
			}
			if err != nil {
				return err
			}
			return c.Against(false)
		},
	}
	w.placeFlags(cmd)
	w.planFlags(cmd)
	return cmd
}

func (a *app) opencodeLook(cmd *cobra.Command, w opencodeWish) (p opencode.Place, c opencode.Changes, plan opencode.Plan, err error) {
	if p, err = a.opencodePlace(w); err != nil {
		return p, c, plan, err
	}
	if plan, err = a.opencodePlan(cmd.Context(), w, p); err != nil {
		return p, c, plan, err
	}
	c, err = opencode.Look(p, plan)
	return p, c, plan, notYours(err)
}

// opencodeResult is what `tierctl opencode plan|apply|undo --format json` prints.
type opencodeResult struct {
	Scope    opencode.Scope    `json:"scope"`
	Files    []opencodeFile    `json:"files"`
	Findings []opencodeFinding `json:"findings"`
	Env      string            `json:"env,omitempty"` // that OpenCode needs to find the configuration
}

type opencodeFile struct {
	Kind   opencode.Kind   `json:"kind"`
	Path   string          `json:"path"`
	Action opencode.Action `json:"action"`
	Mode   string          `json:"mode,omitempty"` // octal
	Diff   string          `json:"diff,omitempty"`
}

type opencodeFinding struct {
	Refuse bool   `json:"refuse"`
	Tier   string `json:"tier,omitempty"`
	File   string `json:"file,omitempty"`
	Text   string `json:"text"`
	Hint   string `json:"hint,omitempty"`
}

func opencodeResultOf(p opencode.Place, c opencode.Changes, plan opencode.Plan, diff bool) opencodeResult {
	r := opencodeResult{Scope: p.Scope, Files: []opencodeFile{}, Findings: []opencodeFinding{}, Env: p.Variable()}
	for _, f := range concerning(p, plan) {
		r.Findings = append(r.Findings, opencodeFinding{Refuse: f.Refuse, Tier: f.Tier, Text: f.Text, Hint: f.Hint})
	}
	for _, no := range c.Refused {
		if no.Path != "" { // those without are the plan's
			r.Findings = append(r.Findings, opencodeFinding{Refuse: true, File: no.Path, Text: no.Text, Hint: no.Hint})
		}
	}
	for _, f := range c.Files {
		file := opencodeFile{Kind: f.Kind, Path: f.Path, Action: f.Action}
		if f.Mode() != 0 {
			file.Mode = fmt.Sprintf("%04o", uint32(f.Mode()))
		}
		if diff {
			file.Diff = f.Diff()
		}
		r.Files = append(r.Files, file)
		if no := f.Blocked; no != nil {
			r.Findings = append(r.Findings, opencodeFinding{Refuse: true, File: no.Path, Text: no.Text, Hint: no.Hint})
		}
	}
	return r
}

func concerning(p opencode.Place, plan opencode.Plan) []opencode.Finding {
	return slices.DeleteFunc(slices.Clone(plan.Findings), func(f opencode.Finding) bool { return !p.Concerns(f) })
}

// sayFindings says what the plan warns of; what it refuses for comes as the error.
func (a *app) sayFindings(p opencode.Place, plan opencode.Plan) {
	for _, f := range concerning(p, plan) {
		if f.Refuse {
			continue
		}
		say(a.stderr, 2, warning(f.Text))
		if f.Hint != "" {
			fmt.Fprintf(a.stderr, "hint: %s\n", f.Hint)
		}
	}
}

// printChanges writes a line for each file, and the diff.
func (a *app) printChanges(w io.Writer, c opencode.Changes) {
	for _, f := range c.Files {
		mode := ""
		if f.Mode() != 0 {
			mode = fmt.Sprintf("  (mode %04o)", uint32(f.Mode()))
		}
		fmt.Fprintf(w, "%-6s  %s%s\n", f.Action, f.Path, mode)
	}
	if diff := c.Diff(); diff != "" {
		fmt.Fprintf(w, "\n%s", diff)
	}
}

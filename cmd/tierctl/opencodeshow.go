package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/tierd/tierd/agent/opencode"
)

func (a *app) opencodeShowCommand() *cobra.Command {
	var w opencodeWish
	var agent string
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Show what of ours is in force",
		Long: `Show the files that tierctl opencode apply wrote and that were not taken back, whether they
are as written, and what they say: models with their limits, and agents. With --agent one
agent, with what it may do. Your own files, which win, are not looked at.`,
		Example: `  tierctl opencode show
  tierctl opencode show --agent reviewer`,
		Args: takes(0, 0),
		RunE: func(*cobra.Command, []string) error {
			p, err := a.opencodePlace(w)
			if err != nil {
				return err
			}
			files, err := opencode.Show(p)
			if err != nil {
				return err
			}
			if agent != "" {
				return a.showAgent(w, files, agent)
			}
			if a.format == formatJSON {
				err = a.writeJSON(shownFiles(files))
			} else {
				a.printShown(files)
			}
			for _, f := range files {
				err = errors.Join(err, f.Fault)
			}
			return err
		},
	}
	w.placeFlags(cmd)
	cmd.Flags().StringVar(&agent, "agent", "", "show this agent")
	_ = cmd.RegisterFlagCompletionFunc("agent", func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return a.agentNames(w), cobra.ShellCompDirectiveNoFileComp
	})
	return cmd
}

// shownFile is what `tierctl opencode show --format json` prints of a file.
type shownFile struct {
	Path   string         `json:"path"`
	Kind   opencode.Kind  `json:"kind"`
	Scope  opencode.Scope `json:"scope"`
	State  string         `json:"state"`
	Fault  string         `json:"fault,omitempty"` // why it cannot be read
	Model  string         `json:"model,omitempty"`
	Small  string         `json:"small_model,omitempty"`
	Models []shownModel   `json:"models,omitempty"`
	Agents []shownAgent   `json:"agents,omitempty"`
}

type shownModel struct {
	Model   string `json:"model"`
	URL     string `json:"url"`
	Context int    `json:"context,omitempty"`
	Output  int    `json:"output,omitempty"`
}

type shownAgent struct {
	Name        string          `json:"name"`
	File        string          `json:"file"`
	Mode        string          `json:"mode,omitempty"`
	Model       string          `json:"model,omitempty"`
	Context     int             `json:"context,omitempty"`
	Output      int             `json:"output,omitempty"`
	Description string          `json:"description,omitempty"`
	Permission  json.RawMessage `json:"permission,omitempty"`
}

func shownFiles(files []opencode.InForce) []shownFile {
	out := make([]shownFile, len(files))
	for i, f := range files {
		out[i] = shownFile{Path: f.Path, Kind: f.Kind, Scope: f.Scope, State: f.State, Model: f.Model, Small: f.Small, Agents: shownAgents(f)}
		if f.Fault != nil {
			out[i].Fault = f.Fault.Error()
		}
		for _, m := range f.Models {
			out[i].Models = append(out[i].Models, shownModel{m.Ref, m.BaseURL, m.Context, m.Output})
		}
	}
	return out
}

func shownAgents(f opencode.InForce) []shownAgent {
	var out []shownAgent
	for _, one := range f.Agents {
		m, _ := f.ModelOf(one)
		out = append(out, shownAgent{
			Name: one.Name, File: f.Path, Mode: one.Mode, Model: m.Ref, Context: m.Context, Output: m.Output,
			Description: one.Description, Permission: one.Rules,
		})
	}
	return out
}

func (a *app) printShown(files []opencode.InForce) {
	if len(files) == 0 {
		fmt.Fprintln(a.stdout, "Nothing of ours is in force: `tierctl opencode apply` has written nothing here, or it was taken back.")
	}
	for i, f := range files {
		if i > 0 {
			fmt.Fprintln(a.stdout)
		}
		fmt.Fprintf(a.stdout, "%s (%s): %s\n", f.Path, f.Scope, f.State)
		writePairs(a.stdout, "  ", []pair{{"model", f.Model}, {"small model", f.Small}})
		if len(f.Models) > 0 {
			fmt.Fprintln(a.stdout)
			writeTable(a.stdout, []string{"MODEL", "CONTEXT", "OUTPUT", "AT"}, modelRows(f.Models))
		}
		if len(f.Agents) > 0 {
			fmt.Fprintln(a.stdout)
			writeTable(a.stdout, []string{"AGENT", "MODE", "MODEL"}, agentRows(shownAgents(f)))
		}
	}
}

func modelRows(models []opencode.Model) []row {
	rows := make([]row, len(models))
	for i, m := range models {
		rows[i].cells = []cell{{text: m.Ref}, {text: tokens(m.Context)}, {text: tokens(m.Output)}, {text: m.BaseURL}}
	}
	return rows
}

func agentRows(agents []shownAgent) []row {
	rows := make([]row, len(agents))
	for i, one := range agents {
		rows[i].cells = []cell{{text: one.Name}, {text: dash(one.Mode)}, {text: dash(one.Model)}}
	}
	return rows
}

func tokens(n int) string {
	if n == 0 {
		return "-"
	}
	return strconv.Itoa(n)
}

func (a *app) showAgent(w opencodeWish, files []opencode.InForce, name string) error {
	var all []shownAgent
	for _, f := range files {
		all = append(all, shownAgents(f)...)
	}
	found := slices.DeleteFunc(slices.Clone(all), func(s shownAgent) bool { return s.Name != name })
	if len(found) == 0 {
		return noAgent(name, a.agentNames(w))
	}
	if a.format == formatJSON {
		return a.writeJSON(found)
	}
	for _, s := range found {
		fmt.Fprintf(a.stdout, "%s (%s)\n", s.Name, s.File)
		writePairs(a.stdout, "  ", []pair{
			{"what for", s.Description}, {"mode", s.Mode}, {"model", s.Model},
			{"context", tokens(s.Context)}, {"output", tokens(s.Output)}, {"may", rules(s.Permission)},
		})
	}
	return nil
}

// agentNames are those in force; none when there is nothing to read.
func (a *app) agentNames(w opencodeWish) []string {
	p, err := a.opencodePlace(w)
	if err != nil {
		return nil
	}
	files, err := opencode.Show(p)
	if err != nil {
		return nil
	}
	var names []string
	for _, f := range files {
		for _, one := range f.Agents {
			names = append(names, one.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func noAgent(name string, names []string) error {
	if len(names) == 0 {
		return &failure{status: exitUsage, message: fmt.Sprintf("there is no agent %q: nothing of ours is in force", name), hint: "tierctl opencode apply"}
	}
	return missing(fmt.Sprintf("there is no agent %q", name), name, names)
}

// rules writes permissions on one line, as the file has them.
func rules(permission json.RawMessage) string {
	var b bytes.Buffer
	if len(permission) == 0 || json.Compact(&b, permission) != nil {
		return ""
	}
	return b.String()
}

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/tierd/tierd/agent/compose"
)

// imported is what `tierctl import --format json` prints.
type imported struct {
	TOML   string          `json:"toml,omitempty"` // empty when it went to a file
	Output string          `json:"output,omitempty"`
	Notes  []compose.Note  `json:"notes"`
	Faults []compose.Fault `json:"faults,omitempty"` // nothing is made when there is one
}

func (a *app) importCommand() *cobra.Command {
	var files []string
	var output string
	var force bool
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Make a tiers.toml of a compose stack's .env",
		Long: `Read the env file of a stack of vLLM and llama.cpp containers, as strix-opencode has it
with four tiers or six agents, and print a tiers.toml. Each line says where it comes from;
what was changed, dropped or not understood is listed on standard error and at the end of
the file.

Without --compose, what a variable means comes from its name: NAME_PORT with NAME_MODEL is
a vLLM server, with NAME_GGUF one of llama.cpp. With it, the commands of the services say
it, and what none of them uses is dropped. Secrets are never copied. Nothing is started,
and the old files stay as they are.`,
		Example: `  tierctl import ~/strix-opencode/.env
  tierctl import .env --compose compose/vllm.yml --compose compose/cpu.yml -o tiers.toml
  tierctl check tiers.toml`,
		Args: takes(1, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			if output == "" && force {
				return &failure{status: exitUsage, message: "--force is for --output FILE", hint: "tierctl import --help"}
			}
			return a.importStack(args[0], files, output, force)
		},
	}
	cmd.Flags().StringArrayVar(&files, "compose", nil, "a compose file that uses it; several times for more, in the order of compose's -f")
	cmd.Flags().StringVarP(&output, "output", "o", "", "write to this file, which must not be there; standard output if left out")
	cmd.Flags().BoolVar(&force, "force", false, "replace the file of --output")
	return cmd
}

func (a *app) importStack(env string, files []string, output string, force bool) error {
	switch filepath.Ext(env) {
	case ".yml", ".yaml":
		return &failure{status: exitUsage, message: env + " is a compose file, and the env file comes first", hint: "tierctl import .env --compose " + env}
	case ".toml":
		return &failure{status: exitUsage, message: env + " is no env file: what is written for tierd needs no import", hint: "tierctl check " + env}
	}
	for _, file := range append([]string{env}, files...) {
		if sameFile(file, output) {
			return &failure{status: exitUsage, message: output + " is read here, and stays as it is", hint: "another --output"}
		}
	}
	source, err := readSource(env)
	if err != nil {
		return err
	}
	var services []compose.Source
	for _, file := range files {
		s, err := readSource(file)
		if err != nil {
			return err
		}
		services = append(services, s)
	}
	result, faults := compose.Import(source, services, os.LookupEnv)
	if len(faults) > 0 {
		return a.printImportFaults(env, faults)
	}
	if output != "" {
		if err := writeConfig(output, result.TOML, force); err != nil {
			return err
		}
	}
	return a.printImport(result, output)
}

func sameFile(a, b string) bool {
	one, err1 := os.Stat(a)
	other, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(one, other)
}

// readSource reads a file of the old stack. Relative paths in it begin in its folder.
func readSource(file string) (compose.Source, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return compose.Source{}, fmt.Errorf("cannot read the old configuration: %w", err)
	}
	dir, err := filepath.Abs(filepath.Dir(file))
	if err != nil {
		return compose.Source{}, fmt.Errorf("cannot tell the folder of %s: %w", file, err)
	}
	return compose.Source{Name: file, Dir: dir, Text: text}, nil
}

func (a *app) printImportFaults(env string, faults []compose.Fault) error {
	if a.format == formatJSON {
		if err := a.writeJSON(imported{Notes: []compose.Note{}, Faults: faults}); err != nil {
			return err
		}
	} else {
		for _, f := range faults {
			say(a.stderr, 2, f.Error())
		}
	}
	return &failure{status: exitFailed, message: fmt.Sprintf("%s cannot be imported: %s", env, count(len(faults), "fault"))}
}

func (a *app) printImport(r *compose.Result, output string) error {
	if a.format == formatJSON {
		out := imported{Output: output, Notes: r.Notes}
		if output == "" {
			out.TOML = string(r.TOML)
		}
		return a.writeJSON(out)
	}
	if output == "" {
		if _, err := a.stdout.Write(r.TOML); err != nil {
			return fmt.Errorf("cannot write the result: %w", err)
		}
	}
	rows := make([]row, len(r.Notes))
	for i, n := range r.Notes {
		rows[i] = row{cells: []cell{{text: string(n.Kind)}, {text: n.Place.String()}, {text: n.Name}}, notes: []string{n.Text}}
	}
	if len(rows) > 0 {
		writeTable(a.stderr, []string{"WHAT", "WHERE", "NAME"}, rows)
	}
	if output != "" {
		fmt.Fprintf(a.stderr, "%s is written; next: tierctl check %s\n", output, output)
	}
	return nil
}

// writeConfig writes a whole file or none. Without force it never replaces one, also not one that appears meanwhile: a link fails
// where a rename would not.
func writeConfig(file string, text []byte, force bool) error {
	if target, err := filepath.EvalSymlinks(file); err == nil && force {
		file = target // the file is replaced, not the link to it
	}
	if _, err := os.Lstat(file); err == nil && !force {
		return existing(file)
	}
	temp, err := os.CreateTemp(filepath.Dir(file), ".tiers-*.toml")
	if err != nil {
		return cannotMake(file, err)
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(text)
	err = errors.Join(err, temp.Chmod(0o644), temp.Sync(), temp.Close())
	if err == nil && force {
		err = os.Rename(temp.Name(), file)
	} else if err == nil {
		err = os.Link(temp.Name(), file)
	}
	if errors.Is(err, fs.ErrExist) && !force {
		return existing(file)
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", file, err)
	}
	return nil
}

// cannotMake says why there can be no file of that name, without that of the temporary one.
func cannotMake(file string, err error) error {
	f := &failure{status: exitFailed, message: fmt.Sprintf("cannot write %s: %v", file, err)}
	var at *fs.PathError
	if errors.As(err, &at) {
		f.message = fmt.Sprintf("cannot write %s: folder %s: %v", file, filepath.Dir(file), at.Err)
	}
	if errors.Is(err, fs.ErrNotExist) {
		f.hint = "mkdir -p " + filepath.Dir(file)
	}
	return f
}

func existing(file string) error {
	return &failure{status: exitFailed, message: file + " is there already", hint: "another --output, or --force to replace it"}
}

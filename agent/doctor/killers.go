package doctor

import (
	"cmp"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/tierd/tierd/units"
)

// Killer is a service that ends programs when memory runs short.
type Killer struct {
	Name             string // of its service, without the suffix
	Running, Enabled bool

	// Of earlyoom: its options, and the line that has them.
	Options    []string
	Place      Assignment
	UserMemory units.Bytes // see userMemory
	Nohang     nohangConfig
	// Of systemd-oomd: where it watches the pressure on what tiers are in.
	Pressure []Assignment
	// Omits tells that a drop-in for all tiers has it leave them out.
	Omits bool
}

// Assignment is a line KEY=VALUE of a file.
type Assignment struct {
	Unit  string // "" for a file that is no unit's
	Value string
	File  string // "" when nothing says it
	Line  int
}

// killers are the services by name, with the names of their processes.
var killers = []struct{ service, comm string }{
	{"earlyoom", "earlyoom"}, {"nohang", "nohang"}, {"nohang-desktop", "nohang"}, {"systemd-oomd", "systemd-oomd"},
}

// unitFolders are where units are, the weakest first.
var unitFolders = []string{"usr/lib/systemd/system", "lib/systemd/system", "run/systemd/system", "etc/systemd/system"}

func (f *Files) lookAtKillers(root fs.FS) {
	for _, k := range killers {
		found := Killer{Name: k.service, Running: f.runs(k.comm)}
		for _, dir := range unitFolders {
			found.Enabled = found.Enabled || len(f.glob(root, dir+"/[a-z]*.wants/"+k.service+".service")) > 0
		}
		if !found.Enabled && (!found.Running || k.comm == "nohang" && k.service != "nohang") {
			continue
		}
		switch k.service {
		case "earlyoom":
			f.lookAtEarlyoom(root, &found)
		case "systemd-oomd":
			found.Pressure = f.pressureKills(root)
			found.Omits = lastOf(f.unitLines(root, "tier-.service"), "ManagedOOMPreference").Value == "omit"
		default:
			text, _ := f.read(root, "etc/nohang/"+k.service+".conf")
			found.Nohang = parseNohang(text)
		}
		f.Killers = append(f.Killers, found)
	}
}

const earlyoomFile = "etc/default/earlyoom"

// lookAtEarlyoom finds its options: in the unit, or where the packages' unit takes them from.
func (f *Files) lookAtEarlyoom(root fs.FS, k *Killer) {
	meminfo, _ := f.read(root, "proc/meminfo")
	k.UserMemory = userMemory(meminfo)
	text, _ := f.read(root, earlyoomFile)
	k.Place = lastOf(assignments("/"+earlyoomFile, text), "EARLYOOM_ARGS")
	k.Place.File = cmp.Or(k.Place.File, "/"+earlyoomFile)
	args := k.Place.Value
	exec := lastOf(f.unitLines(root, "earlyoom.service"), "ExecStart")
	if program, own, ok := strings.Cut(exec.Value, " "); ok && !strings.Contains(own, "EARLYOOM_ARGS") {
		k.Place, args = exec, own
		k.Place.Value = program + " " + own
	}
	k.Options = splitWords(args)
}

// option is the value of an option that is given as --NAME VALUE or --NAME=VALUE.
func (k Killer) option(name string) string {
	value := ""
	for i, word := range k.Options {
		if word == name && i+1 < len(k.Options) {
			value = k.Options[i+1]
		} else if v, ok := strings.CutPrefix(word, name+"="); ok {
			value = v
		}
	}
	return value
}

// aboveTiers are the slices that every tier is in, or some are.
var aboveTiers = []string{"-.slice", "tier.slice", "tier-gpu.slice", "tier-cpu.slice"}

// pressureKills finds the slices above the tiers in which systemd-oomd ends something by memory pressure. By swap it ends
// no tier: tiers have none.
func (f *Files) pressureKills(root fs.FS) []Assignment {
	var list []Assignment
	for _, slice := range aboveTiers {
		if a := lastOf(f.unitLines(root, slice), "ManagedOOMMemoryPressure"); a.Value == "kill" {
			a.Unit = slice
			list = append(list, a)
		}
	}
	return list
}

// line is an assignment with its key.
type line struct {
	key string
	Assignment
}

// unitLines are the assignments of a unit's files and drop-ins, those that count more at the end.
func (f *Files) unitLines(root fs.FS, unit string) []line {
	var files, dropIns []string
	for _, dir := range unitFolders {
		if name := path.Join(dir, unit); fs.ValidPath(name) {
			if _, err := fs.Stat(root, name); err == nil {
				files = []string{name} // it hides the weaker ones
			}
		}
		dropIns = append(dropIns, f.glob(root, path.Join(dir, unit+".d")+"/*.conf")...)
	}
	slices.SortStableFunc(dropIns, func(a, b string) int { return strings.Compare(path.Base(a), path.Base(b)) })
	var lines []line
	for _, name := range append(files, dropIns...) {
		if text, ok := f.read(root, name); ok {
			lines = append(lines, assignments("/"+name, text)...)
		}
	}
	return lines
}

// assignments are the lines KEY=VALUE of a unit file or an EnvironmentFile.
func assignments(file, text string) []line {
	var lines []line
	number := 0
	for raw := range strings.Lines(text) {
		number++
		key, value, ok := strings.Cut(strings.TrimSpace(raw), "=")
		if !ok || strings.ContainsAny(key[:min(1, len(key))], "#;[") {
			continue
		}
		value = strings.TrimSpace(value)
		if len(value) >= 2 && (value[0] == '"' || value[0] == '\'') && value[len(value)-1] == value[0] {
			value = value[1 : len(value)-1]
		}
		lines = append(lines, line{strings.TrimSpace(key), Assignment{Value: value, File: file, Line: number}})
	}
	return lines
}

// lastOf is the one that counts: of several the last, and none after an empty one.
func lastOf(lines []line, key string) Assignment {
	var last Assignment
	for _, l := range lines {
		if l.key == key {
			last = l.Assignment
		}
	}
	return last
}

// splitWords splits as systemd and a shell do: at blanks outside of quotes. A quote without its end goes to the end.
func splitWords(text string) []string {
	var words []string
	var word strings.Builder
	var quote rune
	open, escaped := false, false
	for _, r := range text {
		switch {
		case escaped:
			if quote == '"' && r != '"' && r != '\\' { // in double quotes, \ stands for itself before other letters
				word.WriteRune('\\')
			}
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quote != '\'':
			escaped, open = true, true
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '"' || r == '\''):
			quote, open = r, true
		case quote == 0 && (r == ' ' || r == '\t' || r == '\n'):
			if open {
				words = append(words, word.String())
				word.Reset()
			}
			open = false
		default:
			word.WriteRune(r)
			open = true
		}
	}
	if open {
		words = append(words, word.String())
	}
	return words
}

package doctor

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/tierd/tierd/units"
)

// checkKillers: tiers have a higher OOM score than the desktop, so whatever ends programs by that takes a tier first, busy
// or not.
func (r *report) checkKillers() {
	if r.Files == nil {
		return
	}
	for _, k := range r.Files.Killers {
		switch k.Name {
		case "earlyoom":
			r.checkEarlyoom(k)
		case "systemd-oomd":
			r.checkOomd(k)
		default:
			r.checkNohang(k)
		}
	}
}

// state says how one knows of it.
func (k Killer) state() string {
	if k.Running {
		return "runs"
	}
	return "starts with the host"
}

func (r *report) checkEarlyoom(k Killer) {
	const source = "rfjakob/earlyoom, kill.c and meminfo.c of 1.9.0"
	var names []string
	for _, n := range r.processNames() {
		if !matches(k.option("--avoid"), n) && !matches(k.option("--ignore"), n) {
			names = append(names, n)
		}
	}
	beside, early := r.besideEarlyoom(k, names == nil)
	if names == nil && !early {
		r.fine("earlyoom", source, "earlyoom %s and is told to spare tiers%s", k.state(), after("; ", beside))
		return
	}
	f := Finding{ID: "earlyoom", Severity: Warning, Source: source,
		What: fmt.Sprintf("earlyoom %s, and would end a tier before any other program", k.state()),
		Why:  "it goes by the OOM score, in which tiers come first, busy or not"}
	args := k.Options
	if names == nil {
		f.What = fmt.Sprintf("earlyoom %s, and would end a program before an idle tier gives way", k.state())
		f.Why = "its percentages are of memory without the GPU's, so its line is high while no model is loaded"
	} else {
		if !early {
			f.Why += "; and its percentages are of memory without the GPU's, so it acts late"
		}
		spare := "^(" + strings.Join(r.processNames(), "|") + ")$"
		if old := k.option("--avoid"); old != "" {
			spare = "(" + old + ")|" + spare
		}
		args = append(k.without("--avoid"), "--avoid", spare)
	}
	f.Why += after("; ", beside)
	if early {
		args = r.belowGuard(args)
	}
	f.Fix = k.rewritten(quoteWords(args))
	r.add(f)
}

// after is text behind what joins it to others, and nothing when there is none.
func after(join, text string) string {
	if text == "" {
		return ""
	}
	return join + text
}

// rewritten says how earlyoom gets other options, where it has them from.
func (k Killer) rewritten(args string) string {
	if k.Place.File == "/"+earlyoomFile {
		at := k.Place.File
		if k.Place.Line > 0 {
			at = fmt.Sprintf("line %d of %s", k.Place.Line, k.Place.File)
		}
		return fmt.Sprintf("in %s: EARLYOOM_ARGS=\"%s\", then: sudo systemctl restart earlyoom", at, args)
	}
	program, _, _ := strings.Cut(k.Place.Value, " ")
	return fmt.Sprintf("line %d of %s: ExecStart=%s %s, then: sudo systemctl daemon-reload && sudo systemctl restart earlyoom", k.Place.Line, k.Place.File, program, args)
}

// processNames are those of the processes of tiers, as the kernel cuts them.
func (r *report) processNames() []string {
	names := []string{"tier-shim"}
	add := func(n string) {
		if n = n[:min(len(n), 15)]; !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	engines := []units.Engine{{Kind: units.KindVLLM, Command: []string{"vllm"}}, {Kind: units.KindLlama, Command: []string{"llama-server"}}}
	if r.Plan != nil {
		engines = r.Plan.Config.Engines
	}
	for _, e := range engines {
		if len(e.Command) > 0 {
			add(path.Base(e.Command[0]))
		}
		if e.Kind == units.KindVLLM {
			add("VLLM::EngineCore")
		}
	}
	return names
}

// matches tells whether a pattern of earlyoom's, a POSIX one, is found in a name.
func matches(pattern, name string) bool {
	if pattern == "" {
		return false
	}
	re, err := regexp.CompilePOSIX(pattern)
	return err == nil && re.MatchString(name)
}

// without are the options but one with its value.
func (k Killer) without(name string) []string {
	var rest []string
	for i := 0; i < len(k.Options); i++ {
		switch word := k.Options[i]; {
		case word == name:
			i++
		case strings.HasPrefix(word, name+"="):
		default:
			rest = append(rest, word)
		}
	}
	return rest
}

// quoteWords writes words so that splitWords, and systemd, get them back.
func quoteWords(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		if quoted[i] = w; w == "" || strings.ContainsAny(w, " \t\n\"'\\$|&;()<>*?[]#~`") {
			quoted[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}

func (r *report) checkOomd(k Killer) {
	const source = "systemd, oomd-manager.c"
	switch {
	case k.Omits || r.allOmitted():
		r.fine("oomd", source, "systemd-oomd %s and leaves tiers out", k.state())
		return
	case len(k.Pressure) == 0:
		r.fine("oomd", source, "systemd-oomd %s and ends no tier: it watches no slice of theirs for pressure, and they hold no swap%s", k.state(), after("; ", r.oomPreferences()))
		return
	}
	a := k.Pressure[0]
	r.add(Finding{ID: "oomd", Severity: Warning, Source: source,
		What: fmt.Sprintf("systemd-oomd %s, and ends tiers when the memory pressure in %s is high (line %d of %s)", k.state(), a.Unit, a.Line, a.File),
		Why: "pressure is high where a model loads, and of a tier on the GPU it sees the least part: it takes the wrong one" +
			after("; ", r.oomPreferences()),
		Fix: "sudo mkdir -p /etc/systemd/system/tier-.service.d && printf '[Service]\\nManagedOOMPreference=omit\\n' | " +
			"sudo tee /etc/systemd/system/tier-.service.d/oomd.conf && sudo systemctl daemon-reload"})
}

// allOmitted tells whether every tier's own unit says so, as that of a pinned tier does.
func (r *report) allOmitted() bool {
	if r.Plan == nil || len(r.Plan.Units) == 0 {
		return false
	}
	return !slices.ContainsFunc(r.Plan.Units, func(u units.Unit) bool {
		return !slices.ContainsFunc(u.Properties, func(p units.Property) bool { return p.Name == "ManagedOOMPreference" && p.Value == "omit" })
	})
}

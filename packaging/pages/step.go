package pages

import (
	"regexp"
	"strconv"
	"strings"
)

// Step is one command of a block, with what the page shows of its output.
type Step struct {
	Line    int
	Command string
	Output  string // "" when nothing is shown
	Status  []int  // the exit statuses that it may end with
}

// NotRun is why a block's commands are run nowhere, as one word of Reasons; "" when they are run in a bed.
func (b Block) NotRun() string { return b.Attr["not-run"] }

// Commands tells whether the block shows commands.
func (b Block) Commands() bool { return b.Lang == "console" || b.Lang == "sh" }

// Steps are the commands of a block. In one of `console` they stand after "$ " or "# ", as its first
// line has it, with their output below; one of
// `sh` is a script as it is.
func (b Block) Steps() []Step {
	status := b.statuses()
	switch b.Lang {
	case "sh":
		return []Step{{Line: b.Line, Command: strings.TrimRight(b.Text, "\n"), Status: status}}
	case "console":
		return b.console(status)
	}
	return nil
}

// statuses are those of `status=0,3`; 0 when the block says nothing.
func (b Block) statuses() []int {
	var all []int
	for _, word := range strings.Split(b.Attr["status"], ",") {
		if n, err := strconv.Atoi(word); err == nil {
			all = append(all, n)
		}
	}
	if all == nil {
		all = []int{0}
	}
	return all
}

func (b Block) console(status []int) []Step {
	var steps []Step
	prompt := "$ "
	if strings.HasPrefix(b.Text, "# ") { // output may begin with the other one
		prompt = "# "
	}
	more := false // the command goes on in the next line
	for i, line := range strings.Split(strings.TrimRight(b.Text, "\n"), "\n") {
		command, typed := strings.CutPrefix(line, prompt)
		last := len(steps) - 1
		switch {
		case more:
			steps[last].Command += "\n" + line
			more = strings.HasSuffix(line, `\`)
		case typed:
			steps = append(steps, Step{Line: b.Line + i, Command: command, Status: status})
			more = strings.HasSuffix(command, `\`)
		case last >= 0:
			steps[last].Output += line + "\n"
		}
	}
	return steps
}

// Lines are the single commands of a step: those of its lines and of its pipes, without sudo, as words.
func (s Step) Lines() [][]string {
	var all [][]string
	for _, part := range splitShell(strings.ReplaceAll(withoutHereDocuments(s.Command), "\\\n", " ")) {
		words := part
		for len(words) > 0 && (words[0] == "sudo" || assignment.MatchString(words[0])) {
			words = words[1:]
		}
		if len(words) > 0 {
			all = append(all, words)
		}
	}
	return all
}

var assignment = regexp.MustCompile(`^[A-Z_]+=`)

// splitShell takes a script apart into commands and words. It knows quotes, comments, pipes, && and redirections, which is all
// that a page should need.
func splitShell(script string) [][]string {
	var all [][]string
	var words []string
	var word strings.Builder
	inWord, quote := false, rune(0)
	endWord := func() {
		if inWord {
			words = append(words, word.String())
		}
		word.Reset()
		inWord = false
	}
	endCommand := func() {
		endWord()
		if len(words) > 0 {
			all = append(all, words)
		}
		words = nil
	}
	skip := false // a comment, up to the end of the line
	for _, r := range script {
		switch {
		case r == '\n':
			if quote == 0 {
				skip = false
				endCommand()
				continue
			}
			word.WriteRune(r)
		case skip:
		case quote != 0:
			if r == quote {
				quote = 0
			} else {
				word.WriteRune(r)
			}
		case r == '\'' || r == '"':
			quote, inWord = r, true
		case r == '#' && !inWord:
			skip = true
		case r == '|' || r == '&' || r == ';':
			endCommand()
		case r == ' ' || r == '\t':
			endWord()
		default:
			word.WriteRune(r)
			inWord = true
		}
	}
	endCommand()
	for i, words := range all {
		all[i] = withoutRedirections(words)
	}
	return all
}

var hereDocument = regexp.MustCompile(`<<-?'?([A-Za-z_]+)'?`)

// withoutHereDocuments leaves out what a script hands a command as its input.
func withoutHereDocuments(script string) string {
	var kept []string
	end := "" // the line that ends the document, while within one
	for _, line := range strings.Split(script, "\n") {
		switch m := hereDocument.FindStringSubmatch(line); {
		case end != "":
			if line == end {
				end = ""
			}
		case m != nil:
			end = m[1]
			kept = append(kept, strings.Replace(line, m[0], "", 1))
		default:
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}

var redirection = regexp.MustCompile(`^[0-9]?[<>]+(.*)$`)

func withoutRedirections(words []string) []string {
	var kept []string
	for i := 0; i < len(words); i++ {
		m := redirection.FindStringSubmatch(words[i])
		switch {
		case m == nil:
			kept = append(kept, words[i])
		case m[1] == "":
			i++ // its file is the next word
		}
	}
	return kept
}

const dots = "..."

// varies is what differs from run to run.
var varies = regexp.MustCompile(`[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8}|\b[0-9]+(\.[0-9]+)? ?(ms|s|m|h)\b|\bpid [0-9]+|\s+`)

// Match tells whether output is what a page shows: "..." stands for anything within a line, alone in a line for any lines; a
// time, a date and a pid for any other, and white space for white space.
func Match(shown, output string) bool {
	pattern := `^`
	for _, line := range strings.Split(strings.TrimSpace(shown), "\n") {
		if line = strings.TrimSpace(line); line == dots {
			pattern += `(?:[^\n]*\n)*`
			continue
		}
		pattern += `\s*` + linePattern(line) + `[ \t]*\n`
	}
	ok, err := regexp.MatchString(pattern+`$`, strings.TrimSpace(output)+"\n")
	return err == nil && ok
}

func linePattern(line string) string {
	pattern := ""
	for i, part := range strings.Split(strings.ReplaceAll(line, "…", dots), dots) {
		if i > 0 {
			pattern += `[^\n]*`
		}
		at := 0
		for _, m := range varies.FindAllStringIndex(part, -1) {
			pattern += regexp.QuoteMeta(part[at:m[0]]) + loose(part[m[0]:m[1]])
			at = m[1]
		}
		pattern += regexp.QuoteMeta(part[at:])
	}
	return pattern
}

// loose is the pattern for something that differs from run to run.
func loose(s string) string {
	switch {
	case strings.TrimSpace(s) == "":
		return `[ \t]+`
	case strings.HasPrefix(s, "pid "):
		return `pid [0-9]+`
	case strings.ContainsAny(s, ":"):
		return `[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8}`
	}
	return `[0-9.]+ ?(?:ms|s|m|h)(?: [0-9]+(?:s|m))?`
}

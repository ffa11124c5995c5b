package main

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
)

// fitHelp has help fill the lines of a terminal that is narrower than they are written for. A wider one, and a pipe, get them as
// they are.
func (a *app) fitHelp(root *cobra.Command) {
	show := root.HelpFunc()
	root.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		columns, _, _ := terminalSize(a.stdout)
		if columns < leastWidth || columns >= helpWidth {
			show(cmd, args)
			return
		}
		var page bytes.Buffer
		cmd.Long = filled(cmd.Long, columns)
		cmd.SetOut(&page)
		show(cmd, args)
		example := false // a command is to be copied
		for line := range strings.SplitSeq(strings.TrimSuffix(page.String(), "\n"), "\n") {
			example = line == "Examples:" || example && line != ""
			if !example {
				line = wrapped(line, columns, hang(line, columns))
			}
			fmt.Fprintln(a.stdout, line)
		}
	})
}

// helpWidth is where no line of help is longer, but those of some flags.
const helpWidth = 100

// filled joins the lines of each paragraph and breaks it anew. Lines that are indented are tables, and stay.
func filled(text string, width int) string {
	var out []string
	paragraph := ""
	end := func() {
		if paragraph != "" {
			out = append(out, wrapped(paragraph, width, 0))
		}
		paragraph = ""
	}
	for line := range strings.SplitSeq(text, "\n") {
		if line == "" || line[0] == ' ' {
			end()
			out = append(out, line)
			continue
		}
		paragraph = strings.TrimPrefix(paragraph+" "+line, " ")
	}
	end()
	return strings.Join(out, "\n")
}

var firstColumn = regexp.MustCompile(`^ *\S+( \S+)*  +`)

// hang is where a line of a table goes on: at its second column, if that leaves room.
func hang(line string, width int) int {
	if at := len(firstColumn.FindString(line)); at > 0 && at <= width/2 {
		return at
	}
	return len(line) - len(strings.TrimLeft(line, " ")) + 2
}

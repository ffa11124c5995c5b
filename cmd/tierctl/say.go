package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// leastWidth is the narrowest terminal that lines are broken for; on a narrower one it does that itself.
const leastWidth = 40

// say writes a line of prose. On a terminal it is broken between words, and what follows stands below the given column; a pipe or
// a file gets one line.
//
// What a user is to copy, a `hint:` or a `fix:`, is not for it: a command with a line break in it is another command, and a
// line that the terminal breaks is copied whole.
func say(w io.Writer, indent int, text string) error {
	columns, _, _ := terminalSize(w)
	_, err := fmt.Fprintln(w, wrapped(text, columns, indent))
	return err
}

// wrapped breaks text between words into lines of at most width columns, those behind the first indented. It breaks nothing
// within `backquotes`, which hold commands, nor a word that is longer than a line. width 0 is no limit.
func wrapped(text string, width, indent int) string {
	if width < max(leastWidth, 2*indent) || utf8.RuneCountInString(text) <= width {
		return text
	}
	var b strings.Builder
	column := 0
	for text != "" {
		gap, word := nextWord(text)
		text = text[len(gap)+len(word):]
		if n := utf8.RuneCountInString(gap) + utf8.RuneCountInString(word); b.Len() > 0 && column+n > width {
			b.WriteString("\n" + strings.Repeat(" ", indent) + word)
			column = indent + utf8.RuneCountInString(word)
		} else {
			b.WriteString(gap + word)
			column += n
		}
	}
	return b.String()
}

// nextWord is the white space that text begins with and the word behind it, with all of the `code` that begins in it.
func nextWord(text string) (gap, word string) {
	word = strings.TrimLeft(text, " ")
	gap = text[:len(text)-len(word)]
	for at := 0; at < len(word); at++ {
		switch word[at] {
		case ' ':
			return gap, word[:at]
		case '`':
			if code := strings.IndexByte(word[at+1:], '`'); code >= 0 {
				at += 1 + code
			}
		}
	}
	return gap, word
}

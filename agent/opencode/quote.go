package opencode

import (
	"regexp"
	"strings"
)

var safeWord = regexp.MustCompile(`^[A-Za-z0-9_./:=@%+,-]+$`)

// Quote writes a word so that a shell takes it for one word, and for nothing else.
func Quote(word string) string {
	if safeWord.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// Export writes a setting NAME=VALUE as a line for sh, bash, zsh and fish to evaluate.
func Export(setting string) string {
	name, value, _ := strings.Cut(setting, "=")
	return "export " + name + "=" + Quote(value)
}

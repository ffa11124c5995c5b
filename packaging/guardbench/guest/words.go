package main

import "fmt"

// words are the arguments of a program.
func words(list ...any) []string {
	text := make([]string, len(list))
	for i, w := range list {
		text[i] = fmt.Sprint(w)
	}
	return text
}

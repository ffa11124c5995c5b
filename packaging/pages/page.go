// Package pages reads README.md and what lies in docs, for the tests that hold them: their links lead somewhere, their commands
// run, and what they show of it is what comes.
package pages

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// Page is one Markdown file.
type Page struct {
	Name    string // from the top of the tree: docs/install.md
	Anchors []string
	Links   []Link
	Spans   []Span // inline code
	Blocks  []Block
	Stray   []Span // commands that are indented instead of fenced, so that nothing holds them
}

// Link is a link of a page, as it is written.
type Link struct {
	Line   int
	Target string
}

// Span is a piece of code within a line.
type Span struct {
	Line int
	Text string
}

// Block is a fenced block. Its info string is the language and then words: `console status=3`, `sh not-run=network`.
type Block struct {
	Line int // of its first line of text
	Lang string
	Attr map[string]string
	Text string
}

// Read reads the pages that users read: README.md and docs/*.md, the first of them first, then by name.
func Read(top string) ([]Page, error) {
	names, err := filepath.Glob(filepath.Join(top, "docs", "*.md"))
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	var all []Page
	for _, name := range append([]string{filepath.Join(top, "README.md")}, names...) {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		rel, err := filepath.Rel(top, name)
		if err != nil {
			return nil, err
		}
		p, err := Parse(filepath.ToSlash(rel), string(text))
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

var (
	fence    = regexp.MustCompile("^ {0,3}```([^`]*)$")
	heading  = regexp.MustCompile(`^#{1,6} +(.*?) *#*$`)
	link     = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	span     = regexp.MustCompile("`([^`]+)`")
	indented = regexp.MustCompile(`^ {4}(?:[#$] )?((?:sudo|sudoedit|tierctl|systemctl|journalctl|make|curl|apt|dnf|systemd-creds)(?: .*)?)$`)
)

// Parse reads one page. A fence that is never closed is an error.
func Parse(name, text string) (Page, error) {
	p := Page{Name: name}
	var open *Block
	seen := map[string]int{}
	for i, line := range strings.Split(text, "\n") {
		number := i + 1
		m := fence.FindStringSubmatch(line)
		switch {
		case open != nil && m != nil && strings.TrimSpace(m[1]) == "":
			p.Blocks = append(p.Blocks, *open)
			open = nil
		case open != nil:
			open.Text += line + "\n"
		case m != nil:
			open = newBlock(number+1, m[1])
		default:
			p.line(number, line, seen)
		}
	}
	if open != nil {
		return p, fmt.Errorf("%s:%d: this block is never closed", name, open.Line-1)
	}
	return p, nil
}

func newBlock(line int, info string) *Block {
	b := &Block{Line: line, Attr: map[string]string{}}
	words := strings.Fields(info)
	if len(words) == 0 {
		return b
	}
	b.Lang = words[0]
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		b.Attr[key] = value
	}
	return b
}

func (p *Page) line(number int, line string, seen map[string]int) {
	if m := heading.FindStringSubmatch(line); m != nil {
		a := Anchor(m[1])
		if n := seen[a]; n > 0 { // a heading that is there already gets a number
			p.Anchors = append(p.Anchors, fmt.Sprintf("%s-%d", a, n))
		} else {
			p.Anchors = append(p.Anchors, a)
		}
		seen[a]++
	}
	if m := indented.FindStringSubmatch(line); m != nil {
		p.Stray = append(p.Stray, Span{number, m[1]})
		return
	}
	for _, m := range span.FindAllStringSubmatch(line, -1) {
		p.Spans = append(p.Spans, Span{number, m[1]})
	}
	for _, m := range link.FindAllStringSubmatch(span.ReplaceAllString(line, ""), -1) {
		p.Links = append(p.Links, Link{number, m[1]})
	}
}

// Anchor is what a heading is called in a link: small letters, digits, dashes for spaces, and nothing else.
func Anchor(title string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(title) {
		switch {
		case r == ' ' || r == '-':
			b.WriteByte('-')
		case r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			b.WriteRune(r)
		}
	}
	return b.String()
}

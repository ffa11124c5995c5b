package pages

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestMessagesAreThoseOfThePrograms: of each message that a page shows, what stands between the dots is in the source.
func TestMessagesAreThoseOfThePrograms(t *testing.T) {
	literals := literalsOf(t)
	shown := 0
	for _, p := range allPages(t) {
		for _, b := range p.Blocks {
			if _, message := b.Attr["message"]; !message {
				continue
			}
			for i, line := range strings.Split(strings.TrimSpace(b.Text), "\n") {
				shown++
				for _, part := range strings.Split(line, dots) {
					if part = strings.Trim(part, ` ;.,:"()`); len(part) < 4 {
						continue
					}
					if !slices.ContainsFunc(literals, func(l string) bool { return strings.Contains(l, part) }) {
						t.Errorf("%s:%d: no program says %q", p.Name, b.Line+i, part)
					}
				}
			}
		}
	}
	if shown < 20 {
		t.Errorf("only %d messages were found", shown)
	}
}

// literalsOf are the texts in the programs' sources, joined where they are with +.
func literalsOf(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, dir := range []string{"agent", "cmd", "rocm", "units"} {
		err := filepath.WalkDir(filepath.Join(top, dir), func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if e, ok := n.(ast.Expr); ok {
					if s, ok := literal(e); ok {
						all = append(all, s)
						return false
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func literal(e ast.Expr) (string, bool) {
	switch x := e.(type) {
	case *ast.BasicLit:
		if x.Kind != token.STRING {
			return "", false
		}
		s, err := strconv.Unquote(x.Value)
		return s, err == nil
	case *ast.BinaryExpr:
		left, ok := literal(x.X)
		right, ok2 := literal(x.Y)
		return left + right, ok && ok2 && x.Op == token.ADD
	}
	return "", false
}

// ofAFragment are faults of a piece of tiers.toml that a whole file would have as well.
var ofAFragment = regexp.MustCompile(`this is not TOML|unknown key|must be|is none of|means nothing to|is not within|would be a secret`)

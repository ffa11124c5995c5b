package pages

import (
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tierd/tierd/units"
)

const top = "../.."

var read = sync.OnceValues(func() ([]Page, error) { return Read(top) })

func allPages(t *testing.T) []Page {
	t.Helper()
	all, err := read()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Fatalf("only %d pages were found", len(all))
	}
	return all
}

// reasons are why commands of a page are run nowhere. They are held to what cmd/tierctl and this package can tell without
// running them: commands, flags and programs that there are.
var reasons = map[string]string{
	"boot":    "changes how a host boots, and reboots it",
	"client":  "needs OpenCode; packaging/vmtest's tests of the real client run the same",
	"desktop": "needs a graphical session; cmd/tierctl's tests of notify have a bus of their own",
	"fedora":  "needs Fedora; testdata/scenarios/rpm.txtar has the same package installed by rpm",
	"memory":  "takes the memory of the machine that a bed runs on; TestVMGuardTry runs it in a VM",
	"network": "fetches from servers outside of this machine",
	"source":  "needs the source tree and builds the package; `make check` is what runs these tests",
	"user":    "is about the user who logs in, and a bed has root alone",
}

// programs are those that commands may call besides tierctl, so that a word that is none of them is found.
var programs = strings.Fields(`apt apt-get cat chmod chown cmake cp curl dnf echo exec export git grep grubby head hf journalctl ls make man mkdir npm opencode
	printf python3 reboot sed stat sudoedit systemctl systemd-analyze systemd-creds tail tee test tierctl update-grub update-initramfs usermod uv cd
	$(hipconfig /opt/vllm/bin/vllm jq eval`)

// TestEveryCommandIsRunOrHasItsReason: a block of commands runs in a bed, or says why not with a word that is known; no command
// stands outside of a block; and none calls a program that no reader has.
func TestEveryCommandIsRunOrHasItsReason(t *testing.T) {
	used := map[string]bool{}
	for _, p := range allPages(t) {
		for _, s := range p.Stray {
			t.Errorf("%s:%d: `%s` stands in an indented block, which nothing runs; put it into a fenced one", p.Name, s.Line, s.Text)
		}
		for _, b := range p.Blocks {
			if !slices.Contains([]string{"", "console", "sh", "text", "toml", "json", "jsonc", "yaml", "ini"}, b.Lang) {
				t.Errorf("%s:%d: a block of the language %q; commands are console or sh, and other text is text", p.Name, b.Line, b.Lang)
			}
			if words := strings.Fields(b.Text); b.Lang == "" && len(words) > 1 && (words[0] == "$" || slices.Contains(programs, words[0])) {
				t.Errorf("%s:%d: this block begins with a command, and is no block of commands", p.Name, b.Line)
			}
			if b.Lang == "console" && len(b.Steps()) == 0 {
				t.Errorf("%s:%d: this block has no command after a prompt", p.Name, b.Line)
			}
			if why := b.NotRun(); why != "" {
				used[why] = true
				if reasons[why] == "" {
					t.Errorf("%s:%d: not-run=%s is no reason that this test knows", p.Name, b.Line, why)
				}
			}
			for _, s := range b.Steps() {
				for _, words := range s.Lines() {
					if !slices.Contains(programs, words[0]) {
						t.Errorf("%s:%d: %q calls %s, which this test does not know", p.Name, s.Line, strings.Join(words, " "), words[0])
					}
				}
			}
		}
	}
	for why := range reasons {
		if !used[why] && why != "client" && why != "desktop" {
			t.Errorf("no block has the reason %q any more", why)
		}
	}
}

// TestMakeTargets: what a page has make do, the Makefile can.
func TestMakeTargets(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(top, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	target := func(where string, line int, words []string) {
		for _, w := range words[1:] {
			if w != "" && !strings.Contains(w, "=") && !regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(w)+`:`).Match(makefile) {
				t.Errorf("%s:%d: the Makefile has no target %s", where, line, w)
			}
		}
	}
	for _, p := range allPages(t) {
		for _, b := range p.Blocks {
			for _, s := range b.Steps() {
				for _, words := range s.Lines() {
					if words[0] == "make" {
						target(p.Name, s.Line, words)
					}
				}
			}
		}
		for _, s := range p.Spans {
			if words := strings.Fields(s.Text); words[0] == "make" {
				target(p.Name, s.Line, words)
			}
		}
	}
}

// TestLinksLeadSomewhere looks for the file and the heading of every link in every Markdown file of the tree.
func TestLinksLeadSomewhere(t *testing.T) {
	files := map[string]Page{}
	err := filepath.WalkDir(top, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{"build", "dist", ".git", "testdata"}, d.Name()):
			return fs.SkipDir
		case d.IsDir() || path.Ext(name) != ".md" || strings.Contains(name, "docs/man/"):
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(top, name)
		files[rel], err = Parse(rel, string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range files {
		for _, l := range p.Links {
			if fault := broken(files, name, l.Target); fault != "" {
				t.Errorf("%s:%d: the link to %s: %s", name, l.Line, l.Target, fault)
			}
		}
	}
}

// broken tells why a link leads nowhere, "" when it does not. What is elsewhere is not asked for.
func broken(files map[string]Page, from, target string) string {
	if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
		return ""
	}
	file, anchor, _ := strings.Cut(target, "#")
	to := from
	if file != "" {
		to = path.Join(path.Dir(from), file)
	}
	if _, err := os.Stat(filepath.Join(top, to)); err != nil {
		return "there is no such file"
	}
	if p, known := files[to]; known && anchor != "" && !slices.Contains(p.Anchors, anchor) {
		return "the page has no such heading"
	}
	return ""
}

// TestEveryPageIsInTheIndex: a page that nothing leads to is not read. docs/README.md lists the files of the package as well.
func TestEveryPageIsInTheIndex(t *testing.T) {
	var linked []string
	for _, p := range allPages(t) {
		if p.Name == "docs/README.md" {
			for _, l := range p.Links {
				linked = append(linked, path.Join("docs", l.Target))
			}
		}
	}
	for _, p := range allPages(t) {
		if p.Name == "README.md" || p.Name == "docs/README.md" {
			continue
		}
		if !slices.Contains(linked, p.Name) {
			t.Errorf("docs/README.md has no link to %s", p.Name)
		}
	}
}

// TestPiecesOfTiersTomlAreRight: keys and values that a page shows are such that there are.
func TestPiecesOfTiersTomlAreRight(t *testing.T) {
	for _, p := range allPages(t) {
		for _, b := range p.Blocks {
			if b.Lang != "toml" {
				continue
			}
			_, faults := units.ParseConfig(p.Name, []byte(b.Text))
			for _, f := range faults {
				if ofAFragment.MatchString(f.Msg) {
					t.Errorf("%s:%d: %s", p.Name, b.Line+f.Line-1, f.Msg)
				}
			}
		}
	}
}

var sourceFile = regexp.MustCompile(`^(?:(?:agent|cmd|docs|packaging|rocm|units)/)?[A-Za-z0-9_/*-]+\.(?:go|toml|md|json|txtar)$|^(?:agent|cmd|packaging|rocm|units)(?:/[a-z-]+)*$`)

// TestFilesOfTheSourceAreThere: a page for newcomers that names files long gone leads them astray. A name without a folder is one
// of those that the tree has under it.
func TestFilesOfTheSourceAreThere(t *testing.T) {
	names := map[string]bool{}
	err := filepath.WalkDir(top, func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && slices.Contains([]string{"build", "dist", ".git"}, d.Name()) {
			return fs.SkipDir
		}
		rel, _ := filepath.Rel(top, name)
		names[rel], names[d.Name()] = true, true
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, p := range allPages(t) {
		if p.Name != "docs/architecture.md" {
			continue
		}
		for _, s := range p.Spans {
			if !sourceFile.MatchString(s.Text) {
				continue
			}
			found++
			if !slices.ContainsFunc(slices.Collect(maps.Keys(names)), func(n string) bool { ok, _ := path.Match(s.Text, n); return ok }) {
				t.Errorf("%s:%d: there is no %s", p.Name, s.Line, s.Text)
			}
		}
	}
	if found < 40 {
		t.Errorf("only %d names of files were found", found)
	}
}

package hub

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

const (
	aCommit = "0123456789abcdef0123456789abcdef01234567"
	aSHA256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
)

func listing(siblings string) string {
	return fmt.Sprintf(`{"sha":%q,"siblings":[%s]}`, aCommit, siblings)
}

func TestListings(t *testing.T) {
	small := fmt.Sprintf(`{"rfilename":"config.json","size":5,"blobId":%q}`, aCommit)
	large := fmt.Sprintf(`{"rfilename":"a/m.gguf","size":7,"blobId":%q,"lfs":{"sha256":%q,"size":7,"pointerSize":130}}`, aCommit, aSHA256)
	named := func(name string) string { return strings.Replace(small, "config.json", name, 1) }
	for _, c := range []struct{ rule, text, says string }{
		{"small and large files", listing(small + "," + large), ""},
		{"a repository without files", listing(""), ""},
		{"a page for a person", "<html>sign in</html>", "no list of files"},
		{"no commit", `{"siblings":[]}`, "names no commit"},
		{"a commit that is a path", `{"sha":"../../x","siblings":[]}`, "names no commit"},
		{"a path that leads out", listing(named("../../etc/cron.d/x")), "does not stay"},
		{"an absolute path", listing(named("/etc/passwd")), "does not stay"},
		{"a path that is not its own shortest form", listing(named("a//b")), "does not stay"},
		{"the folder itself", listing(named(".")), "does not stay"},
		{"a backslash", listing(named(`a\\b`)), "characters"},
		{"a line's end", listing(named(`a\nb`)), "characters"},
		{"an escape sequence", listing(named(`a\u001b[2Jb`)), "characters"},
		{"text that turns around", listing(named(`a\u202eb`)), "characters"},
		{"no name", listing(named("")), "0 characters"},
		{"a long name", listing(named(strings.Repeat("x", 201))), "does not stay"},
		{"one file twice", listing(small + "," + small), "twice"},
		{"a file that is a folder", listing(named("a") + "," + named("a/b/c")), "a file and a folder"},
		{"no size", listing(fmt.Sprintf(`{"rfilename":"x","blobId":%q}`, aCommit)), "no size of x"},
		{"a negative size", listing(fmt.Sprintf(`{"rfilename":"x","size":-1,"blobId":%q}`, aCommit)), "no size of x"},
		{"a size beyond all", listing(fmt.Sprintf(`{"rfilename":"x","size":99999999999999999,"blobId":%q}`, aCommit)), "no size of x"},
		{"no checksum", listing(`{"rfilename":"x","size":1}`), "no checksum of x"},
		{"a checksum that is a path", listing(`{"rfilename":"x","size":1,"lfs":{"sha256":"../../../x","size":1}}`), "no checksum of x"},
	} {
		l, err := parseListing("a/b", []byte(c.text))
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.rule, err)
		}
		if err != nil && len(l.Files) > 0 && c.says != "twice" && c.says != "a file and a folder" {
			t.Errorf("%s: files in spite of the error", c.rule)
		}
	}
}

func FuzzParseListing(f *testing.F) {
	f.Add(listing(fmt.Sprintf(`{"rfilename":"config.json","size":5,"blobId":%q}`, aCommit)))
	f.Add(listing(fmt.Sprintf(`{"rfilename":"../x","size":5,"lfs":{"sha256":%q,"size":3}}`, aSHA256)))
	f.Add(`{"sha":null,"siblings":[null]}`)
	f.Add(`[]`)
	f.Fuzz(func(t *testing.T, text string) {
		l, err := parseListing("a/b", []byte(text))
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, file := range l.Files {
			if !filepath.IsLocal(file.Path) || filepath.Clean(file.Path) != file.Path || seen[file.Path] {
				t.Errorf("took the path %q", file.Path)
			}
			if file.Size < 0 || !file.Sum.valid() || strings.ContainsAny(file.Sum.key(), "/.") {
				t.Errorf("took %+v", file)
			}
			seen[file.Path] = true
		}
		for _, n := range []Name{{Repo: "a/b"}, {Repo: "a/b", File: "m-00001-of-00002.gguf"}} {
			chosen, _ := choose(l, n, nil)
			for _, file := range chosen {
				if !seen[file.Path] {
					t.Errorf("chose %q, which is not listed", file.Path)
				}
			}
		}
	})
}

func FuzzAnswerHeaders(f *testing.F) {
	f.Add("bytes 5-9/10", "17")
	f.Add("bytes */10", "Thu, 26 Nov 2026 12:00:00 GMT")
	f.Add("bytes 5-4/10", "-1")
	f.Fuzz(func(t *testing.T, content, retry string) {
		start, size, err := contentRange(content)
		if err == nil && (start < 0 || size >= 0 && size <= start) {
			t.Errorf("%q is from %d of %d", content, start, size)
		}
		if d := retryAfter(retry, noon); d < 0 {
			t.Errorf("%q is %s", retry, d)
		}
	})
}

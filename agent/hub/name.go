package hub

import (
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Name is a model as tiers.toml names it.
type Name struct {
	Repo string // "ORG/NAME"
	File string // a .gguf file in it, "" for the repository's safetensors
}

func (n Name) String() string {
	if n.File == "" {
		return n.Repo
	}
	return n.Repo + "/" + n.File
}

// repoPart is what Hugging Face allows in an organisation's and a repository's name.
var repoPart = regexp.MustCompile(`^[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?$`)

// ParseName reads "ORG/NAME" or "ORG/NAME/file.gguf".
func ParseName(text string) (Name, error) {
	parts := strings.SplitN(text, "/", 3)
	if len(parts) < 2 {
		return Name{}, fmt.Errorf("%q names no repository of a hub, which is ORG/NAME, or ORG/NAME/file.gguf for one GGUF file", text)
	}
	for _, part := range parts[:2] {
		if !repoPart.MatchString(part) || strings.Contains(part, "..") || strings.Contains(part, "--") {
			return Name{}, fmt.Errorf("%q names no repository of a hub: %q has characters that a hub does not allow there", text, part)
		}
	}
	n := Name{Repo: parts[0] + "/" + parts[1]}
	if len(parts) == 3 {
		n.File = parts[2]
		if err := checkPath(n.File); err != nil {
			return Name{}, fmt.Errorf("%q: %w", text, err)
		}
		if !strings.HasSuffix(n.File, ".gguf") {
			return Name{}, fmt.Errorf("%q: what is named in a repository has to be a .gguf file; %s alone is its safetensors", text, n.Repo)
		}
	}
	return n, nil
}

// Bounds of a path in a repository, below those of file systems.
const (
	maxPath    = 1000
	maxSegment = 200
)

// checkPath refuses a file's path that could lead out of its folder or hide in a terminal.
func checkPath(name string) error {
	switch {
	case name == "" || len(name) > maxPath:
		return fmt.Errorf("the path of a file has %d characters", len(name))
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) || r == '\\' }):
		return fmt.Errorf("the path %+q has characters that no file of a model has", name)
	case path.IsAbs(name) || path.Clean(name) != name:
		return fmt.Errorf("the path %q does not stay in its folder", name)
	}
	for segment := range strings.SplitSeq(name, "/") {
		if segment == ".." || segment == "." || len(segment) > maxSegment {
			return fmt.Errorf("the path %q does not stay in its folder", name)
		}
	}
	return nil
}

// revisionText is a branch, a tag, a commit, or refs/pr/1.
var revisionText = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/+-]{0,199}$`)

func checkRevision(text string) error {
	if !revisionText.MatchString(text) || strings.Contains(text, "..") || strings.Contains(text, "//") {
		return fmt.Errorf("revision %q is no branch, tag or commit", text)
	}
	return nil
}

// splitName is how llama.cpp names the parts of a split file; it finds them by the name of the first.
var splitName = regexp.MustCompile(`^(.+)-([0-9]{5})-of-([0-9]{5})\.gguf$`)

// maxParts is more than any model has.
const maxParts = 1000

// parts are the names of all files that belong to a GGUF file: itself, or each part of a split one.
func parts(file string) ([]string, error) {
	m := splitName.FindStringSubmatch(file)
	if m == nil {
		return []string{file}, nil
	}
	count, _ := strconv.Atoi(m[3])
	switch {
	case m[2] != "00001":
		return nil, fmt.Errorf("%s is not the first of its parts; name %s-00001-of-%s.gguf", file, m[1], m[3])
	case count < 1 || count > maxParts:
		return nil, fmt.Errorf("%s would have %d parts, and more than %d are not fetched", file, count, maxParts)
	}
	names := make([]string, count)
	for i := range names {
		names[i] = fmt.Sprintf("%s-%05d-of-%s.gguf", m[1], i+1, m[3])
	}
	return names, nil
}

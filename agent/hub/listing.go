package hub

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"regexp"
)

// File is one file of a repository at one commit.
type File struct {
	Path string
	Size int64
	Sum  Sum
}

// Listing is what a hub has of a repository at one commit.
type Listing struct {
	Repo   string
	Commit string // 40 hexadecimal digits
	Files  []File
}

// Bounds of a listing. The largest repositories of models have some thousands of files.
const (
	maxListing = 32 << 20
	maxFiles   = 20_000
	maxSize    = 1 << 46 // 64 TiB: sums stay far from overflow
)

// wireListing is the answer to GET /api/models/REPO/revision/REV?blobs=true, as much of it as is needed.
type wireListing struct {
	SHA      string `json:"sha"`
	Siblings []struct {
		Name string `json:"rfilename"`
		Size *int64 `json:"size"`
		Blob string `json:"blobId"`
		LFS  *struct {
			SHA256 string `json:"sha256"`
			Size   *int64 `json:"size"`
		} `json:"lfs"`
	} `json:"siblings"`
}

var commitText = regexp.MustCompile(`^[0-9a-f]{40}$`)

// parseListing reads a hub's answer. Whatever in it cannot be trusted is an error: there is no half of a listing.
func parseListing(repo string, text []byte) (Listing, error) {
	var wire wireListing
	if err := json.Unmarshal(text, &wire); err != nil {
		return Listing{}, errors.New("the answer is no list of files; is it a hub that answers there?")
	}
	l := Listing{Repo: repo, Commit: wire.SHA}
	switch {
	case !commitText.MatchString(wire.SHA):
		return Listing{}, errors.New("the answer names no commit")
	case len(wire.Siblings) > maxFiles:
		return Listing{}, fmt.Errorf("it lists %d files, and more than %d are not read", len(wire.Siblings), maxFiles)
	}
	for _, s := range wire.Siblings {
		f := File{Path: s.Name}
		if err := checkPath(s.Name); err != nil {
			return Listing{}, fmt.Errorf("the hub's list is refused: %w", err)
		}
		size := s.Size
		if s.LFS != nil {
			if s.LFS.Size != nil {
				size = s.LFS.Size
			}
			f.Sum = Sum{Kind: sha256Sum, Hex: s.LFS.SHA256}
		} else {
			f.Sum = Sum{Kind: gitBlob, Hex: s.Blob}
		}
		if size == nil || *size < 0 || *size > maxSize {
			return Listing{}, fmt.Errorf("the hub names no size of %s", s.Name)
		}
		if !f.Sum.valid() {
			return Listing{}, fmt.Errorf("the hub names no checksum of %s, so nobody could tell whether it came whole", s.Name)
		}
		f.Size = *size
		l.Files = append(l.Files, f)
	}
	return l, distinct(l.Files)
}

// distinct refuses a list in which two files would have one place.
func distinct(files []File) error {
	taken := make(map[string]bool, len(files))
	for _, f := range files {
		if taken[f.Path] {
			return fmt.Errorf("the hub's list is refused: it has %s twice", f.Path)
		}
		taken[f.Path] = true
	}
	for _, f := range files {
		for dir := path.Dir(f.Path); dir != "."; dir = path.Dir(dir) {
			if taken[dir] {
				return fmt.Errorf("the hub's list is refused: %s is a file and a folder", dir)
			}
		}
	}
	return nil
}

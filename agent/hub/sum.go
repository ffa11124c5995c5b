package hub

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"regexp"
)

// Sum is a file's checksum, of the kind that the hub has of it.
type Sum struct {
	Kind string // sha256Sum or gitBlob
	Hex  string
}

// Large files are in LFS, which names them by SHA-256; the others are git's, which hashes a header with their size before them.
const (
	sha256Sum = "sha256"
	gitBlob   = "git"
)

var sumText = map[string]*regexp.Regexp{
	sha256Sum: regexp.MustCompile(`^[0-9a-f]{64}$`),
	gitBlob:   regexp.MustCompile(`^[0-9a-f]{40}$`),
}

func (s Sum) valid() bool { return sumText[s.Kind] != nil && sumText[s.Kind].MatchString(s.Hex) }

// key names a file with this content, on its way or come.
func (s Sum) key() string { return s.Kind + "-" + s.Hex }

// hash begins the sum of a file of that size.
func (s Sum) hash(size int64) hash.Hash {
	if s.Kind == sha256Sum {
		return sha256.New()
	}
	h := sha1.New()
	fmt.Fprintf(h, "blob %d\x00", size)
	return h
}

func (s Sum) is(h hash.Hash) bool { return hex.EncodeToString(h.Sum(nil)) == s.Hex }

// matches reads a whole file of that size and compares.
func (s Sum) matches(r io.Reader, size int64) (bool, error) {
	h := s.hash(size)
	n, err := io.Copy(h, r)
	return err == nil && n == size && s.is(h), err
}

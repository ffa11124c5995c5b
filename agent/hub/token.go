package hub

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Token is what a hub knows an account by. It prints as nothing, so that it cannot get into a message by chance.
type Token struct{ secret string }

// String hides it.
func (t Token) String() string {
	if t.secret == "" {
		return "no token"
	}
	return "a token"
}

// GoString hides it from %#v.
func (t Token) GoString() string { return t.String() }

// Credential is the name under which a service's unit may hand over the token (systemd.exec(5), LoadCredential=).
const Credential = "hf-token"

// FindToken looks where Hugging Face's own client does, and for a credential. get is os.Getenv; home the home directory. No
// token is no error; a file that is named and cannot be used is one.
func FindToken(get func(string) string, home string) (Token, error) {
	if text := get("HF_TOKEN"); strings.TrimSpace(text) != "" {
		return makeToken(text, "HF_TOKEN")
	}
	if dir := get("CREDENTIALS_DIRECTORY"); dir != "" {
		if t, err := readToken(filepath.Join(dir, Credential)); err != nil || t.secret != "" {
			return t, err
		}
	}
	if file := get("HF_TOKEN_PATH"); file != "" {
		return readToken(file)
	}
	switch {
	case get("HF_HOME") != "":
		return readToken(filepath.Join(get("HF_HOME"), "token"))
	case get("XDG_CACHE_HOME") != "":
		return readToken(filepath.Join(get("XDG_CACHE_HOME"), "huggingface", "token"))
	case home != "":
		return readToken(filepath.Join(home, ".cache", "huggingface", "token"))
	}
	return Token{}, nil
}

// readToken: a file that is not there holds none.
func readToken(file string) (Token, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return Token{}, nil
	}
	if err != nil {
		return Token{}, fmt.Errorf("cannot read the hub's token: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxToken+2))
	if err != nil {
		return Token{}, fmt.Errorf("cannot read the hub's token: %w", err)
	}
	return makeToken(string(text), file)
}

const maxToken = 4096

// makeToken refuses what could not stand in a header. The error does not quote it.
func makeToken(text, from string) (Token, error) {
	text = strings.TrimSpace(text)
	bad := func(r rune) bool { return r <= ' ' || r > '~' }
	if len(text) > maxToken || strings.ContainsFunc(text, bad) {
		return Token{}, fmt.Errorf("%s holds no token of a hub: that is one word of letters and digits", from)
	}
	return Token{secret: text}, nil
}

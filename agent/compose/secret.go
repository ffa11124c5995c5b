package compose

import (
	"net/url"
	"regexp"
	"strings"
	"unicode"

	"github.com/tierd/tierd/units"
)

// notCopied is why a secret is not in the result, and where it goes instead.
const notCopied = "looks like a secret, and is never copied: every user can read tiers.toml. Clients' keys are made by `tierctl key`; " +
	"that of a server elsewhere is a credential, see `key` in tiers.toml(5)"

var (
	inHeader = regexp.MustCompile(`(?i)\b(authorization["']?\s*[:=]|bearer\s|basic\s)\s*["']?\S`)
	notWord  = regexp.MustCompile(`[^A-Za-z0-9_.-]+`)
	plainRun = regexp.MustCompile(`[A-Za-z0-9]{20,}`)
)

// holdsSecret tells whether a value has a secret in it, whatever the flag or variable is called: a key in the form of a well-known
// service, a header that authorizes, an address with a password, or a long word that nobody made up.
func holdsSecret(name, text string) bool {
	if u, err := url.Parse(text); err == nil {
		if _, has := u.User.Password(); has {
			return true
		}
	}
	if inHeader.MatchString(text) {
		return true
	}
	for _, word := range notWord.Split(text, -1) {
		if units.SecretForm(word) {
			return true
		}
	}
	// A commit of a model's repository is one in 40 digits, in a flag of its own or in a path of the hub's cache.
	if strings.HasSuffix(strings.ToLower(name), "revision") || strings.HasPrefix(text, "/") {
		return false
	}
	for _, run := range plainRun.FindAllString(text, -1) {
		if random(run) {
			return true
		}
	}
	return false
}

// random tells a word of letters and digits that was drawn by lot from one that was made up, as Qwen3ForSequenceClassification: it
// goes from small letters to large ones and to digits all the time. A key of 32 hexadecimal digits is missed once in a hundred.
func random(word string) bool {
	kind := func(c byte) int {
		switch r := rune(c); {
		case unicode.IsDigit(r):
			return 0
		case unicode.IsUpper(r):
			return 1
		}
		return 2
	}
	digits, changes := 0, 0
	for i := range len(word) {
		if kind(word[i]) == 0 {
			digits++
		}
		if i > 0 && kind(word[i]) != kind(word[i-1]) {
			changes++
		}
	}
	n := len(word)
	return 6*digits >= n && 4*changes >= n || 5*changes >= 2*n
}

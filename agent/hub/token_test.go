package hub

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhereATokenComesFrom(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return at
	}
	write("home/.cache/huggingface/token", "hf_home\n")
	write("cache/huggingface/token", "hf_xdg\n")
	write("hf/token", "hf_hfhome")
	write("creds/hf-token", "hf_credential\n")
	path := write("mine", " hf_path \n")
	binary := write("binary", "a\x00b")
	home := filepath.Join(dir, "home")
	for _, c := range []struct {
		rule string
		env  map[string]string
		home string
		want string
		says string
	}{
		{"the variable", map[string]string{"HF_TOKEN": " hf_env\n", "HF_TOKEN_PATH": path}, home, "hf_env", ""},
		{"the credential of a unit", map[string]string{"CREDENTIALS_DIRECTORY": filepath.Join(dir, "creds"), "HF_TOKEN_PATH": path}, home, "hf_credential", ""},
		{"a unit without that credential", map[string]string{"CREDENTIALS_DIRECTORY": dir, "HF_TOKEN_PATH": path}, home, "hf_path", ""},
		{"the file that is named", map[string]string{"HF_TOKEN_PATH": path, "HF_HOME": filepath.Join(dir, "hf")}, home, "hf_path", ""},
		{"the client's folder", map[string]string{"HF_HOME": filepath.Join(dir, "hf")}, home, "hf_hfhome", ""},
		{"the user's cache", map[string]string{"XDG_CACHE_HOME": filepath.Join(dir, "cache")}, home, "hf_xdg", ""},
		{"the home directory", nil, home, "hf_home", ""},
		{"nowhere", nil, dir, "", ""},
		{"no home", nil, "", "", ""},
		{"an empty variable is none", map[string]string{"HF_TOKEN": " "}, dir, "", ""},
		{"what is no word", map[string]string{"HF_TOKEN": "hf_a\r\nX-Evil: secret"}, home, "", "HF_TOKEN holds no token"},
		{"a file of something else", map[string]string{"HF_TOKEN_PATH": binary}, home, "", "binary holds no token"},
		{"a long one", map[string]string{"HF_TOKEN_PATH": write("long", strings.Repeat("x", 5000))}, home, "", "long holds no token"},
		{"a folder", map[string]string{"HF_TOKEN_PATH": dir}, home, "", "cannot read the hub's token"},
	} {
		got, err := FindToken(func(name string) string { return c.env[name] }, c.home)
		if got.secret != c.want || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %q, %v", c.rule, got.secret, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error quotes it: %v", c.rule, err)
		}
	}
}

func TestATokenDoesNotPrint(t *testing.T) {
	token := Token{"hf_secret"}
	h, err := New("https://hub.example", token, nil, Patience{})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprint(token), fmt.Sprintf("%+v %#v %s %q", token, token, token, token), fmt.Sprintf("%v", struct{ T Token }{token}), h.Endpoint()} {
		if strings.Contains(text, "secret") {
			t.Error(text)
		}
	}
	if fmt.Sprint(Token{}) != "no token" {
		t.Error(Token{})
	}
}

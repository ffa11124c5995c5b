package main

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestPreferences(t *testing.T) {
	known := map[string]bool{"--load-mode": true, "-fa": true, "--flash-attn": true}
	tests := []struct {
		name, text string
		want       []string
	}{
		{"the first that is known", "--load-mode mmap|--mmap", []string{"--load-mode", "mmap"}},
		{"a later one when the first has gone", "--mmap|--load-mode mmap", []string{"--load-mode", "mmap"}},
		{"none known, left out", "--mmap|--no-mmap", nil},
		{"an empty alternative ends the search", "--mmap||--load-mode mmap", nil},
		{"no value", "-fa|", []string{"-fa"}},
		{"a value behind an equals sign", "--load-mode=mmap", []string{"--load-mode=mmap"}},
		{"a value with blanks is one word", "--load-mode a b", []string{"--load-mode", "a b"}},
		{"nothing at all", "", nil},
	}
	for _, test := range tests {
		if got := parsePreference(test.text).choose(known); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q gives %q, want %q", test.name, test.text, got, test.want)
		}
	}
}

func TestHelpOfTheRealEngines(t *testing.T) {
	tests := []struct {
		file         string
		known, alien []string
	}{
		{"help-llama.txt", []string{"-h", "--help", "--load-mode", "-fa", "--flash-attn", "-c", "--ctx-size", "--cache-ram", "--ctx-checkpoints"},
			[]string{"--no-mmap", "--mlock", "--draft-max", "--spec-ngram-size-n", "-"}},
		{"help-vllm.txt", []string{"--shutdown-timeout", "--enable-server-load-tracking", "--no-enable-server-load-tracking", "--kv-cache-memory-bytes", "-asc"},
			[]string{"--swap-space", "--disable-log-requests", "--no-shutdown-timeout"}},
	}
	for _, test := range tests {
		text, err := os.ReadFile("testdata/" + test.file)
		if err != nil {
			t.Fatal(err)
		}
		flags := parseHelp(text)
		for _, name := range test.known {
			if !flags[name] {
				t.Errorf("%s: %s is not found", test.file, name)
			}
		}
		for _, name := range test.alien {
			if flags[name] {
				t.Errorf("%s: %s is found", test.file, name)
			}
		}
	}
}

func TestHelpCommands(t *testing.T) {
	tests := []struct {
		engine, argv, want string
	}{
		{"vllm", "/opt/vllm/bin/vllm serve /models/x --port 1", "/opt/vllm/bin/vllm serve --help=all"},
		{"vllm", "python -m vllm.server", "python --help=all"},
		{"llama", "/usr/bin/llama-server -m x", "/usr/bin/llama-server --help"},
		{"llama", "env A=b llama-server -m x", "env A=b llama-server --help"},
		{"llama", "llama-server", "llama-server --help"},
	}
	for _, test := range tests {
		if got := strings.Join(helpCommand(test.engine, strings.Fields(test.argv)), " "); got != test.want {
			t.Errorf("%s: %q, want %q", test.argv, got, test.want)
		}
	}
}

func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "engine")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReadingHelpHasItsBounds(t *testing.T) {
	t.Run("its length", func(t *testing.T) {
		text, err := readHelp(t.Context(), 0, []string{script(t, "head -c 6000000 /dev/zero")}, nil)
		if err != nil || len(text) != helpBytes {
			t.Errorf("%d bytes, %v", len(text), err)
		}
	})
	t.Run("its time, children included", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := readHelp(ctx, 0, []string{script(t, "sleep 1000 & sleep 1000")}, nil); err == nil {
			t.Error("no error")
		}
	})
	t.Run("its status", func(t *testing.T) {
		if _, err := readHelp(t.Context(), 0, []string{script(t, "echo --flag; exit 3")}, nil); err == nil {
			t.Error("no error")
		}
	})
	t.Run("a binary that is not there", func(t *testing.T) {
		_, err := readHelp(t.Context(), 0, []string{"/nowhere/engine", "--help"}, nil)
		if err == nil || err.Error() != "cannot run /nowhere/engine --help: no such file or directory" {
			t.Errorf("error is %v", err)
		}
	})
}

func TestFlagsAreKeptUntilTheBinaryChanges(t *testing.T) {
	env := []string{"CACHE_DIRECTORY=" + t.TempDir() + ":/other"}
	binary := script(t, "true")
	flags := map[string]bool{"--a": true, "-b": true}
	cache := newFlagCache(env, []string{binary, "--help"})
	if cache.load() != nil {
		t.Error("an empty cache has flags")
	}
	if err := cache.store(flags); err != nil {
		t.Fatal(err)
	}
	if got := newFlagCache(env, []string{binary, "--help"}).load(); !reflect.DeepEqual(got, flags) {
		t.Errorf("kept %v", got)
	}
	if newFlagCache(env, []string{binary, "serve", "--help"}).load() != nil {
		t.Error("another command has the same flags")
	}
	if err := os.WriteFile(binary, []byte("#!/bin/sh\necho a newer one\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if newFlagCache(env, []string{binary, "--help"}).load() != nil {
		t.Error("a changed binary has the old flags")
	}
	if err := os.WriteFile(cache.path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if cache.load() != nil {
		t.Error("a damaged cache has flags")
	}
	if none := newFlagCache(nil, []string{binary}); none.load() != nil || none.store(flags) != nil {
		t.Error("without a cache directory something is kept")
	}
}

func FuzzHelp(f *testing.F) {
	f.Add([]byte("-fa,   --flash-attn [on|off]   set it\n--gone   has been removed\n"))
	f.Add([]byte("  --a, --no-a\n -\n --\n---\n--=x\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for name := range parseHelp(text) {
			if !strings.HasPrefix(name, "-") || strings.ContainsAny(name, " \n,=[") || len(name) > 66 {
				t.Errorf("%q is not a flag", name)
			}
		}
	})
}

func FuzzPreference(f *testing.F) {
	f.Add("--load-mode mmap|--mmap|")
	f.Fuzz(func(t *testing.T, text string) {
		p := parsePreference(text)
		for i, words := range p {
			if len(words) == 0 && i != len(p)-1 {
				t.Errorf("%q: something follows the empty alternative in %q", text, p)
			}
			if len(words) > 0 && words[0] == "" {
				t.Errorf("%q: an empty flag in %q", text, p)
			}
		}
	})
}

package opencode

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tierd/tierd/agent/openai"
)

func TestAClientThatDoesNotRunSaysWhy(t *testing.T) {
	ctx := context.Background()
	for _, test := range []struct{ name, script, want string }{
		{
			"npm put a stand-in there", "echo 'Error: opencode-ai'\"'\"'s postinstall script was not run.' >&2; echo >&2; echo 'Or reinstall.' >&2; exit 1",
			"opencode --version` failed (exit status 1): opencode-ai's postinstall script was not run.",
		},
		{"killed", "kill -9 $$", "opencode --version` failed (signal: killed)"},
		{"no word of Error", "echo one >&2; printf '\\033[31mtwo\\033[0m\\n\\n' >&2; exit 7", "failed (exit status 7): two"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := FindClient(ctx, scripted(t, test.script))
			if err == nil || !strings.HasSuffix(err.Error(), test.want) {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

// The client is run where the user is and as the user has it, apart from what keeps it from looking names up.
func TestTheClientRunsInTheUsersEnvironment(t *testing.T) {
	e := scripted(t, `[ "$1" = --version ] && { echo 1.0.0; exit; }
printf '{"dir":"%s","left":"%s","fetch":"%s","npm":"%s","args":"%s"}' "$PWD" "$LEFT" "$OPENCODE_DISABLE_MODELS_FETCH" "$npm_config_offline" "$*"`)
	e.Environ = append(e.Environ, "npm_config_offline=false")
	c, err := FindClient(context.Background(), e)
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.DebugConfig(context.Background())
	want := map[string]any{"dir": e.Dir, "left": "right", "fetch": "1", "npm": "true", "args": "debug config"}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v", got, err)
	}
}

// Nothing that the client does, or has others do, holds tierctl up.
func TestARunOfTheClientIsBounded(t *testing.T) {
	const soon = 200 * time.Millisecond
	for _, test := range []struct {
		name, script, want string
		limit              time.Duration
	}{
		{"in time", "echo 'still there' >&2; sleep 1000", "has not ended within 200ms: still there", soon},
		{"in the time of its children", "sleep 1000 & sleep 1000", "has not ended within 200ms", soon},
		{"in output", "head -c 9000000 /dev/zero", "printed more than 8 MiB", time.Minute},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := scripted(t, test.script)
			c := Client{Path: e.Program(), env: e}
			begin := time.Now()
			_, err := c.run(context.Background(), test.limit, "x")
			if err == nil || !strings.HasSuffix(err.Error(), test.want) {
				t.Errorf("the error is %v", err)
			}
			if took := time.Since(begin); took > 20*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
	t.Run("a child that stays does not hold the answer back", func(t *testing.T) {
		e := scripted(t, "sleep 1000 & echo done")
		out, err := (Client{Path: e.Program(), env: e}).run(context.Background(), time.Minute, "x")
		if err != nil || string(out) != "done\n" {
			t.Errorf("%q, %v", out, err)
		}
	})
	t.Run("in complaints", func(t *testing.T) {
		e := scripted(t, "head -c 1000000 /dev/zero | tr '\\0' e >&2; exit 1")
		_, err := (Client{Path: e.Program(), env: e}).run(context.Background(), time.Minute, "x")
		if err == nil || len(err.Error()) > 2*openai.MaxLine {
			t.Errorf("the error is of %d bytes", len(fmt.Sprint(err)))
		}
	})
	t.Run("by the caller", func(t *testing.T) {
		e := scripted(t, "sleep 1000")
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(soon, cancel)
		if _, err := (Client{Path: e.Program(), env: e}).run(ctx, time.Minute, "x"); !errors.Is(err, context.Canceled) {
			t.Errorf("the error is %v", err)
		}
	})
}

func TestAComplaintIsWhatWentWrongAndWhere(t *testing.T) {
	for _, f := range faults {
		recorded, err := os.ReadFile(filepath.Join("testdata", "client", f.name+".stderr"))
		if err != nil {
			t.Fatal(err)
		}
		if got := complaint(recorded); got != f.says {
			t.Errorf("%s: %q", f.name, got)
		}
	}
	for in, want := range map[string]string{"": "", "\n \n": "", "a\nb\n": "b", "\x1b[91mred\x1b[0m": "red", "\xff\xfe": "?"} {
		if got := complaint([]byte(in)); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}

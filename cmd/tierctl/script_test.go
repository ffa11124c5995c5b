package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "rewrite the expected output")

// noon is the time at which the scripts happen; the fixtures are written for it.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"tierctl": func() {
			a := newApp()
			a.now = func() time.Time { return noon }
			a.root = os.Getenv("HOST_ROOT")
			a.completeWithin = time.Minute // a busy machine is no tierd that does not answer
			a.settle = 100 * time.Millisecond
			os.Exit(a.run(os.Args[1:]))
		},
	})
}

// TestScripts runs the real command against a control server that a script describes.
func TestScripts(t *testing.T) { runScripts(t, "testdata/script") }

func runScripts(t *testing.T, dir string) {
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"control": controlCommand,
			"exits":   exitsCommand,
			"hub":     hubCommand,
			"weights": weightsCommand,
			"part":    partCommand,
			"engine":  engineCommand,
			"tree":    treeCommand,
			"port":    portCommand,
			"host":    func(ts *testscript.TestScript, _ bool, args []string) { ts.Setenv("HOST", hostTree(t, args[0])) },
		},
		Condition: func(name string) (bool, error) {
			switch name {
			case "root":
				return os.Getuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %q", name)
		},
		Setup: func(e *testscript.Env) error {
			e.Setenv("TIERD_SOCKET", filepath.Join(e.WorkDir, "tierd.sock"))
			e.Setenv("TZ", "UTC")
			e.Setenv("NO_COLOR", "")
			e.Setenv("TERM", "xterm")
			command, err := exec.LookPath("tierctl")
			if err != nil {
				return err
			}
			e.Setenv("TIERCTL", command)
			e.Setenv("OPENCODE", os.Getenv("TIERD_OPENCODE"))
			return os.CopyFS(filepath.Join(e.WorkDir, "fixtures"), os.DirFS("testdata/fixtures"))
		},
	})
}

// exitsCommand runs a command that has to end with the given status: `exits 3 tierctl health`.
func exitsCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits STATUS COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d\nstdout: %s\nstderr: %s", got, want, ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
}

//go:build vmtest

package vmtest

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// fixture is what tests share: the base and, on it, for those in beds, a layer with the installed package.
var fixture struct {
	base               Base
	installed          string
	deb, rpm           string
	nextDeb            string // the same with a higher version
	tiers              []byte // what the installed layer has as /etc/tierd/tiers.toml
	bootTime, installs time.Duration
}

func TestMain(m *testing.M) {
	if err := Enter(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	// Beds run real engines on few cores: more than two at once only wait for each other.
	flag.Set("test.parallel", "2")
	if err := prepare(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// prepare finds what every test needs: the package that packaging/build.sh made, and the base.
func prepare(ctx context.Context) (err error) {
	f := &fixture
	if f.deb, err = NewestPackage("../../dist", "tierd_*.deb"); err != nil {
		return err
	}
	f.base, err = MakeBase(ctx, "./mkroot.sh", os.Stderr)
	return err
}

// prepareBeds finds the other packages that packaging/packages.sh made and installs the first in a bed.
var prepareBeds = sync.OnceValue(func() (err error) {
	f := &fixture
	if f.rpm, err = NewestPackage("../../dist", "tierd-*.rpm"); err != nil {
		return err
	}
	if f.nextDeb, err = NewestPackage("../../build/next", "tierd_*.deb"); err != nil {
		return err
	}
	if f.tiers, err = os.ReadFile("testdata/tiers.toml"); err != nil {
		return err
	}
	start := time.Now()
	f.installed, err = f.base.Installed(context.Background(), f.deb, f.tiers)
	f.installs = time.Since(start)
	return err
})

// TestScenarios runs testdata/scenarios/*.txtar, each in a bed of its own; README.md lists their commands.
func TestScenarios(t *testing.T) {
	if err := prepareBeds(); err != nil {
		t.Fatal(err)
	}
	t.Logf("the layer with the installed package was made in %.1f s", fixture.installs.Seconds())
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/scenarios",
		Cmds:                commands,
		RequireUniqueNames:  true,
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Values[sceneKey{}] = &scene{}
			env.Defer(func() { sceneOf(env).close(env) })
			return nil
		},
	})
}

// TestNoScenarioIsForgotten fails when a file in the folder would not be run because of its name.
func TestNoScenarioIsForgotten(t *testing.T) {
	files, err := os.ReadDir("testdata/scenarios")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if filepath.Ext(f.Name()) != ".txtar" {
			t.Errorf("%s is not a scenario: its name does not end in .txtar", f.Name())
		}
	}
}

//go:build vllm && !vmtest

package vmtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if err := Enter(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// vllmScenarios run in this order in one bed. Each leaves coder as the next one needs it: a start takes half a minute on
// an idle machine and several on a busy one, so as few as can be are made.
var vllmScenarios = []struct {
	name  string
	bound time.Duration // for a machine that is busy with other things
	run   func(context.Context, *vllmBed) (figure string, err error)
}{
	{"a stop while vLLM loads is quick and leaves nothing", 8 * time.Minute, stopWhileLoading},
	{"a start shows its progress in words and is ready when a completion works", 8 * time.Minute, startToReady},
	{"the tier's unit is as closed as the others", time.Minute, closedUnit},
	{"a plain request through the tier's port and by name", 2 * time.Minute, plainRequests},
	{"a stream arrives as it is made", 3 * time.Minute, streamedRequest},
	{"tierctl bench measures it at exact depths", 5 * time.Minute, benchedTier},
	{"a stuck engine with a request is restarted, though its health says 200", 12 * time.Minute, stuckEngine},
	{"a killed EngineCore is a failure, though vLLM exits 0, and is restarted", 10 * time.Minute, killedEngine},
	{"a killed shim leaves none of vLLM's processes, and is restarted", 8 * time.Minute, killedShim},
	{"a stop with a stream and a plain request open is bounded and clean", 4 * time.Minute, stopWithRequests},
	{"a model that is not there is said before anything starts", time.Minute, missingModel},
	{"a KV cache that is too small is said with its figures, and not retried", 8 * time.Minute, crampedCache},
	{"an adapter answers to its own name, and the model to the others", 8 * time.Minute, adaptedTier},
	{"the other tiers never noticed", 2 * time.Minute, othersUntouched},
}

// TestVLLM boots a bed with the built package and a real vLLM and runs the scenarios, a line of output for each. One that
// fails is run once more, since a vLLM on two cores leaves little to what watches it; it is named all the same.
func TestVLLM(t *testing.T) {
	ctx := context.Background()
	v, err := newVLLMBed(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	begin := time.Now()
	for _, s := range vllmScenarios {
		figure, err := v.try(ctx, s.bound, s.run)
		if err != nil {
			fmt.Printf("failed once: %s: %v\n%s\n", s.name, err, v.lately(ctx))
			figure, err = v.try(ctx, s.bound, s.run)
		}
		if err != nil {
			fmt.Printf("FAIL %s: %v\n", s.name, err)
			t.Errorf("%s: %v\n%s", s.name, err, v.lately(ctx))
			continue
		}
		fmt.Printf("ok %s (%s)\n", s.name, figure)
	}
	fmt.Printf("%d scenarios with real vLLM in %s\n", len(vllmScenarios), time.Since(begin).Round(time.Second))
}

// try runs one scenario within its bound.
func (v *vllmBed) try(ctx context.Context, bound time.Duration, run func(context.Context, *vllmBed) (string, error)) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	v.mark = time.Now()
	return run(ctx, v)
}

// newVLLMBed boots a bed on the package, vLLM's layer, the model and the Debian tree, and starts the other tiers.
func newVLLMBed(ctx context.Context) (*vllmBed, error) {
	tiers, err := os.ReadFile("testdata/vllm-tiers.toml")
	if err != nil {
		return nil, err
	}
	deb, err := NewestPackage("../../dist", "tierd_*.deb")
	if err != nil {
		return nil, err
	}
	base, err := MakeBase(ctx, "./mkroot.sh", os.Stderr)
	if err != nil {
		return nil, err
	}
	make := exec.CommandContext(ctx, "./mkvllm.sh")
	make.Stderr = os.Stderr
	out, err := make.Output()
	if err != nil {
		return nil, fmt.Errorf("cannot make the layer with vLLM: %w", err)
	}
	installed, err := base.Installed(ctx, deb, tiers)
	if err != nil {
		return nil, err
	}
	b, err := Boot(ctx, installed, strings.TrimSpace(string(out)), base.Model, base.Root)
	if err != nil {
		return nil, err
	}
	v := &vllmBed{Bed: b}
	if _, err := v.Must(ctx, "tierctl start orch && tierctl start utility"); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, v.Journal())
	}
	v.others, err = v.otherPIDs(ctx)
	return v, err
}

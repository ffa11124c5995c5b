package agent

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"

	"github.com/tierd/tierd/agent/api"
)

// inBedWith is inBed on a host with those files, all of them executable.
func inBedWith(t *testing.T, names []string, f func(b *bed, disk fstest.MapFS)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		disk := fstest.MapFS{}
		for _, name := range names {
			disk[name] = &fstest.MapFile{Mode: 0o755, Data: []byte("x")}
		}
		b := newBed(t, filepath.Join(t.TempDir(), "tiers.toml"))
		b.files = disk
		b.run()
		defer b.end()
		f(b, disk)
	})
}

var engines = []string{"usr/bin/llama-server", "opt/llama/llama-server"}

func TestAModelThatWasFetchedSinceIsFoundWithoutAReload(t *testing.T) {
	inBedWith(t, append([]string{"m/orch.gguf"}, engines...), func(b *bed, disk fstest.MapFS) {
		ctx := context.Background()
		b.mustState("orch", api.Stopped)
		b.mustState("coder", api.Blocked)
		_, err := b.Act(ctx, "coder", api.TierRequest{Action: "start"})
		mustKind(t, err, api.KindConfig, "model /m/coder.gguf does not exist")
		status, err := b.Status(ctx)
		if err != nil || len(status.Warnings) != 2 {
			t.Errorf("the warnings: %q, %v", status.Warnings, err)
		}
		b.systemd.did()
		disk["m/coder.gguf"] = &fstest.MapFile{Data: []byte("a model")}
		b.mustState("coder", api.Blocked) // nobody looked yet
		mustDone(t, b.act("coder", "start", ""))
		if got := b.systemd.did("define"); len(got) != 1 || got[0] != "define "+coder {
			t.Errorf("it did %q", got)
		}
		if status, err = b.Status(ctx); err != nil || len(status.Warnings) != 1 || !strings.Contains(status.Warnings[0], "util.gguf") {
			t.Errorf("the warnings: %q, %v", status.Warnings, err)
		}
		disk["m/util.gguf"] = &fstest.MapFile{Data: []byte("a model")}
		mustDone(t, b.up("full"))
		b.mustState("util", api.Ready)
	})
}

func TestAnEngineThatWasInstalledSinceIsFoundWithoutAReload(t *testing.T) {
	inBedWith(t, []string{"m/orch.gguf", "m/coder.gguf", "m/util.gguf", engines[0]}, func(b *bed, disk fstest.MapFS) {
		b.mustState("coder", api.Blocked)
		disk[engines[1]] = &fstest.MapFile{Mode: 0o755}
		if p, err := b.PlanMode(context.Background(), "full"); err != nil || len(p.Warnings) > 0 {
			t.Errorf("the plan: %q, %v", p.Warnings, err)
		}
		mustDone(t, b.act("coder", "start", ""))
	})
}

func TestToLookAgainDoesNotReadTheFile(t *testing.T) {
	inBedWith(t, append([]string{"m/orch.gguf"}, engines...), func(b *bed, disk fstest.MapFS) {
		b.write("nonsense")
		if _, _, err := b.Reload(context.Background(), false); err == nil {
			t.Fatal("nonsense is read")
		}
		disk["m/coder.gguf"] = &fstest.MapFile{}
		mustDone(t, b.act("coder", "start", ""))
		if s, err := b.Status(context.Background()); err != nil || s.ConfigError == "" {
			t.Errorf("the fault of the file is forgotten: %v", err)
		}
	})
}

func TestWhatRunsIsNotStoppedForAModelThatIsGone(t *testing.T) {
	inBedWith(t, append([]string{"m/orch.gguf", "m/coder.gguf", "m/util.gguf"}, engines...), func(b *bed, disk fstest.MapFS) {
		mustDone(t, b.up("full"))
		delete(disk, "m/coder.gguf")
		result, change := mustReload(b, true)
		if len(result.Pending) > 0 || change != "" || b.tierNow("coder").RestartPending {
			t.Errorf("a restart is wanted that cannot succeed: %+v", result)
		}
		_, err := b.Act(context.Background(), "coder", api.TierRequest{Action: "restart"})
		mustKind(t, err, api.KindConfig, "cannot restart "+coder)
		b.mustState("coder", api.Ready)
		disk["m/coder.gguf"] = &fstest.MapFile{}
		mustDone(t, b.act("coder", "restart", ""))
	})
}

func TestAPlanSaysOnceWhatIsMissing(t *testing.T) {
	inBedWith(t, append([]string{"m/orch.gguf", "m/util.gguf"}, engines...), func(b *bed, _ fstest.MapFS) {
		p, err := b.PlanMode(context.Background(), "full")
		if err != nil || len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0], "tier-coder.service cannot start: model /m/coder.gguf does not exist") {
			t.Errorf("the warnings: %q, %v", p.Warnings, err)
		}
	})
}

func TestAHostThatCannotBeReadIsNoStart(t *testing.T) {
	inBedWith(t, engines, func(b *bed, _ fstest.MapFS) {
		b.broken = "no such host"
		_, err := b.Act(context.Background(), "coder", api.TierRequest{Action: "start"})
		mustKind(t, err, api.KindInternal, "no such host")
		_, err = b.PlanMode(context.Background(), "full")
		mustKind(t, err, api.KindInternal, "no such host")
		_, err = b.Stack(context.Background(), api.StackRequest{Action: "up"})
		mustKind(t, err, api.KindInternal, "no such host")
	})
}

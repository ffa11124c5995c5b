package agent

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tierd/tierd/agent/api"
)

func mustReload(b *bed, restart bool) (api.ConfigResult, string) {
	b.t.Helper()
	result, change, err := b.Reload(context.Background(), restart)
	if err != nil {
		b.t.Fatal(err)
	}
	synctest.Wait()
	return result, change
}

func TestAnUnchangedFileChangesNothing(t *testing.T) {
	inBed(t, func(b *bed) {
		mustDone(t, b.act("coder", "start", ""))
		b.systemd.did()
		result, change := mustReload(b, true)
		if len(result.Changed)+len(result.Removed)+len(result.Pending) > 0 || change != "" {
			t.Errorf("reload of the same: %+v, %q", result, change)
		}
		if got := b.systemd.did("define", "adopt", "release", "start", "stop", "reset"); len(got) > 0 {
			t.Errorf("it did %q", got)
		}
	})
}

func TestARunningTierKeepsItsDefinitionUntilItStops(t *testing.T) {
	inBed(t, func(b *bed) {
		mustDone(t, b.act("coder", "start", ""))
		b.systemd.did()
		b.change("/m/coder.gguf", "/m/coder-2.gguf")
		result, _ := mustReload(b, false)
		if !slices.Equal(result.Changed, []string{"coder"}) || !slices.Equal(result.Pending, []string{"coder"}) {
			t.Errorf("the reload: %+v", result)
		}
		if got := b.systemd.did("define", "start", "stop"); len(got) > 0 {
			t.Errorf("it did %q to a running tier", got)
		}
		if !b.tierNow("coder").RestartPending {
			t.Error("restart pending is not shown")
		}
		b.systemd.by(func() { b.systemd.halt(coder) })
		b.after(time.Second)
		if got := b.systemd.did("define"); !slices.Equal(got, []string{"define " + coder}) {
			t.Errorf("after the stop it did %q", got)
		}
		mustDone(t, b.act("coder", "start", ""))
		if b.tierNow("coder").RestartPending {
			t.Error("restart pending stays")
		}
	})
}

func TestAStoppedTierIsDefinedAnewBeforeTheReloadReturns(t *testing.T) {
	inBed(t, func(b *bed) {
		b.systemd.did()
		b.change("/m/orch.gguf", "/m/orch-2.gguf")
		mustReload(b, false)
		got := b.systemd.did("define", "start", "stop")
		slices.Sort(got)
		if !slices.Equal(got, []string{"define " + orchB, "define " + orchA}) {
			t.Errorf("it did %q", got)
		}
	})
}

func TestReloadWithRestartTouchesOnlyWhatChangedAndRuns(t *testing.T) {
	inBed(t, func(b *bed) {
		mustDone(t, b.up(""))
		b.systemd.did()
		b.change("/m/coder.gguf", "/m/coder-2.gguf")
		_, change := mustReload(b, true)
		mustDone(t, b.wait(change))
		if got := b.systemd.did("start", "stop"); !slices.Equal(got, []string{"stop " + coder, "start " + coder}) {
			t.Errorf("it did %q", got)
		}
		if b.tierNow("coder").RestartPending {
			t.Error("restart pending stays")
		}
	})
}

func TestWhatNoUnitIsMadeOfIsToldAndNeedsNoRestart(t *testing.T) {
	inBed(t, func(b *bed) {
		mustDone(t, b.act("coder", "start", ""))
		b.change("[tier.coder]", "[tier.coder]\nhold = \"3s\"")
		result, _ := mustReload(b, false)
		if len(result.Changed)+len(result.Pending) > 0 || !slices.Equal(result.Settings, []string{"tier.coder.hold"}) {
			t.Errorf("it says %+v", result)
		}
	})
}

func TestABadFileChangesNothing(t *testing.T) {
	inBed(t, func(b *bed) {
		mustDone(t, b.act("coder", "start", ""))
		b.systemd.did()
		b.write(bedConfig + "\n[tier.coder2]\nbogus = 1\n")
		_, _, err := b.Reload(context.Background(), true)
		mustKind(t, err, api.KindConfig, "bogus")
		status, err := b.Status(context.Background())
		if err != nil || !strings.Contains(status.ConfigError, "bogus") || len(status.Tiers) != 3 {
			t.Errorf("the status: %+v, %v", status, err)
		}
		if got := b.systemd.did("define", "release", "start", "stop"); len(got) > 0 {
			t.Errorf("it did %q", got)
		}
		b.write(bedConfig)
		mustReload(b, false)
		if status, err = b.Status(context.Background()); err != nil || status.ConfigError != "" {
			t.Errorf("the error stays: %+v, %v", status, err)
		}
	})
}

func TestTierdWithABadFileAdoptsWhatRunsAndKeepsTheRest(t *testing.T) {
	inBed(t, func(b *bed) {
		mustDone(t, b.act("coder", "start", ""))
		b.end()
		b.write("garbage")
		b.systemd.did()
		b.run()
		b.after(time.Second)
		if got := b.systemd.did("define", "adopt", "release", "start", "stop"); !slices.Equal(got, []string{"adopt " + coder}) {
			t.Errorf("it did %q", got)
		}
		status, err := b.Status(context.Background())
		if err != nil || status.ConfigError == "" || len(status.Tiers) != 1 || status.Tiers[0].State != api.Ready {
			t.Errorf("the status: %+v, %v", status, err)
		}
		table, err := b.Table(context.Background(), 0)
		if err != nil || len(table.Routes) != 1 || table.Routes[0].Port != 8002 || table.Routes[0].Socket != "/run/tier/tier-coder/engine.sock" {
			t.Errorf("the table: %+v, %v", table, err)
		}
		_, err = b.Act(context.Background(), "orch", api.TierRequest{Action: "start"})
		mustKind(t, err, api.KindConfig, "cannot be used")
		_, err = b.Stack(context.Background(), api.StackRequest{Action: "up"})
		mustKind(t, err, api.KindConfig, "cannot be used")
		mustDone(t, b.act("coder", "stop", ""))
		b.write(bedConfig)
		mustReload(b, false)
		b.mustState("orch", api.Stopped)
	})
}

func TestAMissingFileIsToldOf(t *testing.T) {
	inBed(t, func(b *bed) {
		if err := os.Remove(b.config); err != nil {
			t.Fatal(err)
		}
		_, _, err := b.Reload(context.Background(), false)
		mustKind(t, err, api.KindConfig, "cannot read the configuration")
	})
}

func TestStatusTellsOfAnEditedFile(t *testing.T) {
	inBed(t, func(b *bed) {
		good, err := os.ReadFile(b.config)
		if err != nil {
			t.Fatal(err)
		}
		reload := func() { _, _, _ = b.Reload(context.Background(), false) }
		for i, step := range []struct {
			rule string
			do   func()
			want bool
		}{
			{"what was read is not edited", func() {}, false},
			{"another text is", func() { b.write(string(good) + "# more\n") }, true},
			{"edited and back it is the one that was read", func() { b.write(string(good)) }, false},
			{"a text of the same size is another one", func() { b.write(strings.Replace(string(good), "priority = 90", "priority = 91", 1)) }, true},
			{"a reload reads it", reload, false},
			{"a file that cannot be used was read all the same", func() { b.write("nonsense"); reload() }, false},
			{"mended, it wants a reload again", func() { b.write(string(good)) }, true},
			{"... and gets it", reload, false},
			{"a file that is gone", func() { os.Remove(b.config) }, true},
		} {
			step.do()
			at := time.Unix(int64(i), 0)     // two writes within one tick of the kernel's clock have one time
			_ = os.Chtimes(b.config, at, at) // the file may be gone
			s, err := b.Status(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if s.ConfigEdited != step.want {
				t.Errorf("%s: edited is %v", step.rule, s.ConfigEdited)
			}
		}
	})
}

func TestATierThatIsTakenOutStaysUntilItStops(t *testing.T) {
	inBed(t, func(b *bed) {
		mustDone(t, b.act("util", "start", ""))
		without, _, _ := strings.Cut(bedConfig, "[tier.util]")
		b.write(without + "[mode.full]\ntiers = [\"orch\", \"coder\"]\n")
		b.systemd.did()
		result, _ := mustReload(b, true)
		if !slices.Equal(result.Removed, []string{"util"}) {
			t.Errorf("the reload: %+v", result)
		}
		if tier := b.tierNow("util"); !tier.Removed || tier.State != api.Ready {
			t.Errorf("the tier: %+v", tier)
		}
		for _, action := range []string{"start", "restart", "switch"} {
			_, err := b.Act(context.Background(), "util", api.TierRequest{Action: action})
			mustKind(t, err, api.KindConflict, `tier "util" is no longer in tiers.toml: it runs until it is stopped`)
		}
		if got := b.systemd.did("release", "stop"); len(got) > 0 {
			t.Errorf("it did %q", got)
		}
		mustDone(t, b.act("util", "stop", ""))
		b.after(time.Second)
		if b.systemd.state("tier-util.service") != "" {
			t.Error("the unit is still there")
		}
		_, err := b.Tier("util")
		mustKind(t, err, api.KindNotFound, "util")
	})
}

func TestANewTierIsDefined(t *testing.T) {
	inBed(t, func(b *bed) {
		b.write(bedConfig + "[tier.more]\nrole = \"more\"\nport = 8020\nstart = \"manual\"\n[tier.more.variant.a]\nengine = \"llama\"\nmodel = \"/m/more.gguf\"\ncontext = \"4K\"\nmemory = \"1GiB\"\n")
		result, _ := mustReload(b, false)
		if !slices.Equal(result.Changed, []string{"more"}) || b.systemd.state("tier-more.service") != "inactive" {
			t.Errorf("the reload: %+v, the unit is %q", result, b.systemd.state("tier-more.service"))
		}
		mustDone(t, b.act("more", "start", ""))
	})
}

func TestPlanTellsWhatUpWouldDo(t *testing.T) {
	inBed(t, func(b *bed) {
		mustDone(t, b.act("orch", "start", ""))
		mustDone(t, b.act("coder", "start", ""))
		b.systemd.did()
		p, err := b.PlanMode(context.Background(), "small")
		if err != nil {
			t.Fatal(err)
		}
		actions := map[string]string{}
		for _, u := range p.Units {
			actions[u.Unit] = u.Action
			if !strings.Contains(u.Text, "[Service]") {
				t.Errorf("%s has no text", u.Unit)
			}
		}
		if actions[orchA] != "stop" || actions[coder] != "stop" || actions[orchB] != "start" || actions[util] != "start" || p.Refusal != "" {
			t.Errorf("the plan: %v, %q", actions, p.Refusal)
		}
		b.has(25)
		if p, err = b.PlanMode(context.Background(), "small"); err != nil || !strings.HasPrefix(p.Refusal, "mode small does not fit: 20GiB for "+orchB) {
			t.Errorf("the refusal: %q, %v", p.Refusal, err)
		}
		if got := b.systemd.did("define", "start", "stop"); len(got) > 0 {
			t.Errorf("a plan did %q", got)
		}
		modes, err := b.Modes()
		if err != nil || len(modes) != 2 || !modes[0].Default || modes[1].Tiers["orch"] != "b" {
			t.Errorf("the modes: %+v, %v", modes, err)
		}
	})
}

package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tierd/tierd/agent/api"
)

// mustServe checks the variant that a tier is shown with.
func (b *bed) mustServe(variant string, state api.State) {
	b.t.Helper()
	if tier := b.tierNow("orch"); tier.Variant != variant || tier.State != state {
		b.t.Errorf("orch is %s as %s (%s), want %s as %s", tier.State, tier.Variant, tier.Reason, state, variant)
	}
}

func TestTheVariantThatServedLastComesBack(t *testing.T) {
	ways := map[string]func(b *bed){
		"a switch": func(b *bed) {
			mustDone(b.t, b.act("orch", "start", ""))
			mustDone(b.t, b.act("orch", "switch", "b"))
		},
		"a start of it":      func(b *bed) { mustDone(b.t, b.act("orch", "start", "b")) },
		"a mode that has it": func(b *bed) { mustDone(b.t, b.up("small")) },
		"systemctl start": func(b *bed) {
			b.systemd.by(func() { b.systemd.boot(b.systemd.units[orchB]) })
			b.after(2 * time.Second)
		},
	}
	back := map[string]func(b *bed){
		"a request": func(b *bed) {
			if err := b.Ensure(context.Background(), "orch"); err != nil {
				b.t.Error(err)
			}
		},
		"a start": func(b *bed) { mustDone(b.t, b.act("orch", "start", "")) },
		"a request after a restart of tierd": func(b *bed) {
			b.end()
			b.run()
			b.mustServe("b", api.Stopped)
			if err := b.Ensure(context.Background(), "orch"); err != nil {
				b.t.Error(err)
			}
		},
	}
	for by, choose := range ways {
		for how, start := range back {
			t.Run(by+", "+how, func(t *testing.T) {
				inKeptBed(t, func(b *bed) {
					choose(b)
					b.mustServe("b", api.Ready)
					mustDone(t, b.act("orch", "stop", ""))
					b.mustServe("b", api.Stopped)
					start(b)
					b.mustServe("b", api.Ready)
				})
			})
		}
	}
}

func TestWhatEndsAChoice(t *testing.T) {
	for name, do := range map[string]func(b *bed){
		"another one": func(b *bed) {
			mustDone(b.t, b.act("orch", "start", "a"))
			mustDone(b.t, b.act("orch", "stop", ""))
		},
		"a mode with the default": func(b *bed) {
			mustDone(b.t, b.up("full"))
			mustDone(b.t, b.act("orch", "stop", ""))
		},
		"a boot of the machine": func(b *bed) {
			b.end()
			b.boot = "another"
			b.run()
		},
		"its end in tiers.toml": func(b *bed) {
			b.change("[tier.orch.variant.b]\nengine = \"llama\"\nmodel = \"/m/orch.gguf\"\ncontext = \"4K\"\nmemory = \"20GiB\"\n", "")
			b.change(`"orch/b"`, `"orch"`)
			mustReload(b, false)
		},
		"a file that is broken": func(b *bed) {
			b.end()
			writeFile(b.t, filepath.Join(b.state, chosenName), `{"boot":`)
			b.run()
		},
	} {
		t.Run(name, func(t *testing.T) {
			inKeptBed(t, func(b *bed) {
				mustDone(t, b.act("orch", "start", "b"))
				mustDone(t, b.act("orch", "stop", ""))
				do(b)
				b.mustServe("a", api.Stopped)
				if err := b.Ensure(context.Background(), "orch"); err != nil {
					t.Error(err)
				}
				b.mustServe("a", api.Ready)
			})
		})
	}
}

func TestASwitchThatFailsChoosesNothing(t *testing.T) {
	inKeptBed(t, func(b *bed) {
		mustDone(t, b.act("orch", "start", ""))
		b.systemd.ends[orchB] = 66
		if c := b.act("orch", "switch", "b"); c.State != "error" {
			t.Errorf("the switch: %s", c.State)
		}
		mustDone(t, b.act("orch", "stop", ""))
		if err := b.Ensure(context.Background(), "orch"); err != nil {
			t.Error(err)
		}
		b.mustServe("a", api.Ready)
	})
}

func TestAFailureBeforeTheTierWasUpLastIsOldNews(t *testing.T) {
	inKeptBed(t, func(b *bed) {
		b.systemd.ends[orchA] = 78
		b.act("orch", "start", "a")
		b.mustServe("a", api.Failed)
		b.after(time.Second)
		mustDone(t, b.act("orch", "start", "b"))
		b.after(time.Second)
		b.systemd.by(func() { b.systemd.halt(orchB) })
		b.after(time.Second)
		b.mustServe("b", api.Stopped)
		b.act("orch", "start", "a")
		b.mustServe("a", api.Failed) // this one is news
		if err := b.Ensure(context.Background(), "orch"); err != nil {
			t.Error(err)
		}
		b.mustServe("b", api.Ready)
	})
}

func TestChoicesOfTheDefaultNeedNoFile(t *testing.T) {
	inKeptBed(t, func(b *bed) {
		mustDone(t, b.up("full"))
		if _, err := os.Stat(filepath.Join(b.state, chosenName)); err == nil {
			t.Error("there is one")
		}
	})
}

func TestAFileOfChoicesThatIsBrokenCostsTheChoicesOnly(t *testing.T) {
	for name, text := range map[string]string{"cut": `{"boot":`, "other": `[1]`, "text": "x"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			writeFile(t, filepath.Join(dir, chosenName), text)
			got, err := loadChosen(dir, "b")
			if err == nil || !strings.Contains(err.Error(), chosenName) || got.Boot != "b" || got.Tiers == nil {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, chosenName), `{"boot":"b"}`)
	if got, err := loadChosen(dir, "b"); err != nil || got.Tiers == nil {
		t.Errorf("without a choice: %v, %v", got, err)
	}
}

func FuzzChoices(f *testing.F) {
	for _, seed := range []string{`{"boot":"b","tiers":{"orch":{"variant":"llama","ready":"2026-01-02T03:04:05Z"}}}`, `{"boot":"b","tiers":null}`, `{}`, `[`, ``} {
		f.Add(seed)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		writeFile(t, filepath.Join(dir, chosenName), text)
		got, err := loadChosen(dir, "b")
		if got.Tiers == nil || got.Boot != "b" || err != nil && len(got.Tiers) > 0 {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	})
}

// A switch with both variants up may be taken back: the one that served on is what comes back.
func TestOfTwoThatAreUpTheOneThatServesOnIsChosen(t *testing.T) {
	inKeptBed(t, func(b *bed) {
		mustDone(t, b.act("orch", "start", "a"))
		b.after(time.Second)
		b.systemd.by(func() {
			b.systemd.fail["stop "+orchA] = errors.New("the bus said boo") // else the younger one would be the one that stays
			b.systemd.set(b.systemd.units[orchB], "active", "running", "success", 0)
		})
		b.after(time.Second)
		b.mustServe("b", api.Ready)
		b.systemd.by(func() { b.systemd.halt(orchB); clear(b.systemd.fail) })
		b.after(time.Second)
		b.mustServe("a", api.Ready)
		mustDone(t, b.act("orch", "stop", ""))
		b.end()
		b.run()
		b.mustServe("a", api.Stopped)
	})
}

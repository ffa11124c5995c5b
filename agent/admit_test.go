package agent

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/rocm"
	"github.com/tierd/tierd/units"
)

const gib = units.Bytes(1 << 30)

func TestFits(t *testing.T) {
	host := rocm.Memory{MemTotal: bytesOf(128), MemAvailable: bytesOf(100)}
	for _, c := range []struct {
		rule string
		need units.Bytes
		held []claim
		host rocm.Memory
		ok   bool
		text string
	}{
		{"what fits is let in", 50 * gib, nil, host, true, ""},
		{"the sum counts what is resident, with the sum written out", 50 * gib, []claim{{unit: "coder", memory: 70 * gib}}, host, false,
			"50GiB for x + 70GiB for coder + 12GiB reserve is 132GiB, and the host has 128GiB"},
		{"exactly full is let in", 46 * gib, []claim{{unit: "coder", memory: 70 * gib}}, host, true, ""},
		{"what others use counts by what is free", 101 * gib, nil, host, false, "it needs 101GiB, and 100GiB is free"},
		{"what a loading tier will still take is not free", 60 * gib, []claim{{unit: "coder", memory: 50 * gib, starting: true}}, host, false,
			"tiers that are loading will take 50GiB more"},
		{"what it has taken already is no longer free", 60 * gib, []claim{{unit: "coder", memory: 50 * gib, taken: 45 * gib, starting: true}}, host, true, ""},
		{"a tier that took more than it said is not counted below nothing", 60 * gib, []claim{{unit: "coder", memory: 50 * gib, taken: 70 * gib, starting: true}}, host, true, ""},
		{"a remote tier takes nothing", 0, []claim{{unit: "coder", memory: 500 * gib}}, host, true, ""},
		{"what the kernel keeps for CMA is not free", 60 * gib, nil, rocm.Memory{MemTotal: bytesOf(128), MemAvailable: bytesOf(70), CmaFree: bytesOf(20)}, false, "50GiB is free"},
		{"a host that does not say is not guessed at", 600 * gib, nil, rocm.Memory{}, true, ""},
	} {
		t.Run(c.rule, func(t *testing.T) {
			ok, text := fits("x", c.need, c.held, 12*gib, c.host)
			if ok != c.ok || !strings.Contains(text, c.text) || ok && text != "" {
				t.Errorf("got %v, %q", ok, text)
			}
		})
	}
}

func TestWhatIsLetInNeverSumsUpBeyondTheHost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.Uint64Range(1, 256).Draw(t, "total") << 30
		reserve := units.Bytes(rapid.Uint64Range(0, 16).Draw(t, "reserve")) << 30
		var held []claim
		sum := reserve
		for i := range rapid.IntRange(1, 12).Draw(t, "units") {
			c := claim{unit: fmt.Sprint(i), memory: units.Bytes(rapid.Uint64Range(0, 100).Draw(t, "memory")) << 30, starting: rapid.Bool().Draw(t, "starting")}
			if ok, _ := fits(c.unit, c.memory, held, reserve, rocm.Memory{MemTotal: &total, MemAvailable: &total}); ok {
				held = append(held, c)
				sum += c.memory
			}
		}
		if sum > reserve && sum > units.Bytes(total) {
			t.Fatalf("%s of %s were given away", sum, units.Bytes(total))
		}
	})
}

func TestAdmission(t *testing.T) {
	ask := func(b *bed, unit string) api.AdmitAnswer { return b.Admit(context.Background(), unit, "start") }
	t.Run("two that start together do not refuse each other, the third does not fit", func(t *testing.T) {
		inBed(t, func(b *bed) {
			b.systemd.by(func() {
				for _, u := range []string{orchA, coder, util} {
					b.systemd.slow[u] = true
					b.systemd.boot(b.systemd.units[u])
				}
			})
			b.after(time.Second)
			b.memory.MemTotal = bytesOf(91)
			if a := ask(b, coder); !a.OK {
				t.Errorf("the first: %+v", a)
			}
			if a := ask(b, orchA); !a.OK {
				t.Errorf("the second: %+v", a)
			}
			if a := ask(b, util); a.OK || a.Class != api.ClassRefused || !strings.Contains(a.Message, "92GiB, and the host has 91GiB") {
				t.Errorf("the third: %+v", a)
			}
			if a := ask(b, coder); !a.OK {
				t.Errorf("the first once more, after systemd started it again: %+v", a)
			}
		})
	})
	t.Run("what a unit held is free again when it has ended", func(t *testing.T) {
		inBed(t, func(b *bed) {
			b.memory.MemTotal = bytesOf(75)
			mustDone(t, b.act("coder", "start", ""))
			if a := ask(b, coder); !a.OK {
				t.Fatalf("coder: %+v", a)
			}
			if a := ask(b, orchA); a.OK {
				t.Error("orch was let in beside coder")
			}
			mustDone(t, b.act("coder", "stop", ""))
			if a := ask(b, orchA); !a.OK {
				t.Errorf("orch after coder: %+v", a)
			}
		})
	})
	t.Run("what was let in by an earlier tierd still counts", func(t *testing.T) {
		inBed(t, func(b *bed) {
			b.systemd.by(func() { b.systemd.slow[coder] = true; b.systemd.boot(b.systemd.units[coder]) })
			b.after(time.Second)
			b.end()
			b.memory.MemTotal = bytesOf(75)
			b.run()
			b.after(time.Second)
			if a := ask(b, orchA); a.OK {
				t.Error("orch was let in beside a coder that loads")
			}
			if a := ask(b, coder); !a.OK {
				t.Errorf("coder itself: %+v", a)
			}
		})
	})
	t.Run("a unit that is no tier is refused", func(t *testing.T) {
		inBed(t, func(b *bed) {
			if a := ask(b, "tier-stranger.service"); a.OK || !strings.Contains(a.Message, "not a tier") {
				t.Errorf("a stranger: %+v", a)
			}
		})
	})
	t.Run("the definition that runs decides, not the one to come", func(t *testing.T) {
		inBed(t, func(b *bed) {
			mustDone(t, b.act("coder", "start", ""))
			b.change(`"60GiB"`, `"70GiB"`)
			mustReload(b, false)
			b.memory.MemTotal = bytesOf(72)
			if a := ask(b, coder); !a.OK {
				t.Errorf("the old definition: %+v", a)
			}
		})
	})
}

package main

import (
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tierd/tierd/agent/api/guardwire"
	"pgregory.net/rapid"
)

func someWord(tiers ...guardwire.Tier) word {
	return word{Wall: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Boot: int64(time.Hour), Table: tableOf(tiers...).Table}
}

func TestWhatIsKeptIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		tier := rapid.Custom(func(t *rapid.T) guardwire.Tier {
			name := rapid.StringMatching(`[a-z]{1,5}`).Draw(t, "name")
			g := guardwire.Tier{Tier: name, Unit: "tier-" + name + ".service", Cgroup: "/tier.slice/tier-" + name + ".service",
				MainPID: rapid.IntRange(0, 1<<22).Draw(t, "main"), Priority: rapid.IntRange(0, 100).Draw(t, "priority"),
				Charge: rapid.Uint64().Draw(t, "charge"), Busy: rapid.Bool().Draw(t, "busy"), Pinned: rapid.Bool().Draw(t, "pinned")}
			if !g.Busy {
				g.IdleSince = time.Unix(rapid.Int64Range(1, 1<<33).Draw(t, "since"), 0).UTC()
			}
			return g
		})
		w := someWord(rapid.SliceOfNDistinct(tier, 0, 9, func(g guardwire.Tier) string { return g.Unit }).Draw(t, "tiers")...)
		s := kept{dir: dir}
		s.put(w)
		if err := s.write(); err != nil {
			t.Fatal(err)
		}
		got, err := s.read(w.Boot)
		if err != nil {
			t.Fatal(err)
		}
		if len(w.Table.Tiers) == 0 {
			w.Table.Tiers = got.Table.Tiers
		}
		if !reflect.DeepEqual(*got, w) {
			t.Fatalf("%+v\nis read as\n%+v", w, *got)
		}
	})
	if info, err := os.Stat(filepath.Join(dir, keptName)); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("left are %v, %v", files, err)
	}
}

func TestAKeptFileWithAFaultCountsForNothing(t *testing.T) {
	many := make([]guardwire.Tier, 1000)
	edit := func(change func(*guardwire.Tier)) string {
		c := coder(1)
		change(&c)
		return textOf(t, someWord(c))
	}
	whole := textOf(t, someWord(coder(1)))
	for _, test := range []struct{ name, text, says string }{
		{"an empty one", "", "unexpected end of JSON input"},
		{"half of one", whole[:len(whole)/2], "unexpected end of JSON input"},
		{"something after it", whole + "x", "invalid character 'x'"},
		{"a number where a name should be", strings.Replace(whole, `"coder"`, "7", 1), "table.tiers.tier"},
		{"no table", `{"wall":"2026-01-02T03:04:05Z","boot":5}`, "has no table"},
		{"null", "null", "has no table"},
		{"one of another boot", strings.Replace(whole, `"boot":3600000000000`, `"boot":99999999999999`, 1), "was not written since the machine started"},
		{"one of no time", strings.Replace(whole, `"boot":3600000000000`, `"boot":0`, 1), "was not written since the machine started"},
		{"more tiers than there may be", textOf(t, someWord(many...)), "has 1000 tiers"},
		{"a tier without a name", edit(func(c *guardwire.Tier) { c.Tier = "" }), `tiers[0]: tier "", unit "tier-coder.service"`},
		{"a unit twice", textOf(t, someWord(coder(1), coder(1))), "tiers[1]"},
		{"a cgroup of somebody else's", edit(func(c *guardwire.Tier) { c.Cgroup = "/system.slice/sshd.service" }), `cgroup "/system.slice/sshd.service" is not that of tier-coder.service`},
		{"a cgroup that climbs", edit(func(c *guardwire.Tier) { c.Cgroup = "/../tier-coder.service" }), "is not that of"},
		{"a cgroup that is not absolute", edit(func(c *guardwire.Tier) { c.Cgroup = "tier-coder.service" }), "is not that of"},
		{"a process below 0, which is a group of them", edit(func(c *guardwire.Tier) { c.MainPID = -5 }), "main_pid -5"},
		{"a priority beyond 100", edit(func(c *guardwire.Tier) { c.Priority = 101 }), "priority 101"},
		{"an endless one", strings.Repeat(" ", maxLine) + whole, "has more than 256 KiB"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := kept{dir: t.TempDir()}
			put(t, s.dir, keptName, test.text)
			w, err := s.read(int64(2 * time.Hour))
			if w != nil || err == nil || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), s.path()) {
				t.Errorf("%+v, %v", w, err)
			}
		})
	}
}

func textOf(t testing.TB, w word) string {
	t.Helper()
	text, err := json.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestWhatIsNoFileIsNotRead(t *testing.T) {
	s := kept{dir: t.TempDir()}
	if w, err := s.read(1); w != nil || err != nil {
		t.Errorf("nothing was kept, and it is %+v, %v", w, err)
	}
	if w, err := (&kept{}).read(1); w != nil || err != nil {
		t.Errorf("nothing is to be kept, and it is %+v, %v", w, err)
	}
	if err := os.Symlink("/dev/zero", s.path()); err != nil {
		t.Fatal(err)
	}
	if w, err := s.read(1); w != nil || err == nil {
		t.Errorf("a link is followed: %+v", w)
	}
	if err := os.Remove(s.path()); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(s.path(), 0o700); err != nil {
		t.Fatal(err)
	}
	if w, err := s.read(1); w != nil || err == nil {
		t.Errorf("a directory is read: %+v", w)
	}
}

// TestAFailureToKeepIsToldOnce, and leaves nothing behind that is no longer true.
func TestAFailureToKeepIsToldOnce(t *testing.T) {
	s := kept{dir: t.TempDir()}
	write := func() error {
		s.put(someWord(coder(1)))
		return s.write()
	}
	if err := write(); err != nil {
		t.Fatal(err)
	}
	blocked := s.path() + ".new"
	put(t, blocked, "file", "")
	if err := write(); err == nil || !strings.Contains(err.Error(), blocked) {
		t.Errorf("the first failure: %v", err)
	}
	if _, err := os.Stat(s.path()); !os.IsNotExist(err) {
		t.Errorf("what was kept before: %v", err)
	}
	if err := write(); err != nil {
		t.Errorf("the second failure: %v", err)
	}
	if err := os.RemoveAll(blocked); err != nil {
		t.Fatal(err)
	}
	if err := write(); err != nil {
		t.Fatal(err)
	}
	if w, err := s.read(int64(time.Hour)); w == nil || err != nil {
		t.Errorf("once it can: %v", err)
	}
	s.dir = filepath.Join(s.dir, "gone")
	if err := write(); err == nil {
		t.Error("a failure after a success is not told")
	}
}

func TestABusyTierdIsWrittenDownOnceASecond(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, writes := kept{dir: dir}, 0
		for i := range 40 {
			s.put(someWord(coder(i)))
			if s.due() {
				writes++
				if err := s.write(); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(250 * time.Millisecond)
		}
		if writes != 10 || !s.waits() {
			t.Errorf("%d writes in 10 s, and something waits: %t", writes, s.waits())
		}
		if err := s.write(); err != nil || s.waits() {
			t.Errorf("%v, and something waits: %t", err, s.waits())
		}
		if w, err := s.read(int64(time.Hour)); err != nil || w.Table.Tiers[0].MainPID != 39 {
			t.Errorf("%+v, %v", w, err)
		}
	})
	var nowhere kept
	if nowhere.put(someWord()); nowhere.waits() {
		t.Error("something waits that is not to be kept")
	}
}

func TestWhatWasKeptGoesForTheSameLifeOfAUnitOnly(t *testing.T) {
	root := t.TempDir()
	main := start(t, "meek")
	word := someWord()
	word.Boot = boottime()
	for name, pid := range map[string]int{"same": main.pid(), "other": main.pid() + 1, "untold": 0, "gone": main.pid()} {
		cgroup := "/tier.slice/tier-" + name + ".service"
		if name != "gone" {
			fakeUnit(t, root, cgroup, main.pid())
		}
		word.Table.Tiers = append(word.Table.Tiers, guardwire.Tier{Tier: name, Unit: filepath.Base(cgroup), Cgroup: cgroup, MainPID: pid,
			Priority: 33, Charge: 5, IdleSince: word.Wall.Add(-time.Minute)})
	}
	k := fakeKeeper(t, root)
	k.silent, k.kept.dir = true, t.TempDir()
	put(t, k.kept.dir, keptName, textOf(t, word))
	k.recall()
	k.tick()
	if len(k.table.tiers) != 3 || !k.table.stale {
		t.Errorf("%+v", k.table)
	}
	for _, tier := range k.table.tiers {
		same := tier.Name == "same"
		if tier.Busy == same || (tier.Charge == 5) != same || same && tier.Idle != time.Duration(word.Boot)-time.Minute {
			t.Errorf("%+v", tier)
		}
	}
	// Another life of the one that was believed may do anything.
	again := start(t, "meek")
	cgroup := "/tier.slice/tier-same.service"
	if err := os.RemoveAll(filepath.Join(root, cgroups, cgroup)); err != nil {
		t.Fatal(err)
	}
	fakeUnit(t, root, cgroup, again.pid())
	k.tick()
	if i := indexOf(k.table.tiers, "same"); i < 0 || !k.table.tiers[i].Busy || k.table.tiers[i].Main != again.pid() {
		t.Errorf("%+v", k.table.tiers)
	}
	// What tierd says goes before all that.
	k.obey(order{Order: tableOf(coder(1))})
	if len(k.heard) != 1 || k.silent || !k.kept.waits() {
		t.Errorf("%+v", k.heard)
	}
}

func TestAFaultInWhatWasKeptIsToldAndHarmsNothing(t *testing.T) {
	root, dir := t.TempDir(), t.TempDir()
	main := start(t, "meek")
	fakeUnit(t, root, coderGroup, main.pid())
	put(t, dir, keptName, "{")
	socket, log := guarded(t, root, "-state", dir)
	until(t, "it is told", func() bool {
		return log.has("cannot go by what tierd said to the guard before this one") && log.has(filepath.Join(dir, keptName))
	})
	tierd := serve(t, socket)
	tierd.accept()
	tierd.say(tableOf(coder(main.pid())))
	until(t, "it is replaced", func() bool {
		w, err := (&kept{dir: dir}).read(boottime())
		return err == nil && w != nil && w.Table.Tiers[0].MainPID == main.pid()
	})
}

// TestASilentTierdIsLookedAfterAlsoWhenItsSocketTakesTheConnection: a frozen one's does, and units come and go meanwhile.
func TestASilentTierdIsLookedAfterAlsoWhenItsSocketTakesTheConnection(t *testing.T) {
	k := fakeKeeper(t, t.TempDir())
	k.link.path = filepath.Join(t.TempDir(), "guard.sock")
	serve(t, k.link.path)
	k.silent, k.quiet = true, time.Now()
	k.proof.running = true
	k.tick()
	k.proof.proven = true
	if !k.link.connected() || k.pace() != tickEvery {
		t.Errorf("connected: %t, and a tick comes each %s", k.link.connected(), k.pace())
	}
	k.quiet = time.Now().Add(-longSilence)
	if k.pace() != tickLong {
		t.Errorf("a tick comes each %s", k.pace())
	}
	k.obey(order{from: k.link.conn, Order: tableOf()})
	if k.pace() != 0 {
		t.Errorf("with tierd there a tick comes each %s", k.pace())
	}
	k.link.hangUp()
	log := &logs{}
	k.log = slog.New(slog.NewTextHandler(log, nil))
	k.complain(errors.New("it takes nothing"))
	if !log.has("tierd is silent") || !k.silent || time.Duration(k.hot.ticked.Load()) != tickEvery {
		t.Errorf("silent: %t, a tick comes each %s", k.silent, time.Duration(k.hot.ticked.Load()))
	}
}

func FuzzKeptWord(f *testing.F) {
	f.Add([]byte(textOf(f, someWord(coder(1)))), int64(time.Hour))
	f.Add([]byte(`{"wall":"2026-01-02T03:04:05Z","boot":5,"table":{"tiers":null}}`), int64(6))
	f.Add([]byte(`{"table":{"tiers":[{"main_pid":1e3,"idle_since":"0001-01-01T00:00:00Z"}]}}`), int64(0))
	f.Fuzz(func(t *testing.T, text []byte, boot int64) {
		w, err := parseWord(text, boot)
		if err != nil {
			return
		}
		for _, h := range heard(w.Table.Tiers, w.Wall, w.Boot) {
			if h.main < 0 || h.tier.Unit == "" || !strings.HasSuffix(h.cgroup, "/"+h.tier.Unit) || strings.Contains(h.cgroup, "/../") {
				t.Errorf("accepted: %+v", h)
			}
		}
		if again, err := parseWord([]byte(textOf(t, *w)), boot); err != nil || len(again.Table.Tiers) != len(w.Table.Tiers) {
			t.Errorf("what was read is not read again: %+v, %v", again, err)
		}
	})
}

func BenchmarkKeep(b *testing.B) {
	var tiers []guardwire.Tier
	for range 5 {
		tiers = append(tiers, coder(1))
	}
	s, w := kept{dir: b.TempDir()}, someWord(tiers...)
	b.ReportAllocs()
	for b.Loop() {
		s.put(w)
		if err := s.write(); err != nil {
			b.Fatal(err)
		}
	}
}

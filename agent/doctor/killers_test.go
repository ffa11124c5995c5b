package doctor

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tierd/tierd/units"
)

const (
	earlyoomRuns = "900 (earlyoom) S 1 900 900 0"
	packaged     = "[Service]\nEnvironmentFile=-/etc/default/earlyoom\nExecStart=/usr/bin/earlyoom $EARLYOOM_ARGS\n"
)

func TestKillers(t *testing.T) {
	const spares = "^(tier-shim|vllm|VLLM::EngineCor|llama-server)$"
	for _, c := range []struct {
		rule  string
		files map[string]string
		id    string
		want  string // of What; "" when nothing is to be said
		fix   string // "" when tiers are spared
	}{
		{"nothing of the kind", nil, "earlyoom", "", ""},
		{"earlyoom is installed and nobody starts it", map[string]string{"usr/lib/systemd/system/earlyoom.service": packaged}, "earlyoom", "", ""},
		{"earlyoom runs without options", map[string]string{"proc/900/stat": earlyoomRuns}, "earlyoom", "earlyoom runs, and would end a tier",
			`in /etc/default/earlyoom: EARLYOOM_ARGS="--avoid '` + spares + `'", then: sudo systemctl restart earlyoom`},
		{"earlyoom starts with the host", map[string]string{"etc/systemd/system/multi-user.target.wants/earlyoom.service": "", "etc/default/earlyoom": "# comment\nEARLYOOM_ARGS=\"-r 3600 -m 5\"\n"},
			"earlyoom", "earlyoom starts with the host", `in line 2 of /etc/default/earlyoom: EARLYOOM_ARGS="-r 3600 -m 5 --avoid '` + spares + `'"`},
		{"what earlyoom avoids already stays", map[string]string{"proc/900/stat": earlyoomRuns, "usr/lib/systemd/system/earlyoom.service": packaged, "etc/default/earlyoom": `EARLYOOM_ARGS="--avoid '(^|/)(init|sshd)$' -r 60"`},
			"earlyoom", "earlyoom runs", `EARLYOOM_ARGS="-r 60 --avoid '((^|/)(init|sshd)$)|` + spares + `'"`},
		{"earlyoom is told to avoid tiers", map[string]string{"proc/900/stat": earlyoomRuns, "etc/default/earlyoom": `EARLYOOM_ARGS="--avoid='tier-shim|vllm|VLLM::|llama'"`}, "earlyoom", "is told to spare tiers", ""},
		{"earlyoom is told to ignore them", map[string]string{"proc/900/stat": earlyoomRuns, "etc/default/earlyoom": `EARLYOOM_ARGS="--ignore '` + spares + `'"`}, "earlyoom", "is told to spare tiers", ""},
		{"some of them are not enough", map[string]string{"proc/900/stat": earlyoomRuns, "etc/default/earlyoom": `EARLYOOM_ARGS="--avoid '^llama-server$'"`}, "earlyoom", "would end a tier", "EARLYOOM_ARGS"},
		{"a pattern that is none spares nobody", map[string]string{"proc/900/stat": earlyoomRuns, "etc/default/earlyoom": `EARLYOOM_ARGS="--avoid '('"`}, "earlyoom", "would end a tier", "EARLYOOM_ARGS"},
		{"earlyoom has its options in a drop-in", map[string]string{"proc/900/stat": earlyoomRuns, "usr/lib/systemd/system/earlyoom.service": packaged,
			"etc/systemd/system/earlyoom.service.d/own.conf": "[Service]\nExecStart=\nExecStart=/usr/bin/earlyoom -m 3\n"},
			"earlyoom", "earlyoom runs", "line 3 of /etc/systemd/system/earlyoom.service.d/own.conf: ExecStart=/usr/bin/earlyoom -m 3 --avoid '" + spares + "', then: sudo systemctl daemon-reload"},
		{"nohang with what it comes with", map[string]string{"proc/7/stat": "7 (nohang) S 1", "etc/nohang/nohang.conf": "  about the file\n    @BADNESS_ADJ_RE_CGROUP_V2 -50 /// ^/tier\n@BADNESS_ADJ_RE_CGROUP_V2 50 /// ^/tier\n"},
			"nohang", "nohang runs", `@BADNESS_ADJ_RE_CGROUP_V2 -2000 /// ^/tier\.slice/ to /etc/nohang/nohang.conf, then: sudo systemctl restart nohang`},
		{"nohang for the desktop", map[string]string{"proc/7/stat": "7 (nohang) S 1", "etc/systemd/system/multi-user.target.wants/nohang-desktop.service": ""},
			"nohang", "nohang", "/etc/nohang/nohang"},
		{"nohang that spares tiers", map[string]string{"proc/7/stat": "7 (nohang) S 1", "etc/nohang/nohang.conf": "@BADNESS_ADJ_RE_CGROUP_V2  -1000 ///  ^/tier\\.slice/\n"}, "nohang", "is told to spare tiers", ""},
		{"systemd-oomd as Fedora has it", map[string]string{"proc/8/stat": "8 (systemd-oomd) S 1", "usr/lib/systemd/system/-.slice.d/10-oomd-root-slice-defaults.conf": "[Slice]\nManagedOOMSwap=kill\n",
			"usr/lib/systemd/system/user@.service.d/10-oomd-user-service-defaults.conf": "[Service]\nManagedOOMMemoryPressure=kill\n"}, "oomd", "ends no tier", ""},
		{"systemd-oomd that watches everything", map[string]string{"proc/8/stat": "8 (systemd-oomd) S 1", "etc/systemd/system/-.slice.d/all.conf": "[Slice]\nManagedOOMMemoryPressure=kill\n"},
			"oomd", "memory pressure in -.slice is high (line 2 of /etc/systemd/system/-.slice.d/all.conf)", `tee /etc/systemd/system/tier-.service.d/oomd.conf`},
		{"tiers are left out by a drop-in, as advised", map[string]string{"proc/8/stat": "8 (systemd-oomd) S 1", "etc/systemd/system/-.slice.d/all.conf": "[Slice]\nManagedOOMMemoryPressure=kill\n",
			"etc/systemd/system/tier-.service.d/oomd.conf": "[Service]\nManagedOOMPreference=omit\n"}, "oomd", "leaves tiers out", ""},
		{"a later drop-in that takes it back", map[string]string{"proc/8/stat": "8 (systemd-oomd) S 1", "usr/lib/systemd/system/-.slice.d/10-all.conf": "[Slice]\nManagedOOMMemoryPressure=kill\n",
			"etc/systemd/system/-.slice.d/20-none.conf": "[Slice]\nManagedOOMMemoryPressure=auto\n"}, "oomd", "ends no tier", ""},
		{"a unit of the administrator's hides the package's", map[string]string{"proc/8/stat": "8 (systemd-oomd) S 1", "usr/lib/systemd/system/tier.slice": "[Slice]\nManagedOOMMemoryPressure=kill\n",
			"etc/systemd/system/tier.slice": "[Slice]\n"}, "oomd", "ends no tier", ""},
	} {
		t.Run(c.rule, func(t *testing.T) {
			f := well(t)
			f.files(t, c.files)
			found := Check(f)
			wellFormed(t, found)
			got := byID(found, c.id)
			switch {
			case c.want == "":
				if got != nil {
					t.Errorf("got %s", got.text())
				}
			case got == nil || !strings.Contains(got.What, c.want) || (c.fix == "") != (got.Severity == OK) || !strings.Contains(got.Fix, c.fix):
				t.Errorf("got %+v", got)
			case c.fix == "" && len(bad(found)) > 0:
				t.Errorf("more is wrong: %+v", bad(found))
			}
		})
	}
}

// TestTheAdviceOnEarlyoomHelps follows the advice, and looks again.
func TestTheAdviceOnEarlyoomHelps(t *testing.T) {
	for _, args := range []string{"", "-r 3600", "--avoid '(^|/)(init|Xorg)$' --prefer '^(Web Content|Isolated Web Co)$'", "-m 4 -M 409600,307200 -g --avoid=x"} {
		f := well(t)
		files := map[string]string{"proc/900/stat": earlyoomRuns, "etc/default/earlyoom": `EARLYOOM_ARGS="` + args + `"` + "\n"}
		f.files(t, files)
		fix := byID(Check(f), "earlyoom").Fix
		_, line, _ := strings.Cut(fix, ": ")
		line, _, _ = strings.Cut(line, ", then:")
		files["etc/default/earlyoom"] = line + "\n"
		f.files(t, files)
		if got := byID(Check(f), "earlyoom"); got == nil || got.Severity != OK {
			t.Errorf("%s: after %s: %+v", args, line, got)
		}
		for _, word := range splitWords(args) {
			if !strings.HasPrefix(word, "--avoid") && !strings.Contains(line, word) {
				t.Errorf("%s: %q is lost in %s", args, word, line)
			}
		}
	}
}

func TestSystemdOomdLeavesPinnedTiersOut(t *testing.T) {
	f := well(t)
	f.Plan, f.Faults = planned(t, strings.ReplaceAll(stack, "start = \"boot\"", "start = \"boot\"\npinned = true"), units.Host{})
	f.files(t, map[string]string{"proc/8/stat": "8 (systemd-oomd) S 1", "etc/systemd/system/-.slice.d/all.conf": "[Slice]\nManagedOOMMemoryPressure=kill\n"})
	if got := byID(Check(f), "oomd"); got == nil || got.Severity != OK {
		t.Errorf("got %+v", got)
	}
}

func TestSplitWords(t *testing.T) {
	for text, want := range map[string][]string{
		"":                        nil,
		"  a  b\tc\n":             {"a", "b", "c"},
		`-r 5 --avoid '^(a b)$'`:  {"-r", "5", "--avoid", "^(a b)$"},
		`--avoid="(a|b) c" d`:     {"--avoid=(a|b) c", "d"},
		`a\ b "c\d" 'e\f' "g\"h"`: {"a b", `c\d`, `e\f`, `g"h`},
		`'' ""`:                   {"", ""},
		`'no end`:                 {"no end"},
		`'it'\''s'`:               {"it's"},
	} {
		if got := splitWords(text); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func TestQuotedWordsAreSplitAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOf(rapid.StringMatching(`[ -~]{0,12}`)).Draw(t, "words")
		if got := splitWords(quoteWords(words)); !slices.Equal(got, words) && len(got)+len(words) > 0 {
			t.Errorf("%q became %q by %s", words, got, quoteWords(words))
		}
	})
}

func FuzzUnitLines(f *testing.F) {
	for _, seed := range []string{packaged, "EARLYOOM_ARGS=\"-r 60\"\n", "[Slice]\n ManagedOOMSwap = kill\n", "#x=y\n=\n", "MemAvailable: 5 kB\nAnonPages: 7 kB\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, l := range assignments("/f", text) {
			if l.Line < 1 || l.Line > strings.Count(text, "\n")+1 || strings.ContainsAny(l.Value, "\n") {
				t.Errorf("%+v", l)
			}
		}
		for _, w := range splitWords(text) {
			if len(w) > 3*len(text) { // a byte that is no text becomes three
				t.Errorf("%q", w)
			}
		}
		if base := userMemory(text); base%units.KiB != 0 {
			t.Errorf("%d", base)
		}
	})
}

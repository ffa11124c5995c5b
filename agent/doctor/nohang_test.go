package doctor

import (
	"regexp"
	"strings"
	"testing"

	"github.com/tierd/tierd/units"
)

// TestNohangSparesTiersWhoseBadnessIsBelowOthers: the first for it is coder, of priority 80 with half of the memory, whose OOM score
// is at most (1000 + 515 + 420) * 2/3 = 1290.
func TestNohangSparesTiersWhoseBadnessIsBelowOthers(t *testing.T) {
	for rule, c := range map[string]struct {
		lines string
		why   string // "" when tiers are spared
	}{
		"nothing is said":                     {"", "it goes by the OOM score, in which tiers come first"},
		"enough is taken off":                 {`@BADNESS_ADJ_RE_CGROUP_V2 -1000 /// ^/tier\.slice/`, ""},
		"just enough":                         {`@BADNESS_ADJ_RE_CGROUP_V2 -625 /// ^/tier\.slice/`, ""},
		"one less":                            {`@BADNESS_ADJ_RE_CGROUP_V2 -624 /// ^/tier\.slice/`, "coder comes to 666 with all its memory, and other programs begin at 666"},
		"too little":                          {`@BADNESS_ADJ_RE_CGROUP_V2 -50 /// ^/tier\.slice/`, "what its file takes off is too little: coder comes to 1240"},
		"several lines add up":                {"@BADNESS_ADJ_RE_CGROUP_V2 -400 /// ^/tier\n@BADNESS_ADJ_RE_CGROUP_V2 -400 /// -gpu\\.slice", ""},
		"so do those that make it worse":      {"@BADNESS_ADJ_RE_CGROUP_V2 -700 /// ^/tier\n@BADNESS_ADJ_RE_CGROUP_V2 +300 /// tier-coder", "coder comes to 890"},
		"another tier's does not count":       {`@BADNESS_ADJ_RE_CGROUP_V2 -1000 /// tier-coder`, "tiers come first"},
		"the names of all engines":            {"@BADNESS_ADJ_RE_NAME -1000 /// ^(vllm|VLLM::EngineCor|llama-server)$", ""},
		"the names of some":                   {"@BADNESS_ADJ_RE_NAME -1000 /// ^(vllm|llama-server)$", "tiers come first"},
		"a name that looks like a group":      {"@BADNESS_ADJ_RE_NAME -1000 /// ^/tier", "tiers come first"},
		"an indented line is a comment":       {"  @BADNESS_ADJ_RE_CGROUP_V2 -1000 /// ^/tier", "tiers come first"},
		"a line that is none":                 {"@BADNESS_ADJ_RE_CGROUP_V2 much /// ^/tier\n@BADNESS_ADJ_RE_CGROUP_V2 -2000 ^/tier\n@BADNESS_ADJ_RE_CGROUP_V2 -2000 /// (", "tiers come first"},
		"without OOMScoreAdjust= less is due": {"ignore_positive_oom_score_adj = True\n@BADNESS_ADJ_RE_CGROUP_V2 -350 /// ^/tier", ""},
		"and by itself that is not enough":    {"ignore_positive_oom_score_adj = True", "tiers come first"},
		"nor is it where it is not set":       {"ignore_positive_oom_score_adj = False\n@BADNESS_ADJ_RE_CGROUP_V2 -350 /// ^/tier", "coder comes to 940"},
	} {
		f := well(t)
		f.files(t, map[string]string{"proc/7/stat": "7 (nohang) S 1", "etc/nohang/nohang.conf": c.lines + "\n"})
		switch got := byID(Check(f), "nohang"); {
		case got == nil || (c.why == "") != (got.Severity == OK) || !strings.Contains(got.Why, c.why):
			t.Errorf("%s: %+v", rule, got)
		}
	}
}

// TestTheAdviceOnNohangHelps follows the advice, also for the tier that the kernel would take before all others.
func TestTheAdviceOnNohangHelps(t *testing.T) {
	for rule, text := range map[string]string{
		"as it comes":       stack,
		"the first to go":   strings.Replace(strings.Replace(stack, "priority = 80", "priority = 1", 1), "64.4GiB", "120GiB", 1),
		"one that forwards": stack + "[tier.cloud]\nport = 8013\n[tier.cloud.variant.far]\nengine = \"far\"\nurl = \"https://example.com/v1\"\nmodel = \"m\"\n[engine.far]\nkind = \"remote\"\n",
		"a file at fault":   "",
	} {
		f := well(t)
		if f.Plan = nil; text != "" {
			if f.Plan, f.Faults = planned(t, text, units.Host{}); f.Plan == nil {
				t.Fatalf("%s: %v", rule, f.Faults)
			}
		}
		files := map[string]string{"proc/7/stat": "7 (nohang) S 1", "etc/nohang/nohang.conf": "@BADNESS_ADJ_RE_CGROUP_V2 -50 /// ^/tier\n"}
		f.files(t, files)
		got := byID(Check(f), "nohang")
		if got == nil || got.Severity != Warning {
			t.Fatalf("%s: %+v", rule, got)
		}
		line := regexp.MustCompile(`@BADNESS\S+ \S+ /// \S+`).FindString(got.Fix)
		files["etc/nohang/nohang.conf"] = line + "\n"
		f.files(t, files)
		if got := byID(Check(f), "nohang"); got == nil || got.Severity != OK {
			t.Errorf("%s: after %s: %+v", rule, line, got)
		}
	}
}

func FuzzParseNohang(f *testing.F) {
	for _, seed := range []string{"@BADNESS_ADJ_RE_CGROUP_V2 -5 /// ^/x", "@BADNESS_ADJ_RE_NAME 200 /// ^(Web Content)$\n", "soft_threshold_min_mem = 7 %", "ignore_positive_oom_score_adj = True"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c := parseNohang(text)
		if !(c.MinMem >= 0 && c.MinMem <= 100) {
			t.Errorf("%v", c.MinMem)
		}
		if len(c.Adjust) > strings.Count(text, "///") {
			t.Errorf("%+v", c.Adjust)
		}
		for _, a := range c.Adjust {
			if strings.Contains(a.Pattern, "\n") {
				t.Errorf("%q", a.Pattern)
			}
		}
		c.adjusted("llama-server", "/tier.slice/tier-cpu.slice/tier-coder.service")
	})
}

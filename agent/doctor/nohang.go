package doctor

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/tierd/tierd/units"
)

// nohangConfig is what nohang's file says of tiers.
type nohangConfig struct {
	Adjust      []nohangAdjust
	IgnoreScore bool    // it leaves out of a process's score what OOMScoreAdjust= adds
	MinMem      float64 // the percentage of available memory at which it acts
}

// nohangAdjust is a line by which it takes some processes for better victims, or for worse ones.
type nohangAdjust struct {
	ByName  bool // the pattern is for names of processes, else for control groups
	Amount  int  // to their badness, which is the OOM score by itself
	Pattern string
}

// nohangKeys are those of its lines that tell tiers from others. By users, folders and whole commands no tier is known.
var nohangKeys = map[string]bool{"@BADNESS_ADJ_RE_NAME": true, "@BADNESS_ADJ_RE_CGROUP_V2": false}

// parseNohang finds the lines "@BADNESS_ADJ_RE_CGROUP_V2 -50 /// ^/system\.slice/", and the one at which it acts:
// "soft_threshold_min_mem = 5 %". As in nohang's own parser a line with a blank in front is a comment.
func parseNohang(text string) nohangConfig {
	c := nohangConfig{MinMem: 5} // nohang.conf comes with it
	for raw := range strings.Lines(text) {
		if left, pattern, ok := strings.Cut(raw, "///"); ok {
			for key, byName := range nohangKeys {
				rest, ok := strings.CutPrefix(left, key)
				if amount, err := strconv.ParseInt(strings.TrimSpace(rest), 10, 32); ok && err == nil {
					c.Adjust = append(c.Adjust, nohangAdjust{byName, int(amount), strings.Trim(pattern, " \n")})
				}
			}
		}
		key, value, _ := strings.Cut(raw, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		number, isPercent := strings.CutSuffix(value, "%")
		v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		switch {
		case key == "soft_threshold_min_mem" && isPercent && err == nil && v >= 0 && v <= 100:
			c.MinMem = v
		case key == "ignore_positive_oom_score_adj":
			c.IgnoreScore = value == "True"
		}
	}
	return c
}

// adjusted is what its lines add to the badness of a process; said tells that one of them is for it.
func (c nohangConfig) adjusted(name, group string) (sum int, said bool) {
	for _, a := range c.Adjust {
		text := group
		if a.ByName {
			text = name
		}
		if re, err := regexp.Compile(a.Pattern); err == nil && re.MatchString(text) {
			sum, said = sum+a.Amount, true
		}
	}
	return sum, said
}

// oomScore is what the kernel says of a process with this adjustment, which holds so much of the memory, 0 to 1; 2000 at the most
// (proc_oom_score, fs/proc/base.c, since 5.9).
func oomScore(adjustment int, share float64) int {
	return (1000 + int(1000*share) + adjustment) * 2 / 3
}

// leastScore is that of a program which nobody adjusts and which holds next to nothing. There is always one.
var leastScore = oomScore(0, 0)

// nohangVictim is what nohang goes by in a tier that holds all it may.
type nohangVictim struct {
	tier    string
	badness int
	said    bool // a line of its file is for this tier
}

// firstForNohang is the tier that it would end first; false: there is none.
func (r *report) firstForNohang(c nohangConfig) (nohangVictim, bool) {
	list := []units.Unit{{Tier: "a tier", Name: "tier-coder.service"}} // like any other, where nobody knows them
	if r.Plan != nil {
		list = r.Plan.Units
	}
	all := r.processNames() // the shim's first
	first, found := nohangVictim{}, false
	for _, u := range list {
		names := all[1:] // of engines: a shim has no score
		adjustment, share := int(units.OOMScore(u.Priority)), 1.0
		if total := amount(r.Snapshot.Memory.MemTotal); u.Memory > 0 && total > 0 {
			share = min(1, float64(u.Memory)/float64(total))
		}
		if u.Engine == units.KindRemote {
			names = all[:1] // but where it is all there is
		}
		for _, name := range names {
			sum, said := c.adjusted(name, units.ControlGroup(u.Name, u.GPU))
			v := nohangVictim{u.Tier, oomScore(adjustment, share) + sum, said}
			if c.IgnoreScore {
				v.badness -= adjustment * 2 / 3
			}
			if !found || v.badness > first.badness {
				first, found = v, true
			}
		}
	}
	return first, found
}

func (r *report) checkNohang(k Killer) {
	const source = "hakavlad/nohang, src/nohang"
	v, found := r.firstForNohang(k.Nohang)
	switch {
	case !found:
		return
	case v.badness < leastScore:
		r.fine("nohang", source, "%s %s and is told to spare tiers%s", k.Name, k.state(), after("; ", r.besideNohang(k)))
		return
	}
	why := "it goes by the OOM score, in which tiers come first, busy or not"
	if v.said {
		why = fmt.Sprintf("what its file takes off is too little: %s comes to %d with all its memory, and other programs begin at %d", v.tier, v.badness, leastScore)
	}
	r.add(Finding{ID: "nohang", Severity: Warning, Source: source,
		What: fmt.Sprintf("%s %s, and would end a tier before any other program", k.Name, k.state()),
		Why:  why + after("; ", r.besideNohang(k)),
		Fix:  fmt.Sprintf(`add the line @BADNESS_ADJ_RE_CGROUP_V2 -2000 /// ^/tier\.slice/ to /etc/nohang/%s.conf, then: sudo systemctl restart %s`, k.Name, k.Name)})
}

// besideNohang says who acts first, where nohang has the line that it comes with: 5 % of the memory, and 10 % of the swap.
func (r *report) besideNohang(k Killer) string {
	total := amount(r.Snapshot.Memory.MemTotal)
	if r.Plan == nil || !r.guarded() || total == 0 {
		return ""
	}
	if line := units.Bytes(k.Nohang.MinMem / 100 * float64(total)); line > r.softLine() && len(r.Snapshot.Swaps) == 0 {
		return fmt.Sprintf("it would act first, at %s, while tier-guard waits for its soft line of %s", line, r.softLine())
	}
	return fmt.Sprintf("tier-guard acts first, below %s", r.softLine())
}

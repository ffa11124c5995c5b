package guard

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// TestSentences has one decision of each reason.
func TestSentences(t *testing.T) {
	d := Decision{Level: BelowSoft, Available: 290 * mib, Slope: -98 * mib, Line: 300 * mib, Victim: Figures{Name: "reviewer", Priority: 10, Idle: 9 * time.Minute, Gives: 700 * mib}}
	with := func(act Act, why Reason, change ...func(d *Decision)) Decision {
		d := d
		d.Act, d.Reason = act, why
		for _, f := range change {
			f(&d)
		}
		return d
	}
	since := func(d *Decision) { d.Victim.Since, d.Victim.Back = 2*time.Second, 650*mib }
	for want, d := range map[string]Decision{
		"nothing is to be done: 20.5GiB available, rising 2MiB/s":                                                                                                                                                          {Available: 20*gib + gib/2, Slope: 2 * mib},
		"no tier may load: 290MiB available, below the soft line of 300MiB, falling 98MiB/s":                                                                                                                               with(Refuse, Crossed),
		"no tier may load: 4GiB available, just below the soft line of 4GiB, falling 1.5GiB/s":                                                                                                                             {Act: Refuse, Reason: Crossed, Level: BelowSoft, Available: 4*gib - mib, Line: 4 * gib, Slope: -1536*mib - 1},
		"no tier may load: 3.99GiB available, below the soft line of 4GiB":                                                                                                                                                 {Act: Refuse, Reason: Crossed, Level: BelowSoft, Available: 4*gib - 10*mib, Line: 4 * gib, Slope: 1 - mib},
		"tiers may load again: 9GiB available":                                                                                                                                                                             {Act: Allow, Reason: Recovered, Available: 9 * gib},
		"reviewer gives way: 290MiB available, below the soft line of 300MiB, falling 98MiB/s; idle for 9m, priority 10, gives back about 700MiB":                                                                          with(Stop, IdleTier),
		"reviewer gives way: 290MiB available, below the soft line of 300MiB, falling 98MiB/s; loading, priority 10, gives back about 700MiB":                                                                              with(Stop, GiveUpLoad, func(d *Decision) { d.Victim.Loading = true }),
		"reviewer finishes its requests and gives way: 290MiB available, below the soft line of 300MiB, falling 98MiB/s; 90MiB above its charge and growing, gives back about 700MiB":                                      with(Ask, LeakyTier, func(d *Decision) { d.Victim.Leaks, d.Victim.Over = true, 90*mib }),
		"reviewer finishes its requests and gives way: 290MiB available, below the soft line of 300MiB, falling 98MiB/s; busy, pinned, priority 10, gives back about 700MiB":                                               with(Ask, BusyTier, func(d *Decision) { d.Victim.Busy, d.Victim.Pinned = true, true }),
		"reviewer gives way at once: 290MiB available, below the soft line of 300MiB, falling 98MiB/s; idle for 9m, comes back on demand, priority 10":                                                                     with(Kill, InEmergency, func(d *Decision) { d.Victim.Demand, d.Victim.Gives = true, 0 }),
		"reviewer is killed: it has not ended 2s after it was told to; 290MiB available, below the soft line of 300MiB, falling 98MiB/s":                                                                                   with(Kill, Overdue, since),
		"reviewer is stopped without waiting for its requests: memory went on falling for 2s after it was told to end; 290MiB available, below the soft line of 300MiB, falling 98MiB/s":                                   with(Stop, Worse, since),
		"reviewer is waited for, 2s since it was told to go":                                                                                                                                                               with(Nothing, Waiting, since),
		"nobody gives way: 290MiB available, below the soft line of 300MiB, falling 98MiB/s; what is left holds for now":                                                                                                   with(Nothing, Holding),
		"reviewer has ended, 2s after it was told to; 290MiB available, below the soft line of 300MiB, falling 98MiB/s; its memory is waited for":                                                                          with(Nothing, Gone, since),
		"reviewer gave back 650MiB of about 700MiB; 290MiB available, below the soft line of 300MiB, falling 98MiB/s":                                                                                                      with(Nothing, Returned, since),
		"reviewer has ended, but its memory did not come back: 650MiB of about 700MiB; 290MiB available, below the soft line of 300MiB, falling 98MiB/s; no other tier gives way for it; if it stays so, restart the host": with(Alarm, NotReturned, since),
		"reviewer does not end, even though killed, 2s after it was told to go: most likely it waits in the kernel; 290MiB available, below the soft line of 300MiB, falling 98MiB/s; it is left alone":                    with(Alarm, Stuck, since),
		"reviewer cannot be signalled and is left alone: 290MiB available, below the soft line of 300MiB, falling 98MiB/s; see the log of tier-guard":                                                                      with(Alarm, Unreachable),
		"memory is taken outside the tiers: 290MiB available, below the soft line of 300MiB, falling 98MiB/s; no other tier gives way for it, and the kernel will end who takes it":                                        with(Alarm, Outside),
		"no tier is left that may be stopped: 290MiB available, below the soft line of 300MiB, falling 98MiB/s; close something":                                                                                           with(Alarm, NoneLeft),
	} {
		if got := string(d.AppendText(nil)); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
}

func TestKinds(t *testing.T) {
	for _, c := range []struct {
		act  Act
		why  Reason
		want string
	}{{Refuse, Crossed, "refuse"}, {Allow, Recovered, "allow"}, {Ask, LeakyTier, "ask"}, {Stop, IdleTier, "stop"}, {Kill, Overdue, "kill"},
		{Nothing, Gone, "gone"}, {Nothing, Returned, "returned"}, {Alarm, NotReturned, "not-returned"}, {Alarm, Stuck, "alarm"},
		{Nothing, Waiting, ""}, {Nothing, Holding, ""}, {Nothing, Quiet, ""}} {
		d := Decision{Act: c.act, Reason: c.why}
		if got := d.Kind(); got != c.want || d.Tell() != (c.want != "") {
			t.Errorf("%s %s is %q", c.act, c.why, got)
		}
	}
}

func TestSizesAndSpans(t *testing.T) {
	for n, want := range map[uint64]string{0: "0", 1023: "1023B", 2048: "2KiB", 5 * mib: "5MiB", 5*mib + mib/3: "5.33MiB", 4 * gib: "4GiB", 4*gib - 1: "4GiB", 10*gib + gib/2: "10.5GiB", 3 << 40: "3TiB"} {
		if got := Size(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{0: "0 ms", 1500 * time.Millisecond: "1500 ms", time.Second: "1s", 90 * time.Second: "90s", 9 * time.Minute: "9m",
		60 * time.Minute: "1h", 90 * time.Minute: "90m", 3*time.Hour + time.Minute: "3h"} {
		if got := string(appendSpan(nil, d)); got != want {
			t.Errorf("%d is %s, want %s", d, got, want)
		}
	}
}

// TestWords is that each number has its word, and a trace reads it back.
func TestWords(t *testing.T) {
	for i := range reasons {
		roundTrip(t, Reason(i))
	}
	for i := range acts {
		roundTrip(t, Act(i))
	}
	for i := range levels {
		roundTrip(t, Level(i))
	}
	if len(reasons) != int(NoneLeft)+1 || len(acts) != int(Alarm)+1 || len(levels) != int(BelowEmergency)+1 {
		t.Error("a word is missing")
	}
	var r Reason
	if err := json.Unmarshal([]byte(`"sloth"`), &r); err == nil || !strings.Contains(err.Error(), `"sloth" is no reason`) {
		t.Error(err)
	}
	if got := Act(200).String(); got != "act 200" {
		t.Error(got)
	}
}

func roundTrip[T comparable](t *testing.T, v T) {
	t.Helper()
	text, err := json.Marshal(v)
	var back T
	if err := json.Unmarshal(text, &back); err != nil || back != v {
		t.Errorf("%v is written %s and read %v: %v", v, text, back, err)
	}
	if err != nil {
		t.Error(err)
	}
}

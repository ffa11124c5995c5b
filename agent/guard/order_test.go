package guard

import (
	"strings"
	"testing"
	"time"
)

// tiersOf makes tiers of words: "coder 90 busy", "reviewer 10 idle=5m pinned".
func tiersOf(t *testing.T, list ...string) []TierFacts {
	t.Helper()
	var tiers []TierFacts
	for _, text := range list {
		words := strings.Fields(text)
		f := TierFacts{Up: true, RAM: Amount{400 * mib, true}, GPU: Amount{0, true}}
		f.Name, f.Unit, f.Charge, f.Idle = words[0], "tier-"+words[0]+".service", 400*mib, time.Hour
		for _, w := range words[1:] {
			key, value, _ := strings.Cut(w, "=")
			switch key {
			case "busy":
				f.Busy = true
			case "pinned":
				f.Pinned = true
			case "demand":
				f.Demand = true
			case "loading":
				f.Loading = true
			case "ending":
				f.Ending, f.Busy = true, true
			case "down":
				f.Up = false
			case "lost":
				f.Lost = true
			case "unknown":
				f.RAM, f.GPU = Amount{}, Amount{}
			case "idle", "holds", "priority":
				d, err := time.ParseDuration(value + map[bool]string{true: "", false: "s"}[key == "idle"])
				if err != nil {
					t.Fatal(err)
				}
				switch key {
				case "idle":
					f.Idle = 2*time.Hour - d
				case "holds":
					f.RAM.Bytes = uint64(d.Seconds()) * mib
				case "priority":
					f.Priority = int(d.Seconds())
				}
			default:
				t.Fatalf("%q", w)
			}
		}
		tiers = append(tiers, f)
	}
	return tiers
}

// at is a look of the bed.
func at(available uint64, tiers []TierFacts) *Facts {
	return &Facts{At: 2 * time.Hour, Total: 3008 * mib, Available: available * mib, Tiers: tiers}
}

func TestOrder(t *testing.T) {
	for name, c := range map[string]struct {
		tiers []string
		want  string
	}{
		"a tier that loads goes before an idle one":            {[]string{"a priority=10", "b priority=90 loading"}, "b a"},
		"an idle tier goes before a busy one":                  {[]string{"a priority=10 busy", "b priority=90"}, "b a"},
		"one between two requests is a busy one":               {[]string{"a priority=10 demand idle=9ms", "b priority=90"}, "b a"},
		"one without a request for two seconds is idle":        {[]string{"a priority=10 idle=2s", "b priority=90"}, "a b"},
		"one on demand goes before other idle ones":            {[]string{"a priority=10", "b priority=90 demand"}, "b a"},
		"the lowest priority goes first":                       {[]string{"a priority=20", "b priority=10"}, "b a"},
		"of equal ones the longest idle goes first":            {[]string{"a idle=2m", "b idle=5m"}, "b a"},
		"one that ends anyway goes before other busy ones":     {[]string{"a busy", "b priority=50 ending"}, "b a"},
		"the lowest busy one goes first":                       {[]string{"a busy priority=90", "b busy priority=10"}, "b a"},
		"a pinned one goes after all others":                   {[]string{"a pinned", "b busy priority=90"}, "b a"},
		"also while it loads":                                  {[]string{"a pinned loading", "b busy"}, "b a"},
		"those that are down or cannot be signalled do not go": {[]string{"a down", "b lost", "c busy"}, "c"},
		"nobody": {nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, g := bed()
			var got []string
			for _, v := range g.Order(at(1000, tiersOf(t, c.tiers...))) {
				got = append(got, v.Name)
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

// TestVictim is of the first look below a line, after three seconds in which nothing happened.
func TestVictim(t *testing.T) {
	const soft, hard, last = 290, 140, 70
	for name, c := range map[string]struct {
		tiers []string
		below uint64 // MiB available
		want  string // act and tier
		set   func(f *Facts)
	}{
		"above the refuse line nothing":                                  {[]string{"a"}, 380, "nothing", nil},
		"below it no tier loads, and nobody goes":                        {[]string{"a", "b loading"}, 370, "refuse", nil},
		"below the soft line one idle tier goes":                         {[]string{"a priority=20", "b priority=10"}, soft, "stop b", nil},
		"a load is given up before an idle one":                          {[]string{"a priority=10", "b priority=90 loading"}, soft, "stop b", nil},
		"one that gives too little is skipped for a later that suffices": {[]string{"a priority=10 holds=5", "b priority=20"}, soft, "stop b", nil},
		"but not where none suffices":                                    {[]string{"a priority=10 holds=2", "b priority=20 holds=3"}, soft, "stop a", nil},
		"and not one whose size nobody knows":                            {[]string{"a priority=10 unknown", "b priority=20"}, soft, "stop a", func(f *Facts) { f.Tiers[0].Charge = 0 }},
		"and not for a busy one":                                         {[]string{"a priority=10 holds=2", "b busy"}, soft, "stop a", nil},
		"while one that suffices is ending anyway, nobody goes":          {[]string{"a priority=10", "b ending"}, soft, "refuse", nil},
		"but while one that is too small is ending, one goes":            {[]string{"a priority=10", "b ending holds=5"}, soft, "stop a", nil},
		"free swap does not spare an idle one":                           {[]string{"a"}, soft, "stop a", func(f *Facts) { f.SwapFree, f.SwapTotal = gib, gib }},
		"a busy one is spared above the hard line":                       {[]string{"a busy"}, soft, "refuse", nil},
		"also where tasks wait for memory and there is no swap":          {[]string{"a busy"}, soft, "refuse", func(f *Facts) { f.PSI, f.Full = true, f.Full+time.Hour }},
		"below the hard line a busy one goes":                            {[]string{"a busy priority=20", "b busy priority=10"}, hard, "stop b", nil},
		"but after the idle ones":                                        {[]string{"a busy priority=10", "b priority=90"}, hard, "stop b", nil},
		"a pinned one goes where it is alone":                            {[]string{"a pinned"}, soft, "stop a", nil},
		"and not while one that is not pinned could":                     {[]string{"a pinned", "b busy"}, soft, "refuse", nil},
		"in an emergency it is a kill":                                   {[]string{"a priority=10", "b priority=20"}, last, "kill a", nil},
		"of the one that suffices":                                       {[]string{"a priority=10 holds=20", "b priority=20 holds=500"}, last, "kill b", nil},
		"also of a busy one":                                             {[]string{"a priority=10 holds=20", "b busy holds=500"}, last, "kill b", nil},
		"and of the one that gives most, where none does":                {[]string{"a priority=10 holds=20", "b priority=20 holds=30", "c priority=30 holds=25"}, last, "kill b", nil},
		"but not of a pinned one before another":                         {[]string{"a priority=10 holds=20", "b pinned holds=500"}, last, "kill a", nil},
		"nobody is left":                                                 {[]string{"a lost"}, hard, "alarm", nil},
		"nobody is left, and it is not yet dire":                         {nil, soft, "refuse", nil},
		"what tierd said last holds while it is silent":                  {[]string{"a"}, soft, "stop a", func(f *Facts) { f.Stale = true }},
	} {
		t.Run(name, func(t *testing.T) {
			_, g := bed()
			f := at(800, tiersOf(t, c.tiers...))
			if c.set != nil {
				c.set(f)
			}
			for range 7 {
				if d := g.Step(f); d.Act != Nothing {
					t.Fatalf("%+v", d)
				}
				f.At += 500 * time.Millisecond
			}
			f.Available = c.below * mib
			f.Total -= (800 - c.below) * mib // so that nobody outside has it
			d := g.Step(f)
			got := d.Act.String()
			if d.Tier >= 0 {
				got += " " + d.Victim.Name
			}
			if got != c.want {
				t.Errorf("%s (%s), want %s: %s", got, d.Reason, c.want, d.AppendText(nil))
			}
		})
	}
}

func TestWould(t *testing.T) {
	for name, c := range map[string]struct {
		tiers []string
		avail uint64
		want  string
	}{
		"an idle one": {[]string{"coder busy", "reviewer priority=10 idle=9m"}, 2000,
			"reviewer gives way: 300MiB available, just below the soft line of 300MiB; idle for 9m, priority 10, gives back about 400MiB"},
		"busy ones alone": {[]string{"coder busy"}, 2000,
			"no tier would load, and nobody would give way: no tier is idle, and busy ones are spared above the hard line of 150MiB"},
		"what it does now": {[]string{"coder busy"}, 100, "coder gives way: 100MiB available, below the hard line of 150MiB, falling 3.71GiB/s; busy, priority 0, gives back about 400MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			_, g := bed()
			f := at(2000, tiersOf(t, c.tiers...))
			for range 7 {
				g.Step(f)
				f.At += 500 * time.Millisecond
			}
			before := *g.clone()
			f.Total -= (2000 - c.avail) * mib // nobody outside has it
			f.Available = c.avail * mib
			if got := g.Would(f); got != c.want {
				t.Errorf("%s\nwant %s", got, c.want)
			}
			if after := g; after.Last != before.Last || after.Short != before.Short || after.Open != before.Open {
				t.Error("asking has changed it")
			}
		})
	}
}

func TestThatNobodyIsLeftIsSaidForAsLongAsItIsSo(t *testing.T) {
	_, g := bed()
	f := at(800, tiersOf(t, "a lost"))
	for range 7 {
		g.Step(f)
		f.At += 500 * time.Millisecond
	}
	f.Total -= 700 * mib // so that nobody outside has it
	f.Available = 100 * mib
	alarms := 0
	for range 20 {
		d := g.Step(f)
		if d.Act == Alarm {
			alarms++
		}
		f.At += 100 * time.Millisecond
	}
	if got := g.Would(f); alarms != 1 || !strings.HasPrefix(got, "no tier is left that may be stopped: 100MiB available") {
		t.Errorf("after %d alarms: %s", alarms, got)
	}
}

func TestADryRunIsNotQuietBelowTheLine(t *testing.T) {
	_, g := bed()
	g.pace.DryRun = true
	f := at(800, tiersOf(t, "a"))
	for range 7 {
		g.Step(f)
		f.At += 500 * time.Millisecond
	}
	f.Total -= 510 * mib
	f.Available = 290 * mib
	if d := g.Step(f); d.Act != Stop {
		t.Fatalf("%+v", d)
	}
	for range 30 {
		f.At += 100 * time.Millisecond
		if d := g.Step(f); d.Reason != Holding && d.Act != Refuse {
			t.Errorf("%s", d.AppendText(nil))
		}
	}
}

// TestWhatAVictimGaveBackIsToldWhereNobodyCouldMeasureIt is of a kernel without the memory controller.
func TestWhatAVictimGaveBackIsToldWhereNobodyCouldMeasureIt(t *testing.T) {
	_, g := bed()
	f := at(800, tiersOf(t, "a unknown"))
	f.Tiers[0].Charge = 400 * mib
	for range 7 {
		g.Step(f)
		f.At += 500 * time.Millisecond
	}
	f.Available = 290 * mib
	if d := g.Step(f); d.Act != Stop {
		t.Fatalf("%+v", d)
	}
	f.Tiers[0].Up, f.Available = false, 640*mib
	for range 20 {
		f.At += 100 * time.Millisecond
		if d := g.Step(f); d.Reason == Returned {
			if text := string(d.AppendText(nil)); !strings.HasPrefix(text, "a gave back 350MiB of about 400MiB") {
				t.Error(text)
			}
			return
		}
	}
	t.Error("it is never told")
}

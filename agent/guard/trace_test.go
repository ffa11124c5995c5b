package guard

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// record runs a host with a ring and a trace of the whole.
func record(t testing.TB, h *host, g *Guard, r *Ring, w *Writer, long time.Duration, each func()) {
	t.Helper()
	f := &Facts{}
	for end := h.at + long; h.at < end; {
		h.facts(f)
		d := r.Step(g, f)
		if err := w.Look(f, d); err != nil {
			t.Fatal(err)
		}
		h.obey(d)
		for left := d.Next; left > 0; left -= time.Millisecond {
			h.pass(min(left, time.Millisecond))
		}
		if each != nil {
			each()
		}
	}
}

func leaking100(long time.Duration) (h *host, g *Guard) {
	h, g = bed()
	h.leak = leak{rate: 100e6, limit: uint64(long/time.Second) * 100e6}
	return h, g
}

func TestATraceIsReplayed(t *testing.T) {
	h, g := leaking100(26 * time.Second)
	var whole bytes.Buffer
	w, err := NewWriter(&whole, g)
	if err != nil {
		t.Fatal(err)
	}
	looks, acts := 0, 0
	record(t, h, g, NewRing(64), w, 40*time.Second, func() {
		if looks++; looks == 200 {
			g.Set(Lines{Refuse: 400 * mib, Soft: 320 * mib, Hard: 160 * mib, Emergency: 80 * mib}, g.pace)
			if err := w.Set(g.lines, g.pace); err != nil {
				t.Fatal(err)
			}
		}
	})
	n, err := Replay(&whole, func(f *Facts, d Decision) {
		if d.Act != Nothing {
			acts++
		}
	})
	if err != nil || n != looks || acts < 5 {
		t.Errorf("%d looks of %d, %d acts: %v", n, looks, acts, err)
	}
}

// TestARingCutOutOfTheMiddleIsReplayed takes it at every look: whatever has been given up, what is left agrees.
func TestARingCutOutOfTheMiddleIsReplayed(t *testing.T) {
	h, g := leaking100(26 * time.Second)
	r, other := NewRing(100), NewRing(100)
	w, _ := NewWriter(&bytes.Buffer{}, g)
	looks := 0
	record(t, h, g, r, w, 30*time.Second, func() {
		if looks++; looks == 300 {
			g.Set(g.lines, Pace{FillRate: gib})
		}
		if looks%7 != 0 {
			return
		}
		r.CopyTo(other)
		var out bytes.Buffer
		if err := other.WriteTrace(&out); err != nil {
			t.Fatal(err)
		}
		n, err := Replay(&out, nil)
		if err != nil || n < min(looks, 84) || n > looks {
			t.Fatalf("after %d looks, %d of them: %v", looks, n, err)
		}
	})
}

func TestARingKeepsAtLeastTheLooksOfManyTiers(t *testing.T) {
	g, r, f := New(HostLines(64*gib), HostPace(64*gib)), NewRing(1000), &Facts{Total: 64 * gib}
	for i := range MaxTiers {
		f.Tiers = append(f.Tiers, TierFacts{Tier: Tier{Unit: fmt.Sprint(i)}, Up: true, RAM: Amount{gib / 4, true}})
	}
	for i := range 1000 {
		f.At += 10 * time.Millisecond
		f.Available = 20*gib - uint64(i)*20*mib
		r.Step(g, f)
	}
	var out bytes.Buffer
	if err := r.WriteTrace(&out); err != nil {
		t.Fatal(err)
	}
	if n, err := Replay(&out, nil); err != nil || n < 7*(5*125/MaxTiers) {
		t.Errorf("%d looks: %v", n, err)
	}
}

func TestADecisionThatWasAnotherIsNamed(t *testing.T) {
	h, g := leaking100(10 * time.Second)
	var whole bytes.Buffer
	w, _ := NewWriter(&whole, g)
	record(t, h, g, NewRing(8), w, 8*time.Second, nil)
	text := strings.Replace(whole.String(), `"act":"stop","reason":"idle-tier"`, `"act":"kill","reason":"idle-tier"`, 1)
	_, err := Replay(strings.NewReader(text), nil)
	var diff *Difference
	if !errors.As(err, &diff) || diff.Then.Act != Kill || diff.Now.Act != Stop {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("line %d of the trace: kill (reviewer gives way at once: ", diff.Line); !strings.HasPrefix(err.Error(), want) {
		t.Error(err)
	}
}

func TestALineThatCannotBeReadIsNamed(t *testing.T) {
	const head = `{"version":1,"lines":{"refuse":5,"soft":4,"hard":2,"emergency":1},"pace":{"fill_rate":1}}` + "\n"
	for name, c := range map[string]struct{ text, want string }{
		"nothing":                       {"", "line 1 of the trace: it is empty"},
		"another version":               {`{"version":2}`, "line 1 of the trace: it is no trace of version 1"},
		"no header":                     {`{"look":{"at":1,"available":1,"total":1,"swap_free":0,"swap_total":0}}`, "line 1 of the trace: it is no trace of version 1"},
		"a header without lines":        {`{"version":1}`, "line 1 of the trace: the first line has lines and a pace, and no look"},
		"no JSON":                       {head + "what", "line 2 of the trace: invalid character 'w'"},
		"a field that nobody knows":     {head + `{"looks":1}`, `line 2 of the trace: json: unknown field "looks"`},
		"two values":                    {head + `{"lines":{},"pace":{}} {}`, "line 2 of the trace: there is more than one value"},
		"a look that decided nothing":   {head + `{"look":{"at":1}}`, "line 2 of the trace: it has neither"},
		"two headers":                   {head + head, "line 2 of the trace: a version and a state are in the first line alone"},
		"an act that nobody knows":      {head + `{"look":{},"decision":{"act":"run"}}`, "line 2 of the trace:"},
		"a state that cannot have been": {strings.Replace(head, `"pace"`, `"state":{"trend":{"count":-1}},"pace"`, 1), "line 1 of the trace: its state counts looks"},
		"too many tiers": {head + `{"look":{"tiers":[{}` + strings.Repeat(",{}", MaxTiers) + `]},"decision":{}}`,
			"line 2 of the trace: it has 33 tiers, and 32 is the most"},
		"a line too long": {head + strings.Repeat(" ", maxTraceLine+1), "line 2 of the trace: bufio.Scanner: token too long"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Replay(strings.NewReader(c.text), nil); err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
}

func FuzzReplay(f *testing.F) {
	h, g := leaking100(10 * time.Second)
	h.available, h.tiers = 310*mib, h.tiers[3:] // a short one: long seeds make slow fuzzing
	var whole, cut bytes.Buffer
	w, _ := NewWriter(&whole, g)
	r := NewRing(8)
	record(f, h, g, r, w, 200*time.Millisecond, nil)
	if err := r.WriteTrace(&cut); err != nil {
		f.Fatal(err)
	}
	f.Add(whole.Bytes())
	f.Add(cut.Bytes())
	f.Add([]byte(`{"version":1,"lines":{"refuse":5,"soft":4,"hard":2,"emergency":1},"pace":{"fill_rate":0}}
{"look":{"at":1,"available":3,"total":9,"tiers":[{"name":"a","unit":"a","up":true}]},"decision":{"tier":0}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		looks := 0
		n, err := Replay(bytes.NewReader(text), func(_ *Facts, d Decision) {
			looks++
			if d.Next < quickest || d.Next > slowest {
				t.Errorf("next look in %s", d.Next)
			}
			if len(d.AppendText(nil)) == 0 {
				t.Error("no sentence")
			}
		})
		if n != looks {
			t.Errorf("%d looks, %d seen: %v", n, looks, err)
		}
	})
}

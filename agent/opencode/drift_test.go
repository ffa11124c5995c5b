package opencode

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// written is the record of a plan that Apply wrote.
func written(t testing.TB, tiers []Tier, o Options, k Kind) Record {
	t.Helper()
	plan := MakePlan(tiers, o)
	f, ok := plan.File(k)
	if !ok {
		t.Fatalf("there is no file %q", k)
	}
	scope := ScopeUser
	if k == KindManaged {
		scope = ScopeManaged
	}
	return Record{Path: "/home/ann/f", Kind: k, Scope: scope, Kept: []Snapshot{{}}, Wrote: []Snapshot{snapshotOf(f.Data, 0o644)}, Cut: plan.Cut}
}

func drift(t testing.TB, r Record, tiers []Tier) Drift {
	t.Helper()
	d, err := DriftOf(r, tiers, here())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestWhatHasChangedSinceIsSaidInAFewWords(t *testing.T) {
	was := written(t, four(), here(), KindConfig)
	for _, test := range []struct {
		name   string
		now    []Tier
		breaks bool
		words  string // with * for what follows
	}{
		{"a smaller context", change("orch", func(t *Tier) { t.Context, t.Wish = 32<<10, 32<<10 }), true, "it has 65536 tokens of context for orch, which serves 32768, and *"},
		{"a larger context", change("reviewer", func(t *Tier) { t.Context, t.Wish = 64<<10, 64<<10 }), false, "it has 32768 tokens of context for reviewer, which serves 65536, and *"},
		{"another port", change("coder", func(t *Tier) { t.Port = 8003 }), true, `it has "http://127.0.0.1:8002/v1" for coder, which is at "http://127.0.0.1:8003/v1"`},
		{"a tier that is gone", slices.Delete(four(), 2, 3), true, `it has tier "reviewer", which is gone, and *`},
		{"a new tier", append(four(), Tier{Name: "night", Role: "night", Port: 8020, Context: 8192, Tools: true}), false, `it lacks tier "night", and *`},
		{"another time of loading", change("orch", func(t *Tier) { t.Load *= 2 }), false, "provider.local_orch.options.headerTimeout would be *"},
		{"what an answer may have", change("utility", func(t *Tier) { t.Output = 1000 }), true, "provider.local_utility.models.utility.limit.output would be 1000"},
		{"many things", []Tier{{Name: "one", Role: "orchestrator", Port: 8001, Context: 32 << 10, Tools: true}}, true, `it has tier "coder", which is gone, *`},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := drift(t, was, test.now)
			if !d.Needed() || d.Breaks() != test.breaks || !strings.HasPrefix(d.Words()+"*", strings.TrimSuffix(test.words, "*")) {
				t.Errorf("breaks %v: %s", d.Breaks(), d.Words())
			}
			if strings.HasSuffix(test.words, "*") == (d.Words() == test.words) || d.File != was.Path || d.Remedy != "tierctl opencode apply" {
				t.Errorf("%+v: %s", d, d.Words())
			}
		})
	}
	if d := drift(t, was, four()); d.Needed() || d.Breaks() {
		t.Errorf("nothing has changed: %s", d.Words())
	}
	if d := drift(t, was, nil); d.Needed() {
		t.Errorf("without tiers apply writes nothing: %s", d.Words())
	}
	small := drift(t, was, change("orch", func(t *Tier) { t.Context, t.Wish = 8192, 8192 }))
	if want := "tierctl opencode plan tells why apply would refuse"; !small.Breaks() || small.Remedy != want {
		t.Errorf("a tier that is too small: %s: %s", small.Words(), small.Remedy)
	}
	two := drift(t, was, change("orch", func(t *Tier) { t.Load *= 2; t.Silence *= 40 }))
	if got := two.Words(); got != "2 settings would be others" {
		t.Errorf("%s", got)
	}
}

// What the user chose when it was written is chosen again, and stands in the command that writes it anew.
func TestTheChoiceIsSeenFromTheFile(t *testing.T) {
	one := four()[:1]
	for _, test := range []struct {
		name   string
		tiers  []Tier
		change func(*Options)
		kind   Kind
		named  bool
		remedy string
	}{
		{"nothing", four(), func(*Options) {}, KindConfig, false, "tierctl opencode apply"},
		{"one port", four(), func(o *Options) { o.Gateway = true }, KindConfig, false, "tierctl opencode apply --gateway"},
		{"one port for one tier", one, func(o *Options) { o.Gateway = true }, KindConfig, false, "tierctl opencode apply --gateway"},
		{"its own port for one tier", one, func(*Options) {}, KindConfig, false, "tierctl opencode apply"},
		{"a key", four(), func(o *Options) { o.KeyFile = "/home/ann/my key" }, KindConfig, false, "tierctl opencode apply --key-file '/home/ann/my key'"},
		{"the plugin", four(), func(o *Options) { o.OMO = true }, KindConfig, false, "tierctl opencode apply --with-omo"},
		{"the plugin's file", four(), func(o *Options) { o.OMO = true }, KindOMO, false, "tierctl opencode apply --with-omo"},
		{"a place", four(), func(*Options) {}, KindConfig, true, "tierctl opencode apply --to /home/ann/f"},
		{"for all users", four(), func(o *Options) { o.Gateway, o.KeyFile = true, "/k" }, KindManaged, false, "sudo tierctl opencode apply --managed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := here()
			test.change(&o)
			r := written(t, test.tiers, o, test.kind)
			r.Named = test.named
			got, err := Chosen(r, here())
			if test.kind != KindConfig { // the others do not have all of it
				o.Gateway, o.KeyFile = false, ""
			}
			if err != nil || got != o {
				t.Errorf("%+v, %v; it was %+v", got, err, o)
			}
			d := drift(t, r, test.tiers)
			if d.Needed() || d.Remedy != test.remedy {
				t.Errorf("%q: %s", d.Remedy, d.Words())
			}
		})
	}
	r := written(t, four(), here(), KindConfig)
	r.Scope = ScopeProject
	if d := drift(t, r, four()); d.Remedy != "tierctl opencode apply --project" {
		t.Errorf("%q", d.Remedy)
	}
	o := here()
	o.Gateway = true
	moved := here()
	moved.Port = 9000
	if d, err := DriftOf(written(t, four(), o, KindConfig), four(), moved); err != nil || len(d.Leaves) != 4 || !d.Breaks() || !strings.HasSuffix(d.Remedy, "--gateway") {
		t.Errorf("when the gateway has moved: %+v, %v", d, err)
	}
}

func TestARecordThatCannotBeReadIsAnError(t *testing.T) {
	r := Record{Path: "/f", Kind: KindConfig, Wrote: []Snapshot{snapshotOf([]byte("{"), 0o644)}}
	if _, err := DriftOf(r, four(), here()); err == nil || !strings.Contains(err.Error(), "/f") {
		t.Errorf("%v", err)
	}
	if _, err := Chosen(r, here()); err == nil {
		t.Error("it was read")
	}
}

// An engine that serves less than tiers.toml wishes is no drift as long as nobody asks it and the wish stays.
func TestAContextThatTheEngineCutIsRemembered(t *testing.T) {
	cut := change("utility", func(t *Tier) { t.Context, t.Live = 8192, true })
	r := written(t, cut, here(), KindConfig)
	if !reflect.DeepEqual(r.Cut, map[string]int{"utility": 16 << 10}) {
		t.Fatalf("remembered: %v", r.Cut)
	}
	if d := drift(t, r, four()); d.Needed() {
		t.Errorf("not asked: %s", d.Words())
	}
	if d := drift(t, r, cut); d.Needed() {
		t.Errorf("asked: %s", d.Words())
	}
	whole := change("utility", func(t *Tier) { t.Live = true })
	if d := drift(t, r, whole); !strings.Contains(d.Words(), "8192 tokens of context for utility, which serves 16384") || d.Breaks() {
		t.Errorf("it serves all of it now: %s", d.Words())
	}
	other := change("utility", func(t *Tier) { t.Context, t.Wish = 12<<10, 12<<10 })
	if d := drift(t, r, other); !strings.Contains(d.Words(), "which serves 12288") {
		t.Errorf("another wish: %s", d.Words())
	}
	if got := MakePlan(four(), here()).Cut; got != nil {
		t.Errorf("nothing is cut: %v", got)
	}
}

// apply does not write the wish while the tier is down, or each stop of a tier would be followed by a context that it does not serve.
func TestATierThatIsDownIsWrittenAsItWasSeen(t *testing.T) {
	cut := change("utility", func(t *Tier) { t.Context, t.Live = 8192, true })
	r := written(t, cut, here(), KindConfig)
	for _, row := range []struct {
		rule   string
		now    []Tier
		record *Record
		want   int
	}{
		{"as it was seen", four(), &r, 8192},
		{"as it is seen now", change("utility", func(t *Tier) { t.Live = true }), &r, 16 << 10},
		{"another wish counts", change("utility", func(t *Tier) { t.Context, t.Wish = 12<<10, 12<<10 }), &r, 12 << 10},
		{"nothing was written", four(), nil, 16 << 10},
	} {
		tiers, err := Remembered(row.now, row.record)
		if err != nil {
			t.Fatal(err)
		}
		plan := MakePlan(tiers, here())
		for _, m := range plan.Models {
			if m.Tier == "utility" && m.Context != row.want {
				t.Errorf("%s: %d tokens, want %d", row.rule, m.Context, row.want)
			}
		}
		if row.want == 8192 && !reflect.DeepEqual(plan.Cut, r.Cut) {
			t.Errorf("%s: the next apply does not know of it: %v", row.rule, plan.Cut)
		}
	}
	r.Wrote = []Snapshot{snapshotOf([]byte("{"), 0o644)}
	if _, err := Remembered(four(), &r); err == nil || !strings.Contains(err.Error(), r.Path) {
		t.Errorf("a record that cannot be read: %v", err)
	}
}

// A file is from before exactly when it is not what would be written.
func TestDriftIsWhatTheBytesAre(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) []Tier {
			tiers := four()[:rapid.IntRange(2, 4).Draw(t, name)]
			for i := range tiers {
				tiers[i].Context = rapid.SampledFrom([]int{8192, 32768, 65536}).Draw(t, "context")
				tiers[i].Wish = tiers[i].Context
				tiers[i].Tools = rapid.Bool().Draw(t, "tools")
			}
			return tiers
		}
		was, now := draw("was"), draw("now")
		o := here()
		o.Gateway, o.OMO = rapid.Bool().Draw(t, "gateway"), rapid.Bool().Draw(t, "plugin")
		kind := rapid.SampledFrom([]Kind{KindConfig, KindManaged}).Draw(t, "kind")
		plan := MakePlan(was, o)
		f, _ := plan.File(kind)
		r := Record{Path: "/f", Kind: kind, Scope: ScopeUser, Wrote: []Snapshot{snapshotOf(f.Data, 0o644)}}
		d, err := DriftOf(r, now, here())
		if err != nil {
			t.Fatal(err)
		}
		after, _ := MakePlan(now, o).File(kind)
		if same := string(after.Data) == string(f.Data); same == d.Needed() {
			t.Errorf("the same bytes: %v, drift: %+v", same, d.Leaves)
		}
		if d.Needed() && (d.Words() == "" || strings.Contains(d.Words(), "\n")) {
			t.Errorf("words: %q", d.Words())
		}
	})
}

// `tierctl status` works this out each time, with nobody to wait for.
func BenchmarkDrift(b *testing.B) {
	r := written(b, four(), here(), KindConfig)
	now := change("orch", func(t *Tier) { t.Context, t.Wish = 32<<10, 32<<10 })
	b.ReportAllocs()
	for b.Loop() {
		if d, err := DriftOf(r, now, here()); err != nil || d.Words() == "" {
			b.Fatal(err)
		}
	}
}

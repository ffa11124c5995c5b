package queue

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// bench is a queue whose requests have names: "a1" is one of family a.
type bench struct {
	*Queue
	served []string
	turns  map[string]Turn
	lined  map[string]*Request
}

func newBench(limit int) *bench {
	b := &bench{Queue: New(100), turns: map[string]Turn{}, lined: map[string]*Request{}}
	b.SetLimit(limit)
	b.Open(true)
	return b
}

// ask brings requests; those of family l are light.
func (b *bench) ask(names ...string) {
	for _, name := range names {
		light := name[0] == 'l'
		if turn, ok := b.Try(ID(name[0]), light); ok {
			b.turns[name] = turn
			b.served = append(b.served, name)
			continue
		}
		r := &Request{Family: ID(name[0]), Light: light, Owner: name}
		if err := b.Wait(r); err != nil {
			b.served = append(b.served, name+" refused")
			continue
		}
		b.lined[name] = r
	}
}

func (b *bench) done(names ...string) {
	for _, name := range names {
		b.Done(b.turns[name])
		delete(b.turns, name)
		b.settle()
	}
}

func (b *bench) settle() {
	for r := b.Next(); r != nil; r = b.Next() {
		name := r.Owner.(string)
		b.turns[name] = r.Turn()
		b.served = append(b.served, name)
		delete(b.lined, name)
	}
}

func TestTurns(t *testing.T) {
	for _, c := range []struct {
		rule  string
		limit int
		do    func(b *bench)
		want  string
	}{
		{"without a limit nobody waits", 0, func(b *bench) { b.ask("a1", "a2", "a3", "b1") }, "a1 a2 a3 b1"},
		{"as many as the limit, then first come, first served", 2, func(b *bench) { b.ask("a1", "a2", "a3", "a4"); b.done("a2", "a1") }, "a1 a2 a3 a4"},
		{"families take turns, however many one of them has waiting", 1, func(b *bench) {
			b.ask("a1", "a2", "a3", "a4", "b1", "b2", "c1")
			b.done("a1", "a2", "b1", "c1", "a3", "b2")
		}, "a1 a2 b1 c1 a3 b2 a4"},
		{"who comes back takes turns with those that wait all the time", 1, func(b *bench) {
			b.ask("a1", "a2", "a3", "a4", "b1", "c1")
			b.done("a1", "a2", "b1")
			b.ask("b2")
			b.done("c1")
		}, "a1 a2 b1 c1 a3"},
		{"who has fewer in service comes first", 2, func(b *bench) {
			b.ask("a1", "a2", "a3", "a4", "b1", "b2")
			b.done("a1", "b1")
		}, "a1 a2 b1 b2"},
		{"one family alone has the whole tier", 3, func(b *bench) { b.ask("a1", "a2", "a3", "a4"); b.done("a1") }, "a1 a2 a3 a4"},
		{"what is light needs no turn", 1, func(b *bench) { b.ask("a1", "l1", "b1", "l2"); b.done("l1", "l2") }, "a1 l1 l2"},
		{"nobody overtakes those that wait", 1, func(b *bench) {
			b.ask("a1", "b1")
			b.Done(b.turns["a1"])
			b.ask("c1") // before anybody has asked whose turn it is
			b.settle()
		}, "a1 b1"},
		{"nothing goes while the tier is not ready, then all that may", 2, func(b *bench) {
			b.Open(false)
			b.ask("a1", "l1", "a2", "a3", "b1")
			b.settle()
			b.Open(true)
			b.settle()
		}, "l1 a1 b1"},
		{"another engine has nothing in service", 1, func(b *bench) {
			b.ask("a1", "a2", "b1")
			b.Switch()
			b.settle()
			b.done("a1") // of the engine before
		}, "a1 a2"},
		{"what another process serves counts", 2, func(b *bench) {
			b.SetOthers(2)
			b.ask("a1", "a2")
			b.SetOthers(1)
			b.settle()
		}, "a1"},
		{"a limit that is raised lets more through", 1, func(b *bench) { b.ask("a1", "a2", "a3"); b.SetLimit(2); b.settle() }, "a1 a2"},
		{"a limit that is taken away lets all through", 1, func(b *bench) { b.ask("a1", "a2", "a3"); b.SetLimit(0); b.settle(); b.done("a1", "a2", "a3") }, "a1 a2 a3"},
		{"who leaves the line is not served", 1, func(b *bench) {
			b.ask("a1", "a2", "b1", "a3")
			b.Leave(b.lined["a2"])
			b.Leave(b.lined["b1"])
			b.done("a1")
		}, "a1 a3"},
		{"the line has an end", 1, func(b *bench) {
			b.room = 2
			b.ask("a1", "a2", "b1", "b2", "l1")
			b.Open(false)
			b.ask("l2")
		}, "a1 b2 refused l1 l2 refused"},
	} {
		b := newBench(c.limit)
		c.do(b)
		if got := strings.Join(b.served, " "); got != c.want {
			t.Errorf("%s: served %s, want %s", c.rule, got, c.want)
		}
	}
}

func TestWhoLeftOrWentIsNotInTheLine(t *testing.T) {
	b := newBench(1)
	b.ask("a1", "a2")
	r := b.lined["a2"]
	if !b.Leave(r) || b.Leave(r) {
		t.Error("a request does not leave once")
	}
	b.ask("a3")
	r = b.lined["a3"]
	b.done("a1")
	if b.Leave(r) {
		t.Error("a request with a turn left the line")
	}
}

func TestTheOldestIsTheOneThatCameFirst(t *testing.T) {
	q := New(9)
	if !q.Oldest().IsZero() || q.First() != nil {
		t.Error("an empty line has somebody in it")
	}
	start := time.Now()
	for i, r := range []*Request{{Family: 1}, {Family: 2}, {Family: 1}, {Light: true}} {
		r.Since = start.Add(time.Duration(3-i) * time.Second)
		if i == 2 {
			r.Since = start.Add(-time.Second) // within a family the first is the oldest: this cannot be
		}
		if err := q.Wait(r); err != nil {
			t.Fatal(err)
		}
	}
	if got := q.Oldest(); !got.Equal(start) {
		t.Errorf("since %v", got.Sub(start))
	}
	for q.First() != nil {
		q.Leave(q.First())
	}
	if q.Waiting() != 0 || len(q.families) != q.idle || len(q.line) != 0 {
		t.Errorf("%d wait, %d families", q.Waiting(), len(q.families)-q.idle)
	}
}

// TestQueueKeepsItsRules does whatever may be done, in any order, and compares with what a plain count says.
func TestQueueKeepsItsRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := New(8)
		limit, open, others, epoch := 0, false, 0, 0
		type served struct {
			turn  Turn
			epoch int
		}
		var waiting []*Request
		var in []served
		inFlight := func() int {
			n := 0
			for _, s := range in {
				if s.epoch == epoch {
					n++
				}
			}
			return n
		}
		next := func() {
			for r := q.Next(); r != nil; r = q.Next() {
				i := slices.Index(waiting, r)
				if i < 0 || !open || !r.Light && limit > 0 && inFlight()+others >= limit {
					t.Fatalf("let through what may not go: %+v", r)
				}
				for _, before := range waiting[:i] {
					if before.Family == r.Family && before.Light == r.Light {
						t.Fatal("overtaken within a family")
					}
				}
				waiting = slices.Delete(waiting, i, i+1)
				if !r.Light {
					in = append(in, served{r.Turn(), epoch})
				}
			}
			for _, r := range waiting {
				if open && (r.Light || limit == 0 || inFlight()+others < limit) {
					t.Fatal("somebody waits though there is room")
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"ask": func(t *rapid.T) {
				id, light := ID(rapid.IntRange(0, 3).Draw(t, "family")), rapid.IntRange(0, 5).Draw(t, "light") == 0
				turn, ok := q.Try(id, light)
				switch {
				case ok && !light:
					in = append(in, served{turn, epoch})
				case !ok:
					r := &Request{Family: id, Light: light}
					if err := q.Wait(r); (err != nil) != (len(waiting) >= 8) || err != nil && !errors.Is(err, ErrFull) {
						t.Fatalf("%d wait: %v", len(waiting), err)
					} else if err == nil {
						waiting = append(waiting, r)
					}
				}
			},
			"done": func(t *rapid.T) {
				if len(in) > 0 {
					i := rapid.IntRange(0, len(in)-1).Draw(t, "which")
					q.Done(in[i].turn)
					in = slices.Delete(in, i, i+1)
				}
			},
			"leave": func(t *rapid.T) {
				if len(waiting) > 0 {
					i := rapid.IntRange(0, len(waiting)-1).Draw(t, "which")
					if !q.Leave(waiting[i]) {
						t.Fatal("was not in the line")
					}
					waiting = slices.Delete(waiting, i, i+1)
				}
			},
			"open":   func(t *rapid.T) { open = rapid.Bool().Draw(t, "open"); q.Open(open) },
			"limit":  func(t *rapid.T) { limit = rapid.IntRange(0, 3).Draw(t, "limit"); q.SetLimit(limit) },
			"others": func(t *rapid.T) { others = rapid.IntRange(0, 2).Draw(t, "others"); q.SetOthers(others) },
			"switch": func(t *rapid.T) { epoch++; q.Switch() },
			"": func(t *rapid.T) {
				next()
				if q.Waiting() != len(waiting) || q.InFlight() != inFlight() {
					t.Fatalf("%d wait and %d are served, it says %d and %d", len(waiting), inFlight(), q.Waiting(), q.InFlight())
				}
			},
		})
		open, limit = true, 0
		q.Open(true)
		q.SetLimit(0)
		next()
		for _, s := range in {
			q.Done(s.turn)
		}
		if len(q.families) != q.idle || len(q.line) != 0 || q.InFlight() != 0 {
			t.Fatalf("%d families stay, %d in line, %d served", len(q.families)-q.idle, len(q.line), q.InFlight())
		}
	})
}

func BenchmarkTurn(b *testing.B) {
	for _, c := range []struct {
		name  string
		limit int
	}{{"no limit", 0}, {"limit", 4}} {
		b.Run(c.name, func(b *testing.B) {
			q := New(8)
			q.SetLimit(c.limit)
			q.Open(true)
			b.ReportAllocs()
			for b.Loop() {
				turn, _ := q.Try(7, false)
				q.Done(turn)
			}
		})
	}
}

package queue

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestNobodyStarves has families ask as they like for as long as they like, and holds every wait to its bound.
func TestNobodyStarves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const longest = 10
		limit := rapid.IntRange(1, 4).Draw(t, "limit")
		families := rapid.IntRange(1, 6).Draw(t, "families")
		q := New(1000)
		q.SetLimit(limit)
		q.Open(true)
		type job struct {
			turn Turn
			ends int
		}
		var running []job
		since := map[ID]int{} // when the first that waits of a family became the first
		start := func(turn Turn, now int) {
			running = append(running, job{turn, now + rapid.IntRange(1, longest).Draw(t, "takes")})
		}
		for now := range 200 {
			running = slices.DeleteFunc(running, func(j job) bool {
				if j.ends <= now {
					q.Done(j.turn)
				}
				return j.ends <= now
			})
			for r := q.Next(); r != nil; r = q.Next() {
				start(r.Turn(), now)
				delete(since, r.Family)
				if f := q.families[r.Family]; f != nil && f.waiting.first != nil {
					since[r.Family] = now
				}
			}
			for range rapid.IntRange(0, 3).Draw(t, "come") {
				id := ID(rapid.IntRange(1, families).Draw(t, "family"))
				if turn, ok := q.Try(id, false); ok {
					start(turn, now)
				} else if q.Wait(&Request{Family: id}) == nil {
					if _, waits := since[id]; !waits {
						since[id] = now
					}
				}
			}
			bound := longest * (1 + (families+limit-1)/limit)
			for id, at := range since {
				if now-at > bound {
					t.Fatalf("family %d waits for %d, and the bound is %d", id, now-at, bound)
				}
			}
		}
	})
}

// Families that always ask get the same share, whatever number of requests each has at the same time.
func TestFamiliesGetEqualShares(t *testing.T) {
	for _, limit := range []int{1, 2, 3} {
		b := newBench(limit)
		served := map[byte]int{}
		asked := 0
		ask := func(family byte) {
			asked++
			b.ask(string(family) + strings.Repeat("'", asked%50))
		}
		for range 20 {
			ask('a')
		}
		for range limit { // as many as it can have served at the same time
			ask('b')
			ask('c')
		}
		for range 900 {
			first := b.served[0]
			b.served = b.served[1:]
			b.done(first)
			served[first[0]]++
			ask(first[0])
		}
		for family, n := range served {
			if n < 250 || n > 350 {
				t.Errorf("limit %d: family %c got %d of 900", limit, family, n)
			}
		}
	}
}

func TestTheMemoryOfFamiliesIsBounded(t *testing.T) {
	q := New(9)
	q.SetLimit(2)
	q.Open(true)
	for id := range ID(10_000) {
		turn, _ := q.Try(id, false)
		q.Done(turn)
		if len(q.families) > remembered+1 || q.idle != len(q.families) {
			t.Fatalf("%d families, %d of them idle", len(q.families), q.idle)
		}
	}
}

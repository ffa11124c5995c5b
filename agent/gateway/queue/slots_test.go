package queue

import (
	"testing"

	"pgregory.net/rapid"
)

func TestSlots(t *testing.T) {
	for _, c := range []struct {
		rule string
		do   []int // a session's number takes, minus a slot's number frees, 0 is a request without a session, 100 its end
		want []int
	}{
		{"each new session gets a slot of its own", []int{1, 2, 3, 4}, []int{1, 2, 3, 4}},
		{"a session that comes back finds its slot", []int{1, 2, -1, -2, 2, 1}, []int{1, 2, 2, 1}},
		{"also when another is free for longer", []int{1, -1, 2, -2, 2}, []int{1, 2, 2}},
		{"its second request beside the first gets another", []int{1, 1, -1, -2, 1}, []int{1, 2, 1}},
		{"a new one gets the slot that was unused for longest", []int{1, 2, 3, 4, -3, -1, -2, -4, 5, 6, 7, 8}, []int{1, 2, 3, 4, 3, 1, 2, 4}},
		{"with all in use the engine chooses", []int{1, 2, 3, 4, 5, 100, -1, 6}, []int{1, 2, 3, 4, 0, 1}},
		{"beside one that the engine chose for, it chooses for all", []int{1, 0, 2, 3, 100, 100, 4, 100, 100, 5}, []int{1, 0, 0, 0, 0, 2}},
	} {
		s := NewSlots(4)
		var got []int
		for _, n := range c.do {
			switch {
			case n == 100:
				s.Free(0)
			case n < 0:
				s.Free(-n)
			default:
				got = append(got, s.Take(ID(n)))
			}
		}
		for i := range c.want {
			if i >= len(got) || got[i] != c.want[i] {
				t.Errorf("%s: got %v, want %v", c.rule, got, c.want)
				break
			}
		}
	}
}

// No slot is named that may be in use at the engine: the engine's own choices are drawn at random from its free slots.
func TestANamedSlotIsFree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(2, 5).Draw(t, "slots")
		s := NewSlots(size)
		engine := make([]int, size+1) // requests by slot
		type request struct{ named, slot int }
		var in []request
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			if len(in) == size || len(in) > 0 && rapid.Bool().Draw(t, "end") {
				i := rapid.IntRange(0, len(in)-1).Draw(t, "which")
				s.Free(in[i].named)
				engine[in[i].slot]--
				in = append(in[:i], in[i+1:]...)
				continue
			}
			r := request{named: s.Take(ID(rapid.IntRange(0, 6).Draw(t, "session")))}
			if r.slot = r.named; r.slot == 0 {
				var free []int
				for i := 1; i <= size; i++ {
					if engine[i] == 0 {
						free = append(free, i)
					}
				}
				r.slot = rapid.SampledFrom(free).Draw(t, "choice")
			}
			if engine[r.slot]++; engine[r.slot] > 1 {
				t.Fatalf("slot %d was named and is in use", r.slot)
			}
			in = append(in, r)
		}
	})
}

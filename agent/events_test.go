package agent

import (
	"fmt"
	"slices"
	"testing"

	"github.com/tierd/tierd/agent/api"
)

func TestEventsAreNumberedAndTheLastAreKept(t *testing.T) {
	a := New(Options{})
	for i := range keepEvents + 10 {
		a.events.add(api.Event{Text: fmt.Sprint(i)})
	}
	all := a.Events(0)
	if len(all) != keepEvents || all[0].Seq != 11 || all[0].Text != "10" || all[len(all)-1].Seq != keepEvents+10 {
		t.Errorf("%d events, from %+v", len(all), all[0])
	}
	if rest := a.Events(keepEvents + 8); len(rest) != 2 || rest[0].Seq != keepEvents+9 {
		t.Errorf("after %d: %+v", keepEvents+8, rest)
	}
	if rest := a.Events(keepEvents + 10); len(rest) != 0 {
		t.Errorf("after the last: %+v", rest)
	}
}

func TestASubscriberThatDoesNotReadIsDroppedWithANote(t *testing.T) {
	a := New(Options{})
	slow, cancelSlow := a.Subscribe()
	quick, cancelQuick := a.Subscribe()
	defer cancelQuick()
	for i := range eventBuffer + 5 {
		a.events.add(api.Event{Kind: "tier", Text: fmt.Sprint(i)})
		if e := <-quick; e.Text != fmt.Sprint(i) {
			t.Fatalf("the quick one got %q", e.Text)
		}
	}
	var got []api.Event
	for e := range slow {
		got = append(got, e)
	}
	if len(got) != eventBuffer+1 || got[eventBuffer].Kind != "dropped" {
		t.Errorf("the slow one got %d events, the last %+v", len(got), got[len(got)-1])
	}
	cancelSlow() // of a subscription that has ended
}

func TestSubscriptionsEnd(t *testing.T) {
	a := New(Options{})
	one, cancel := a.Subscribe()
	two, cancelTwo := a.Subscribe()
	cancel()
	cancel()
	if _, open := <-one; open {
		t.Error("an event after the end")
	}
	a.events.close()
	if _, open := <-two; open {
		t.Error("an event after the agent's end")
	}
	cancelTwo()
	late, _ := a.Subscribe()
	if _, open := <-late; open {
		t.Error("a subscription to an agent that has ended")
	}
}

func TestEveryChangeOfStateIsAnEvent(t *testing.T) {
	inBed(t, func(b *bed) {
		events, cancel := b.Subscribe()
		defer cancel()
		mustDone(t, b.act("coder", "start", ""))
		mustDone(t, b.act("coder", "stop", ""))
		var states []string
		changes := 0
		for len(events) > 0 {
			switch e := <-events; e.Kind {
			case "tier":
				states = append(states, string(e.State))
				if e.Tier != "coder" || e.Unit != coder {
					t.Errorf("the event: %+v", e)
				}
			case "change":
				changes++
			}
		}
		if want := []string{"starting", "ready", "draining", "stopped"}; !slices.Equal(states, want) {
			t.Errorf("states %q, want %q", states, want)
		}
		if changes != 8 { // begun, doing, done, ended, twice
			t.Errorf("%d events of changes", changes)
		}
	})
}

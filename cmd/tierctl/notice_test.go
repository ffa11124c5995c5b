package main

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tierd/tierd/agent/api"
)

func TestWhatIsShownOnTheDesktop(t *testing.T) {
	guard := func(tier string) api.Event { return api.Event{Kind: "guard", Tier: tier, Text: "the sentence"} }
	for _, tt := range []struct {
		rule    string
		event   api.Event
		kind    string
		summary string // "": nothing is shown
		remedy  string
		urgent  bool
	}{
		{"a tier that was asked to give way", guard("utility"), "ask", "utility gave way: memory is short", "tierctl start utility", false},
		{"one that was killed", guard("utility"), "kill", "utility gave way: memory is short", "tierctl start utility", false},
		{"one of which tierd does not tell more", guard("utility"), "", "utility gave way: memory is short", "tierctl start utility", false},
		{"nobody gives way in a dry run", guard("utility"), "dry-run", "", "", false},
		{"the guard came", guard(""), "", "", "", false},
		{"memory that does not come back", guard("utility"), "not-returned", "Memory is short", "tierctl guard", true},
		{"nothing more can be done", guard(""), "alarm", "Memory is short", "Close what takes much memory", true},
		{"nobody watches any more", guard(""), "disarmed", "The memory guard is not armed", "tierctl guard", true},
		{"loads are refused", guard(""), "refuse", "", "", false},
		{"they are let in again", guard(""), "allow", "", "", false},
		{"a victim has ended", guard("utility"), "gone", "", "", false},
		{"memory is back", guard("utility"), "returned", "", "", false},
		{"somebody watches", guard(""), "armed", "", "", false},
		{"a tier that failed", api.Event{Kind: "tier", Tier: "coder", State: api.Failed, Text: "the sentence"}, "", "The tier coder failed", "tierctl logs coder", false},
		{"a tier that starts", api.Event{Kind: "tier", Tier: "coder", State: api.Starting}, "", "", "", false},
		{"a change", api.Event{Kind: "change", Tier: "coder"}, "", "", "", false},
	} {
		n, ok := noticeOf(tt.event, tt.kind)
		if ok != (tt.summary != "") || n.summary != tt.summary || n.urgent != tt.urgent || !strings.Contains(n.remedy, tt.remedy) {
			t.Errorf("%s: %+v, %v", tt.rule, n, ok)
		}
		if ok && n.body != "the sentence" {
			t.Errorf("%s: says %q", tt.rule, n.body)
		}
	}
}

func TestNotices(t *testing.T) {
	failed, gave := notice{summary: "a failed", subject: "a"}, notice{summary: "b gave way"}
	alarm := notice{summary: "short", urgent: true}
	type step struct {
		at   time.Duration
		add  *notice
		want string // that is shown then
	}
	for rule, steps := range map[string][]step{
		"the first is shown at once":                          {{0, &gave, "b gave way"}},
		"the next has to wait":                                {{0, &gave, "b gave way"}, {time.Second, &failed, ""}, {noticeGap, nil, "a failed"}, {2 * noticeGap, nil, ""}},
		"what the guard did is shown rather than what failed": {{0, &gave, "b gave way"}, {1, &alarm, ""}, {2, &gave, ""}, {3, &failed, ""}, {noticeGap, nil, "short"}},
		"of equals the newest":                                {{0, &failed, "a failed"}, {1, &alarm, ""}, {2, &notice{summary: "shorter", urgent: true}, ""}, {noticeGap, nil, "shorter"}},
		"a subject is told of once in a while":                {{0, &failed, "a failed"}, {time.Minute, &failed, ""}, {noticeAgain + time.Second, &failed, "a failed"}},
		"what the guard did always is":                        {{0, &gave, "b gave way"}, {time.Minute, &gave, "b gave way"}},
	} {
		s := newNotices()
		for _, step := range steps {
			if step.add != nil {
				s.add(*step.add, noon.Add(step.at))
			}
			got := ""
			if n, _ := s.next(noon.Add(step.at)); n != nil {
				got = n.summary
			}
			if got != step.want {
				t.Errorf("%s: at %s it shows %q, want %q", rule, step.at, got, step.want)
			}
		}
	}
}

// TestNoStormOfNotices: whatever happens, two are never closer than the gap, and one that waits is shown in the end.
func TestNoStormOfNotices(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, now := newNotices(), noon
		var last time.Time
		for range rapid.IntRange(1, 50).Draw(t, "events") {
			now = now.Add(time.Duration(rapid.IntRange(0, 5000).Draw(t, "ms")) * time.Millisecond)
			s.add(notice{summary: "x", subject: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "subject"), urgent: rapid.Bool().Draw(t, "urgent")}, now)
			n, pause := s.next(now)
			if n != nil {
				if !last.IsZero() && now.Sub(last) < noticeGap {
					t.Fatalf("%s after the one before", now.Sub(last))
				}
				last = now
			}
			if n == nil && s.waiting != nil && (pause <= 0 || pause > noticeGap) {
				t.Fatalf("one waits, and is looked at again in %s", pause)
			}
		}
		if now = now.Add(noticeGap); s.waiting != nil {
			if n, _ := s.next(now); n == nil {
				t.Fatal("the last one is never shown")
			}
		}
	})
}

package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/tierd/tierd/agent/api"
)

// notice is what one notification says.
type notice struct {
	summary, body string
	remedy        string // what the user can do
	urgent        bool   // stays until it was seen
	subject       string // the same one is not told of again for a while; "" always is
}

// toldKinds are the events of the guard that a person at the desktop wants to know of. That loads are refused, that memory is
// back and that the guard is armed is for `tierctl guard` and the journal.
var toldKinds = []string{"ask", "stop", "kill", "not-returned", "alarm", "disarmed"}

// noticeOf is what is shown of an event; ok is false for one that nobody needs to see. kind is that of the guard's event, "" for
// others.
func noticeOf(e api.Event, kind string) (n notice, ok bool) {
	switch {
	case e.Kind == "guard":
		return guardNotice(e, kind)
	case e.Kind == "tier" && e.State == api.Failed:
		return notice{
			summary: fmt.Sprintf("The tier %s failed", e.Tier), body: e.Text,
			remedy: fmt.Sprintf("Why: tierctl logs %s. Again: tierctl start %s.", e.Tier, e.Tier), subject: "failed " + e.Tier,
		}, true
	}
	return notice{}, false
}

func guardNotice(e api.Event, kind string) (notice, bool) {
	n := notice{summary: "Memory is short", body: e.Text, remedy: "Close what takes much memory; tierctl guard shows more.", urgent: true}
	switch {
	case kind == "" && e.Tier == "": // it came or went
		return notice{}, false
	case kind == "disarmed":
		n.summary, n.remedy = "The memory guard is not armed", "What to do: tierctl guard."
	case kind != "" && !slices.Contains(toldKinds, kind):
		return notice{}, false
	case e.Tier != "" && kind != "alarm" && kind != "not-returned":
		n.summary, n.urgent = fmt.Sprintf("%s gave way: memory is short", e.Tier), false
		n.remedy = fmt.Sprintf("It comes back when there is room, or by: tierctl start %s. More: tierctl guard.", e.Tier)
	}
	return n, true
}

// The limits of what is shown: two notifications are so far apart at least, and the same subject comes again so late.
const (
	noticeGap   = 3 * time.Second
	noticeAgain = 10 * time.Minute
)

// notices says which of the notices that come in is shown, and when.
type notices struct {
	shown   time.Time            // when the last one was
	told    map[string]time.Time // when a subject was told of
	waiting *notice
}

func newNotices() *notices { return &notices{told: map[string]time.Time{}} }

// add takes in a notice. Of several that wait the most urgent one is kept, and of equals the newest.
func (s *notices) add(n notice, now time.Time) {
	if at, known := s.told[n.subject]; n.subject != "" && known && now.Sub(at) < noticeAgain {
		return
	}
	if s.waiting != nil && rank(*s.waiting) > rank(n) {
		return
	}
	s.waiting = &n
}

// rank puts what the guard did before what failed.
func rank(n notice) int {
	guard := 0
	if n.subject == "" {
		guard = 1
	}
	if n.urgent {
		return guard + 1
	}
	return guard
}

// next is the notice that is to be shown now, nil for none; pause is when to ask again, 0 for not before another came in.
func (s *notices) next(now time.Time) (n *notice, pause time.Duration) {
	if s.waiting == nil {
		return nil, 0
	}
	if left := noticeGap - now.Sub(s.shown); left > 0 {
		return nil, left
	}
	n, s.waiting, s.shown = s.waiting, nil, now
	if n.subject != "" {
		s.told[n.subject] = now
	}
	return n, 0
}

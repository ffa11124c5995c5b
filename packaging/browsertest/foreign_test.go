//go:build browser

package browsertest

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/tierd/tierd/agent/api"
)

// Ensure notes that a tier was wished for, and has no room for it.
func (s *script) Ensure(_ context.Context, tier string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wishes = append(s.wishes, tier)
	return &api.Error{Kind: api.KindBudget, Message: "no room"}
}

// wished tells which tiers were wished for since it was asked last.
func (s *script) wished() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	wishes := s.wishes
	s.wishes = nil
	return strings.Join(wishes, " ")
}

// A page of another site can have a browser send a GET here, in which no Origin tells of it. It must load no tier.
func TestWhatAnotherSiteEmbedsWakesNoTier(t *testing.T) {
	r := newRig(t)
	p := open(t, r)
	var port int
	r.tier("reviewer", func(route *api.Route, _ *api.Tier) { route.Hold, route.Reason, port = 60, "held", route.Port })
	p.until("the gateway knows", text(card("reviewer")+" .reason")+` === "held"`)
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<body><script>window.tried = 0; function tell() { window.tried++ }</script>
			<img src="http://127.0.0.1:%d/x.png" onload="tell()" onerror="tell()">
			<iframe src="http://127.0.0.1:%d/y" onload="tell()"></iframe>
			<script src="http://127.0.0.1:%d/upstream/reviewer/z.js" onerror="tell()"></script>`, port, port, r.table.Port)
	}))
	defer site.Close()
	same := site.URL // 127.0.0.1, which is the gateway's own site
	other := strings.Replace(same, "127.0.0.1", "localhost", 1)
	for _, c := range []struct{ url, want string }{{other, ""}, {same, "reviewer"}} {
		p.run(chromedp.Navigate(c.url))
		p.until("all three have come to an end", "window.tried === 3")
		if got := r.wished(); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("a page at %s wakes %q, want %q", c.url, got, c.want)
		}
	}
}

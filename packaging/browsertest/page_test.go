//go:build browser

package browsertest

import (
	"fmt"
	"math"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/tierd/tierd/agent/api"
)

// card is the selector of a tier's card.
func card(tier string) string { return fmt.Sprintf(`.tier[data-key="%s"]`, tier) }

// text is the expression for what an element says.
func text(selector string) string {
	return fmt.Sprintf("document.querySelector(%q)?.textContent", selector)
}

func TestThePageShowsTheTiers(t *testing.T) {
	p := open(t, newRig(t))
	p.until("tierd has answered", text("#version")+` === "tierd 0.1.0" && document.querySelectorAll("#events li").length === 6`)
	got := value[[]string](p, `[...document.querySelectorAll(".tier")].map((el) => el.querySelector("h3").textContent + " " + el.querySelector(".state").textContent)`)
	if want := "[orch ready coder starting reviewer stopped utility ready]"; fmt.Sprint(got) != want {
		t.Errorf("tiers %v, want %v", got, want)
	}
	for selector, want := range map[string]string{
		card("coder") + " .status":      "Loading weights 43 %, 24 of 57 GiB",
		card("coder") + " .memory":      "64.4 GiB",
		card("coder") + " .context":     "48K tokens",
		card("reviewer") + " .reason":   "gave way to coder: idle for 9 min",
		card("reviewer") + " .engine":   "llama",
		card("reviewer") + " .variant":  "cpu",
		card("utility") + " .abroad":    "requests leave this machine",
		card("orch") + " .notes":        "restart pending: tiers.toml has changed since it was started (tierctl restart orch)",
		"#queue tr:first-child td":      "0 of 4",
		"#summary":                      "2 of 4 tiers ready, 0 requests in flight",
		"#events li:first-child .text":  "the gateway is connected",
		"#events li:nth-child(2) .text": "coder is starting",
	} {
		if got := value[string](p, text(selector)); got != want {
			t.Errorf("%s says %q, want %q", selector, got, want)
		}
	}
	for _, tier := range []string{"orch", "utility"} {
		if !value[bool](p, fmt.Sprintf("document.querySelector(%q).hidden", card(tier)+" .load")) {
			t.Errorf("%s is ready and shows a load", tier)
		}
	}
	p.clean()
}

func TestAChangeArrivesWithoutAReload(t *testing.T) {
	r := newRig(t)
	p := open(t, r)
	value[any](p, "window.mark = 1; 0")
	p.until("the load is at 43 %", fmt.Sprintf("document.querySelector(%q).value === 43", card("coder")+" progress"))
	r.tier("coder", func(r *api.Route, _ *api.Tier) { r.Status = "Loading weights 80 %, 46 of 57 GiB" })
	p.until("the load is at 80 %", fmt.Sprintf("document.querySelector(%q).value === 80", card("coder")+" progress"))
	r.tier("coder", func(r *api.Route, _ *api.Tier) { r.Status = "Warming up" })
	p.until("the bar has no figure", fmt.Sprintf("document.querySelector(%q).position === -1", card("coder")+" progress"))
	r.tier("coder", func(r *api.Route, _ *api.Tier) { r.State, r.Status = api.Ready, "" })
	p.until("the coder is ready", text(card("coder")+" .state")+` === "ready"`)
	p.until("it is said aloud", text("#said")+` === "coder is ready"`)
	p.until("there is an event of it", text("#events li:first-child .text")+` === "coder is ready"`)
	r.change(func(s *script) { s.table.Routes, s.status.Tiers = s.table.Routes[:2], s.status.Tiers[:2] })
	p.until("the others are gone", `document.querySelectorAll(".tier").length === 2 && document.querySelectorAll("#queue tr").length === 2`)
	if value[int](p, "window.mark") != 1 {
		t.Error("the page was loaded again")
	}
	p.clean()
}

// widths are those of a bar's parts, as shares of the bar.
func widths(p *tab, pool int) (shares []float64, sum float64) {
	shares = value[[]float64](p, fmt.Sprintf(`(() => {
		const track = document.querySelectorAll(".track")[%d];
		return [...track.children].map((el) => el.getBoundingClientRect().width / track.clientWidth);
	})()`, pool))
	for _, s := range shares {
		sum += s
	}
	return shares, sum
}

func TestThePartsOfABarFillIt(t *testing.T) {
	r := newRig(t)
	p := open(t, r)
	p.until("both bars are there", `document.querySelectorAll(".track").length === 2`)
	for pool, c := range []struct{ size, parts []float64 }{
		{[]float64{124.9}, []float64{42.5, 64.4, 12, .8, 5.2}},
		{[]float64{115}, []float64{41, 62.4, 1.2, .8, 9.6}},
	} {
		shares, sum := widths(p, pool)
		if math.Abs(sum-1) > .002 || len(shares) != len(c.parts) {
			t.Fatalf("bar %d has the parts %v, together %f", pool, shares, sum)
		}
		for i, want := range c.parts {
			if want /= c.size[0]; math.Abs(shares[i]-want) > .002 {
				t.Errorf("part %d of bar %d takes %f, want %f", i, pool, shares[i], want)
			}
		}
	}
	label := value[string](p, `document.querySelector(".scale").ariaLabel`)
	if want := "RAM, 125 GiB: orch 42.5 GiB, coder 64.4 GiB, reserve 12 GiB, leaked 819 MiB, left 5.2 GiB"; label != want {
		t.Errorf("the bar is said to be %q, want %q", label, want)
	}
	r.change(func(s *script) {
		s.budget.RAM.Size = amount(100)
		s.budget.Fits, s.budget.Words = false, "42.5GiB + 64.4GiB promised and 12GiB reserve are 118.9GiB, of 100GiB"
	})
	p.until("the sum that does not hold is said", `!document.querySelector("#misfit").hidden`)
	if shares, sum := widths(p, 0); math.Abs(sum-1) > .002 || len(shares) != 4 {
		t.Errorf("the parts are %v, together %f", shares, sum)
	}
	if at := value[string](p, `getComputedStyle(document.querySelector(".over"), "::after").left`); at == "auto" || at == "0px" {
		t.Errorf("the end of what there is stands at %s", at)
	}
	p.clean()
}

func TestForeignTextIsShownAsText(t *testing.T) {
	const evil = `<img src=x onerror="window.caught=1"><script>window.caught=1</script>`
	r := newRig(t)
	p := open(t, r)
	r.tier("reviewer", func(r *api.Route, t *api.Tier) {
		r.Model, r.State, r.Reason, r.Role, t.Warning = evil, api.Failed, evil+"?", evil, evil
	})
	r.change(func(s *script) {
		s.events = append(s.events, api.Event{Seq: 99, Kind: evil, Text: evil})
		s.budget.Tiers[0].Tier, s.budget.Fits, s.budget.Words = evil, false, evil
		s.status.Warnings = []string{evil}
	})
	p.until("the reason is shown as it is", fmt.Sprintf("%s === %q", text(card("reviewer")+" .reason"), evil+"?"))
	for what, selector := range map[string]string{
		"the model": card("reviewer") + " .model", "the role": card("reviewer") + " .role",
		"the note": card("reviewer") + " .notes li", "the event": "#events .text", "the sum": "#misfit", "the share": ".legend .who", "the notice": "#notices li",
	} {
		p.until(what+" is shown as it is", fmt.Sprintf("%s === %q", text(selector), evil))
	}
	if n := value[int](p, `document.querySelectorAll("img, body script").length`); n != 0 || value[bool](p, "Boolean(window.caught)") {
		t.Errorf("the text made %d elements, and a script ran: %v", n, value[bool](p, "Boolean(window.caught)"))
	}
	// Even a page that took it for markup would be kept from it.
	if value[bool](p, `(() => { try { document.body.innerHTML = "<b>x</b>"; return true } catch { return false } })()`) {
		t.Error("markup can be made of text")
	}
	p.clean("TrustedHTML", "ContentSecurityPolicyIssue")
}

func TestThePageFollowsAHandover(t *testing.T) {
	r := newRig(t)
	p := open(t, r)
	value[any](p, `window.mark = 1; window.lost = 0;
		new MutationObserver(() => { window.lost += document.body.dataset.link === "lost" }).observe(document.body, {attributes: true}); 0`)
	r.handOver(t)
	p.until("the handover was noticed", "window.lost > 0")
	p.until("it follows the successor", `document.body.dataset.link === "live"`)
	r.tier("coder", func(r *api.Route, _ *api.Tier) { r.Status = "Loading weights 50 %" })
	p.until("the successor's news arrive", fmt.Sprintf("document.querySelector(%q).value === 50", card("coder")+" progress"))
	p.until("the notice is gone", `document.querySelectorAll("#notices li").length === 0`)
	if value[int](p, "window.mark") != 1 {
		t.Error("the page was loaded again")
	}
	p.clean() // a handover refuses nobody
}

func TestThePageOutlivesTheGateway(t *testing.T) {
	r := newRig(t)
	p := open(t, r)
	p.until("the memory is there", `document.querySelectorAll(".track").length === 2`)
	value[any](p, "window.mark = 1; 0")
	_ = r.gateway.Process.Kill()
	_ = r.gateway.Wait()
	p.until("it says that it is stale", text("#link")+` === "not connected" && `+text("#notices")+`.includes("What you see is of then")`)
	p.until("that is said aloud", text("#said")+` === "connection lost"`)
	p.picture("stale")
	r.startGateway(t)
	p.until("it is live again", `document.body.dataset.link === "live" && document.querySelectorAll("#notices li").length === 0`)
	if value[int](p, "window.mark") != 1 || value[int](p, `document.querySelectorAll(".tier").length`) != 4 {
		t.Error("the page was loaded again, or has lost its tiers")
	}
	p.clean("net::ERR_")
}

func TestThePageSaysThatTierdIsAway(t *testing.T) {
	r := newRig(t)
	p := open(t, r)
	p.until("tierd has answered", text("#version")+` !== ""`)
	r.stopTierd()
	p.until("it is said", text("#notices")+`.includes("tierd does not answer")`)
	if n := value[int](p, `document.querySelectorAll(".tier").length`); n != 4 || value[string](p, text("#link")) != "live" {
		t.Errorf("%d tiers, %s", n, value[string](p, text("#link")))
	}
	p.until("the memory stays", `document.querySelectorAll(".track").length === 2`)
	p.picture("without-tierd")
	r.stopTierd = r.serve(t, r.socket())
	r.tier("coder", func(r *api.Route, _ *api.Tier) { r.State, r.Status = api.Ready, "" })
	p.until("tierd is back", `document.querySelectorAll("#notices li").length === 0 && `+text(card("coder")+" .state")+` === "ready"`)
	p.clean()
}

func TestThePageWorksByKeyboardAndForAScreenReader(t *testing.T) {
	p := open(t, newRig(t))
	p.until("the events are there", `document.querySelectorAll("#events li").length > 0`)
	call(p, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
	p.run(chromedp.EmulateViewport(1280, 500), chromedp.KeyEvent(kb.Tab))
	p.until("the first stop of the tab key is the list that scrolls", `document.activeElement.id === "events"`)
	if n := value[int](p, `document.querySelectorAll("[aria-live], [role=status], [role=alert], [role=log]").length`); n != 1 {
		t.Errorf("%d parts of the page talk by themselves", n)
	}
	levels := value[[]string](p, `[...document.querySelectorAll("h1, h2, h3")].map((h) => h.tagName)`)
	for i := 1; i < len(levels); i++ {
		if levels[i] > levels[i-1] && levels[i][1] != levels[i-1][1]+1 {
			t.Errorf("a heading %s follows %s", levels[i], levels[i-1])
		}
	}
	p.clean()
}

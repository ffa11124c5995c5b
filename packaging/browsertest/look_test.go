//go:build browser

package browsertest

import (
	"strings"
	"testing"
	"time"

	"github.com/tierd/tierd/agent/api"
)

// paleText finds text whose contrast to what is behind it is below 4.5 (WCAG 2.2, 1.4.3). Nothing here is transparent but
// for backgrounds that are not there at all.
const paleText = `(() => {
	const rgb = (css) => css.match(/[\d.]+/g).map(Number);
	const light = ([r, g, b]) => [r, g, b].map((v) => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
		.reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
	const behind = (el) => {
		const c = rgb(getComputedStyle(el).backgroundColor);
		return c[3] === 0 && el.parentElement ? behind(el.parentElement) : c;
	};
	const pale = [];
	for (const el of document.body.querySelectorAll("*")) {
		const says = [...el.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
		if (!says || !el.checkVisibility() || el.closest(".unseen, noscript")) continue;
		const [a, b] = [light(rgb(getComputedStyle(el).color)), light(behind(el))].sort((a, b) => b - a);
		const ratio = (a + .05) / (b + .05);
		if (ratio < 4.5) pale.push(el.className + " " + el.textContent + ": " + ratio.toFixed(2));
	}
	return pale;
})()`

func (p *tab) fits(what string) {
	p.t.Helper()
	if wide := value[int](p, "document.documentElement.scrollWidth - document.documentElement.clientWidth"); wide > 0 {
		p.t.Errorf("%s: it is %d pixels too wide", what, wide)
	}
	if pale := value[[]string](p, paleText); len(pale) > 0 {
		p.t.Errorf("%s: too pale: %q", what, pale)
	}
}

// views shows the page as a desktop and as a phone, light and dark, and keeps pictures of them.
func (p *tab) views(name string) {
	p.t.Helper()
	for _, scheme := range []string{"light", "dark"} {
		for device, width := range map[string]int64{"desktop": 1280, "phone": 360} {
			view := name + "-" + device + "-" + scheme
			p.show(width, scheme)
			p.fits(view)
			p.picture(view)
		}
	}
}

func TestItLooksRightOnADesktopAndOnAPhone(t *testing.T) {
	p := open(t, newRig(t))
	p.until("the memory is there", `document.querySelectorAll(".track").length === 2`)
	p.views("usual")
	p.clean()
}

func TestItLooksRightWithNothing(t *testing.T) {
	r := newRig(t)
	p := open(t, r)
	r.change(func(s *script) {
		s.table.Routes, s.status.Tiers, s.events = nil, nil, nil
		s.budget.Tiers, s.budget.GPU, s.budget.Pending = nil, nil, 0
		s.budget.RAM.Promised = 0
	})
	p.until("the tiers are gone", `!document.querySelector("#no-tiers").hidden && document.querySelectorAll(".track").length === 1`)
	p.views("empty")
	p.clean()
}

func TestItLooksRightWithTooMuch(t *testing.T) {
	r := newRig(t)
	p := open(t, r)
	long := strings.Repeat("an-organisation-with-a-long-name/", 3) + strings.Repeat("Model-", 20) + "Instruct-Q4_K_M.gguf"
	r.tier("reviewer", func(r *api.Route, t *api.Tier) {
		r.State, r.Model = api.Failed, long
		r.Reason = "the engine ended by itself: " + strings.Repeat("ggml_vulkan: Device memory allocation of size 1073741824 failed. ", 4)
		t.Warning, t.DropIns = "the model's files have changed since it was started", []string{"/etc/systemd/system/tier-reviewer.service.d/override.conf"}
	})
	r.tier("orch", func(r *api.Route, t *api.Tier) { r.State, r.Status = api.Draining, "" })
	r.tier("coder", func(r *api.Route, t *api.Tier) { r.Status, r.ReadyBy = "Warming up", time.Now().Add(40*time.Second) })
	r.change(func(s *script) {
		for i, name := range []string{"embeddings", "vision-with-a-rather-long-name"} {
			s.table.Routes = append(s.table.Routes, api.Route{Tier: name, Role: "of many", Port: freePort(t), State: []api.State{api.Blocked, api.Stopping}[i], Engine: "llama", Variant: "radv", Model: "m.gguf", Reason: "its model is not there"})
			s.status.Tiers = append(s.status.Tiers, api.Tier{Name: name, State: api.Blocked, Memory: gib})
			s.budget.Tiers = append(s.budget.Tiers, api.Share{Tier: name, Phase: "ending", RAM: gib / 8, GPU: gib / 8})
		}
		s.budget.RAM.Size = amount(100)
		s.budget.Fits, s.budget.Words = false, "42.5GiB + 64.4GiB + 128MiB + 128MiB promised and 12GiB reserve are 119.15GiB, of 100GiB"
		s.status.ConfigError, s.status.ConfigPath = `tiers.toml:14: unknown key "memroy" in [tier.chat]; did you mean "memory"?`, "/etc/tierd/tiers.toml"
		for i := range 60 {
			s.events = append(s.events, api.Event{Seq: uint64(100 + i), Time: time.Now(), Kind: "tier", Tier: "vision-with-a-rather-long-name", Text: strings.Repeat("something happened, ", 1+i%6)})
		}
	})
	p.until("all are there", `document.querySelectorAll(".tier").length === 6 && document.querySelectorAll("#events li").length === 30 && !document.querySelector("#misfit").hidden`)
	p.views("full")
	p.clean()
}

package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tierd/tierd/agent/api"
)

func (a *app) printGuard(g api.Guard) {
	page := guardPage{Guard: g, now: a.now(), colour: colourful(a.stdout), width: 76}
	if columns, _, _ := terminalSize(a.stdout); columns > 0 {
		page.width = columns
	}
	fmt.Fprintln(a.stdout, page.verdict())
	if s := g.State; s != nil {
		fmt.Fprintf(a.stdout, "\n%s\n\n", page.bar(s))
		writePairs(a.stdout, "", page.pairs(s))
		fmt.Fprintln(a.stdout)
		if len(s.Order) == 0 {
			fmt.Fprintln(a.stdout, "There is no tier that can give way.")
		} else {
			writeTable(a.stdout, orderHeader, page.order(s))
		}
		if s.Would != "" {
			when := "Now" // it does so
			if s.Available >= s.Soft {
				when = "At the soft line" // it would
			}
			fmt.Fprintln(a.stdout)
			say(a.stdout, 2, fmt.Sprintf("%s: %s.", when, strings.TrimSuffix(s.Would, ".")))
		}
	}
	for _, part := range []struct {
		title string
		lines []string
	}{{"Gave way", page.resting()}, {"What it did last", page.recent()}} {
		if len(part.lines) == 0 {
			continue
		}
		fmt.Fprintf(a.stdout, "\n%s:\n", part.title)
		for _, line := range part.lines {
			say(a.stdout, 4, "  "+line)
		}
	}
}

// guardPage is the guard as text.
type guardPage struct {
	api.Guard
	now    time.Time
	colour bool
	width  int
}

func (p guardPage) paint(text, colour string) string {
	if !p.colour {
		return text
	}
	return painted(text, colour)
}

// verdict is the first line. Why a guard that is wanted does not watch is the command's error.
func (p guardPage) verdict() string {
	switch {
	case !p.Enabled:
		return "The guard is off: tiers.toml says so in [guard]. When memory runs short the kernel ends something."
	case !p.Connected:
		return "The guard is " + p.paint("not connected", red) + " to tierd."
	case p.State == nil || !p.State.Armed:
		return "The guard is " + p.paint("not armed", red) + "."
	}
	text := fmt.Sprintf("The guard is %s for %s", p.paint("armed", green), formatAge(p.now.Sub(p.State.Since)))
	if p.State.DryRun {
		text += ", and only tells what it would do (dry run)"
	}
	return text + "."
}

// bar shows what is available by the lines, which stand at the same places whatever is available.
func (p guardPage) bar(s *api.GuardState) string {
	label := fmt.Sprintf("RAM  %9s  ", size(s.Available))
	top := 2 * s.Refuse
	var parts []segment
	below := uint64(0)
	for _, line := range []struct {
		letter rune
		paint  string
		at     uint64
	}{{'e', red, s.Emergency}, {'h', red, s.Hard}, {'s', yellow, s.Soft}, {'r', cyan, s.Refuse}, {'+', green, top}} {
		part := segment{letter: line.letter, bytes: max(min(s.Available, line.at), below) - below}
		if p.colour {
			part.paint = line.paint
		}
		parts = append(parts, part)
		below = max(below, line.at)
	}
	return label + drawBar(parts, top, max(p.width-len(label), 10))
}

func (p guardPage) pairs(s *api.GuardState) []pair {
	return []pair{
		{"Available", size(s.Available) + ", " + slopeText(s)},
		{"Level", s.Level},
		{"Lines", fmt.Sprintf("refuse %s, soft %s, hard %s, emergency %s", size(s.Refuse), size(s.Soft), size(s.Hard), size(s.Emergency))},
		{"Swap", swapFreeText(s)},
		{"GTT", gttText(s)},
		{"Looks", fmt.Sprintf("the next in %s, %d so far", milliseconds(s.Poll), s.Looks)},
		{"Cost", costText(s, p.now)},
		{"Has done", fmt.Sprintf("%s stopped, %d of them killed", count(int(s.Stops), "tier"), s.Kills)},
	}
}

// slopeText says how the available memory changes, and when the next line is reached if that goes on.
func slopeText(s *api.GuardState) string {
	const steady = 1 << 20 // bytes a second
	switch {
	case s.Slope > -steady && s.Slope < steady:
		return "steady"
	case s.Slope > 0:
		return fmt.Sprintf("rising by %s a second", size(uint64(s.Slope)))
	}
	fall := uint64(-s.Slope)
	text := fmt.Sprintf("falling by %s a second", size(fall))
	for _, line := range []struct {
		name string
		at   uint64
	}{{"soft", s.Soft}, {"hard", s.Hard}, {"emergency", s.Emergency}} {
		if s.Available > line.at {
			at := time.Duration(float64(s.Available-line.at) / float64(fall) * float64(time.Second))
			return text + fmt.Sprintf(": at the %s line in %s", line.name, formatAge(at))
		}
	}
	return text
}

func swapFreeText(s *api.GuardState) string {
	if s.SwapTotal == 0 {
		return "none"
	}
	return fmt.Sprintf("%s of %s free: busy tiers are spared for it, idle ones are not", size(s.SwapFree), size(s.SwapTotal))
}

func gttText(s *api.GuardState) string {
	if s.GTTUsed == nil {
		return ""
	}
	return size(*s.GTTUsed) + " in use by the GPU"
}

// costText is the guard's own share of memory and of one core.
func costText(s *api.GuardState, now time.Time) string {
	text := size(s.Resident) + " resident"
	if age := now.Sub(s.Since).Seconds(); age > 0 {
		text += fmt.Sprintf(", %.2f %% of a core (%.1f s in all)", s.CPU/age*100, s.CPU)
	}
	return text
}

func milliseconds(seconds float64) string { return fmt.Sprintf("%.0f ms", seconds*1000) }

var orderHeader = []string{"", "TIER", "RAM", "GPU", "CHARGE", "WHY"}

// order are the tiers as they would give way, the first first.
func (p guardPage) order(s *api.GuardState) []row {
	var rows []row
	for i, v := range s.Order {
		rows = append(rows, row{cells: []cell{
			{text: strconv.Itoa(i + 1)}, {text: v.Tier}, {text: sizeOr(v.RAM, "-")}, {text: sizeOr(v.GPU, "-")}, {text: sizeOrDash(v.Charge)}, {text: v.Why},
		}})
	}
	return rows
}

func (p guardPage) resting() []string {
	var lines []string
	for _, r := range p.Resting {
		lines = append(lines, fmt.Sprintf("%s: %s; %s", r.Tier, r.Text, p.back(r)))
	}
	return lines
}

// back says when a tier that gave way may come back.
func (p guardPage) back(r api.GuardRest) string {
	switch {
	case r.Until.IsZero():
		return fmt.Sprintf("it stays down until somebody starts it (tierctl start %s)", r.Tier)
	case r.Until.After(p.now):
		return fmt.Sprintf("it may come back in %s, where there is room then", formatAge(r.Until.Sub(p.now)))
	}
	return "it comes back as soon as there is room"
}

// shownEvents bounds how many events the page has; `tierctl events` has more.
const shownEvents = 10

func (p guardPage) recent() []string {
	var lines []string
	for _, e := range p.Recent[max(len(p.Recent)-shownEvents, 0):] {
		lines = append(lines, fmt.Sprintf("%s  %-10s  %s", e.Time.Local().Format(time.DateTime), dash(e.Tier), e.Told()))
	}
	return lines
}

package main

import (
	"fmt"
	"strings"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/units"
)

func (a *app) printBudget(b api.Budget) error {
	if a.format == formatJSON {
		return a.writeJSON(b)
	}
	if b.Mode != "" {
		fmt.Fprintf(a.stdout, "If the mode %q were up:\n\n", b.Mode)
	}
	page := budgetPage{Budget: b, colour: colourful(a.stdout), width: 76}
	if columns, _, _ := terminalSize(a.stdout); columns > 0 {
		page.width = columns
	}
	page.key = letters(tierNamesOf(b.Tiers))
	for _, line := range page.bars() {
		fmt.Fprintln(a.stdout, line)
	}
	fmt.Fprintln(a.stdout)
	if len(b.Tiers) == 0 {
		fmt.Fprintln(a.stdout, "No tier holds memory.")
	} else {
		writeTable(a.stdout, budgetHeader, page.rows())
	}
	fmt.Fprintln(a.stdout)
	for _, line := range page.words() {
		say(a.stdout, 2, line)
	}
	return nil
}

func tierNamesOf(shares []api.Share) []string {
	names := make([]string, len(shares))
	for i, s := range shares {
		names[i] = s.Tier
	}
	return names
}

// budgetPage is a budget as text.
type budgetPage struct {
	api.Budget
	key    []rune // by share
	colour bool
	width  int
}

var tierColours = []string{green, cyan, blue, magenta}

func (p budgetPage) paint(colour string) string {
	if !p.colour {
		return ""
	}
	return colour
}

// bars are one line for the RAM and one for the GPU's pool.
func (p budgetPage) bars() []string {
	ram := p.shares(func(s api.Share) uint64 { return s.RAM })
	ram = append(ram, segment{'r', p.paint(dim), p.Reserve})
	if p.GPU != nil && p.GPU.Name == "gtt" { // what leaked there is RAM
		ram = append(ram, segment{'x', p.paint(red), p.GPU.Leaked})
	}
	lines := []string{p.bar(p.RAM, ram)}
	if p.GPU != nil {
		gpu := p.shares(func(s api.Share) uint64 { return s.GPU })
		gpu = append(gpu, segment{'o', p.paint(yellow), p.GPU.Others}, segment{'x', p.paint(red), p.GPU.Leaked})
		lines = append(lines, p.bar(*p.GPU, gpu))
	}
	return lines
}

func (p budgetPage) shares(of func(api.Share) uint64) []segment {
	var list []segment
	for i, s := range p.Tiers {
		list = append(list, segment{p.key[i], p.paint(tierColours[i%len(tierColours)]), of(s)})
	}
	return list
}

func (p budgetPage) bar(pool api.Pool, segments []segment) string {
	label := fmt.Sprintf("%-4s %9s  ", strings.ToUpper(pool.Name), sizeOr(pool.Size, "?"))
	if pool.Size == nil {
		return label + "its size is not known"
	}
	return label + drawBar(segments, *pool.Size, max(p.width-len(label), 10))
}

var budgetHeader = []string{"", "TIER", "VARIANT", "PHASE", "RAM", "GPU", "WEIGHTS", "KV", "OVERHEAD", "BY"}

func (p budgetPage) rows() []row {
	var rows []row
	for i, s := range p.Tiers {
		rows = append(rows, row{cells: []cell{
			{string(p.key[i]), p.paint(tierColours[i%len(tierColours)])}, {text: s.Tier}, {text: dash(s.Variant)}, {text: s.Phase},
			{text: sizeOrDash(s.RAM)}, {text: sizeOrDash(s.GPU)},
			{text: sizeOrDash(s.Charge.Weights)}, {text: sizeOrDash(s.Charge.KV)}, {text: sizeOrDash(s.Charge.Overhead)}, {text: origin(s)},
		}})
	}
	return rows
}

// origin says where the size of a tier is from.
func origin(s api.Share) string {
	c := s.Charge
	estimate := c.Weights + c.KV + c.Overhead
	switch {
	case c.Written > 0:
		return "written"
	case c.Measured > estimate:
		return "measured"
	case estimate > 0:
		return "estimated"
	case s.RAM+s.GPU == 0:
		return "not known"
	}
	return "-"
}

// words are the sums, term by term, and what they mean.
func (p budgetPage) words() []string {
	lines := []string{p.ramWords()}
	if p.GPU != nil && p.GPU.Size != nil {
		lines = append(lines, p.gpuWords())
	}
	if names := p.onGPU(); p.GPU == nil && len(names) > 0 {
		lines = append(lines, fmt.Sprintf("There is no AMD GPU whose memory is known, and %s would load onto one.", strings.Join(names, " and ")))
	}
	if p.Free != nil {
		free := fmt.Sprintf("Now %s of RAM is free", size(*p.Free))
		if p.Pending > 0 {
			free += fmt.Sprintf(", of which tiers may still take %s that they were promised", size(p.Pending))
		}
		lines = append(lines, fmt.Sprintf("%s; %s has to stay free after a load.", free, size(p.KeepFree)))
	}
	if p.GPU != nil && p.GPU.Broken != "" && p.Words != p.GPU.Broken && !strings.Contains(p.Words, p.GPU.Broken) {
		lines = append(lines, p.GPU.Broken+".")
	}
	if unknown := p.unknown(); len(unknown) > 0 {
		lines = append(lines, fmt.Sprintf("What %s takes is not known: the model is not there, and tiers.toml has no `memory`.", list(unknown)))
	}
	if p.Words != "" && (p.Mode == "" || p.Fits) { // a refused mode's words are the command's error
		lines = append(lines, p.Words+".")
	}
	for _, w := range p.Waiting {
		lines = append(lines, fmt.Sprintf("%s: %s.", w.Tier, w.Words))
	}
	return lines
}

// onGPU are the tiers that take memory of a GPU.
func (p budgetPage) onGPU() []string {
	var names []string
	for _, s := range p.Tiers {
		if s.GPU > 0 {
			names = append(names, s.Tier)
		}
	}
	return names
}

// unknown are the tiers whose size nobody knows.
func (p budgetPage) unknown() []string {
	var names []string
	for _, s := range p.Tiers {
		if origin(s) == "not known" {
			names = append(names, s.Tier)
		}
	}
	return names
}

func (p budgetPage) ramWords() string {
	sum := p.RAM.Promised + p.Reserve
	text := p.terms(func(s api.Share) uint64 { return s.RAM }) + " promised, " + size(p.Reserve) + " reserve"
	if p.GPU != nil && p.GPU.Name == "gtt" && p.GPU.Leaked > 0 {
		sum += p.GPU.Leaked
		text += ", " + size(p.GPU.Leaked) + " leaked"
	}
	return "RAM: " + text + ": " + ofPool(sum, p.RAM.Size)
}

func (p budgetPage) gpuWords() string {
	text := p.terms(func(s api.Share) uint64 { return s.GPU }) + " promised"
	if p.GPU.Others > 0 {
		text += ", " + size(p.GPU.Others) + " of other programs"
	}
	if p.GPU.Leaked > 0 {
		text += ", " + size(p.GPU.Leaked) + " leaked"
	}
	if p.GPU.Broken != "" {
		return strings.ToUpper(p.GPU.Name) + ": " + text + ": nothing may be loaded there."
	}
	return strings.ToUpper(p.GPU.Name) + ": " + text + ": " + ofPool(p.GPU.Promised+p.GPU.Others+p.GPU.Leaked, p.GPU.Size)
}

// terms are the shares of the tiers: "42.5GiB + 64.4GiB".
func (p budgetPage) terms(of func(api.Share) uint64) string {
	var terms []string
	for _, s := range p.Tiers {
		if n := of(s); n > 0 {
			terms = append(terms, size(n))
		}
	}
	if len(terms) == 0 {
		return "nothing"
	}
	return strings.Join(terms, " + ")
}

func ofPool(sum uint64, of *uint64) string {
	switch {
	case of == nil:
		return size(sum) + "."
	case sum > *of:
		return fmt.Sprintf("%s of %s, %s too much.", size(sum), size(*of), size(sum-*of))
	}
	return fmt.Sprintf("%s of %s, %s left.", size(sum), size(*of), size(*of-sum))
}

func size(n uint64) string { return units.Bytes(n).String() }

func sizeOr(n *uint64, unknown string) string {
	if n == nil {
		return unknown
	}
	return size(*n)
}

func sizeOrDash(n uint64) string {
	if n == 0 {
		return "-"
	}
	return size(n)
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

package main

import (
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/tierd/tierd/packaging/guardbench/trial"
)

// tier is what one tier is made of. Amounts are MiB.
type tier struct {
	name     string
	anon     int
	touch    int  // a second, of its anonymous memory
	file     int  // mapped
	hidden   int  // of anon, what is in dma-heap buffers where tiers are hidden
	priority int  // as tiers.toml would give it
	demand   bool // an optional tier
	busy     bool
	score    int // OOMScoreAdjust, where tiers have one
}

// tiers are four language models of different use: reviewer and utility are small and optional, coder must stay. Together they
// leave 800 MiB of the machine.
var tiers = []tier{
	{name: "reviewer", anon: 600, file: 100, priority: 10, demand: true, score: 500},
	{name: "utility", anon: 100, touch: 5, file: 60, priority: 20, demand: true, score: 300},
	{name: "orch", anon: 400, touch: 20, hidden: 340, priority: 60, score: -600},
	{name: "coder", anon: 1000, touch: 50, hidden: 850, priority: 90, busy: true, score: -800},
}

const mib = 1 << 20

// most is what one process may leak, in MiB.
const most = 2700

func (t tier) charge() uint64 { return uint64(t.anon+t.file) * mib }

// flags are those of the program memory.
func (t tier) flags(s trial.Scenario) []string {
	anon, dma := t.anon, 0
	if s.Hidden {
		anon, dma = t.anon-t.hidden, t.hidden
	}
	args := words("-anon", anon, "-touch", t.touch, "-dma", dma, "-leak", "anon", "-rate", 100, "-most", most)
	if t.file > 0 {
		args = append(args, "-file", modelPath(t.name))
	}
	return args
}

// modelPath is a file that stands for a model. It has no blocks on disk: to read it takes as much page cache as any other.
func modelPath(name string) string { return "/var/lib/bench/" + name }

func makeFile(name string, size int64) error {
	if err := os.MkdirAll("/var/lib/bench", 0o755); err != nil {
		return err
	}
	f, err := os.Create(modelPath(name))
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Truncate(size)
}

// ensureTiers starts those that are not as they should be. Tiers of the other kind (hidden or not) are all ended first.
func ensureTiers(s trial.Scenario) ([]*unit, error) {
	kind := strings.Join(tiers[len(tiers)-1].flags(s), " ")
	before, _ := os.ReadFile(benchPath("kind"))
	units := make([]*unit, len(tiers))
	errs := make([]error, len(tiers))
	var all sync.WaitGroup
	for i, t := range tiers {
		units[i] = &unit{name: t.name, slice: tiersSlice}
		all.Go(func() { errs[i] = ensureTier(units[i], t, s, string(before) == kind) })
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	for i, t := range tiers {
		score := 0
		if s.Scored {
			score = t.score
		}
		if err := units[i].score(score); err != nil {
			return nil, err
		}
	}
	return units, os.WriteFile(benchPath("kind"), []byte(kind), 0o644)
}

func ensureTier(u *unit, t tier, s trial.Scenario, same bool) error {
	unharmed, err := u.attach()
	if err != nil || unharmed && same {
		return err
	}
	if err := u.end(); err != nil {
		return err
	}
	if t.file > 0 {
		if _, err := os.Stat(modelPath(t.name)); err != nil {
			if err := makeFile(t.name, int64(t.file)*mib); err != nil {
				return err
			}
		}
	}
	if err := u.start(t.flags(s)); err != nil {
		return err
	}
	return u.ready()
}

// startLoad starts what takes the memory, which waits to be told to go.
func startLoad(s trial.Scenario) (*unit, error) {
	args := words("-leak", s.Kind, "-rate", s.Rate, "-most", most)
	if s.Kind == "cache" {
		if err := makeFile("large", 4<<30); err != nil {
			return nil, err
		}
		args = append(args, "-from", modelPath("large"))
	}
	u := &unit{name: trial.Load, slice: loadSlice}
	if err := u.start(args); err != nil {
		return nil, err
	}
	return u, u.ready()
}

// words are the arguments of a program.
func words(list ...any) []string {
	text := make([]string, len(list))
	for i, w := range list {
		text[i] = fmt.Sprint(w)
	}
	return text
}

package units

import (
	"fmt"
	"math/bits"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestPagesHaveTheSumsOfThePlan holds tables of docs/memory.md and docs/install.md to what the shipped file comes to with models of
// the published sizes; -update writes them.
func TestPagesHaveTheSumsOfThePlan(t *testing.T) {
	for file, tables := range map[string]map[string]string{
		"../docs/memory.md": {
			"tiers": tiersTable(t), "together": togetherTable(t), "modes": modesTable(t), "contexts": contextsTable(t),
		},
		"../docs/install.md": {"models": modelsTable(t)},
	} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		page := string(text)
		for name, table := range tables {
			begin := "<!-- " + name + ": written by go test ./units -update -->\n"
			head, rest, ok := strings.Cut(page, begin)
			_, tail, ok2 := strings.Cut(rest, "<!-- end -->\n")
			if !ok || !ok2 {
				t.Errorf("%s has no place for the table %q", file, name)
				continue
			}
			page = head + begin + table + "<!-- end -->\n" + tail
		}
		if *update {
			if err := os.WriteFile(file, []byte(page), 0o644); err != nil {
				t.Fatal(err)
			}
		} else if page != string(text) {
			t.Errorf("the sums of %s are not those of the plan; run the tests with -update\n%s", file, firstDifference(page, string(text)))
		}
	}
}

// TestTheBoundOfModelsPage holds docs/models.md to what `tierctl bench` works out.
func TestTheBoundOfModelsPage(t *testing.T) {
	text, err := os.ReadFile("../docs/models.md")
	if err != nil {
		t.Fatal(err)
	}
	u, _ := strixPlan(t).Unit("tier-orch.service")
	want := fmt.Sprintf("with 256 GB/s a model of 14B in BF16 cannot write more than %.1f tokens a second", 256e9/float64(u.Reads.Weights))
	if !strings.Contains(string(text), want) {
		t.Errorf("docs/models.md does not say %q", want)
	}
}

// sumForm is how a comment of the shipped file gives a sum, with the name of the next local variant behind it.
var sumForm = regexp.MustCompile(`(?s)([0-9.]+) GiB: ([0-9.]+) weights(?: \(BF16\))? \+ ([0-9.]+) KV cache(?: for [0-9]+K)? \+ ([0-9.]*[0-9])\..*?\[tier\.([a-z]+)\.variant\.([a-z]+)\]`)

func TestTheShippedFileHasTheSumsOfThePlan(t *testing.T) {
	p := strixPlan(t)
	found := sumForm.FindAllStringSubmatch(string(shipped(t)), -1)
	if len(found) != len(p.Config.Tiers)+1 { // orch has two kinds of weights
		t.Errorf("%d sums", len(found))
	}
	for _, m := range found {
		u, ok := p.Variant(m[5], m[6])
		if !ok {
			t.Errorf("%q is no variant", m[5]+"/"+m[6])
		}
		for i, b := range []Bytes{u.Memory, u.Charge.Weights, u.Charge.KV, u.Charge.Overhead} {
			_, fraction, _ := strings.Cut(m[1+i], ".")
			if want := fmt.Sprintf("%.*f", len(fraction), float64(b)/float64(GiB)); m[1+i] != want {
				t.Errorf("%s/%s: figure %d of its comment is %s and should be %s", m[5], m[6], i+1, m[1+i], want)
			}
		}
	}
}

func strixPlan(t *testing.T) *Plan {
	t.Helper()
	p, _ := MakePlan(parse(t, string(shipped(t))), strixHalo())
	return p
}

// inGiB is a size as the page has it.
func inGiB(b Bytes) string { return fmt.Sprintf("%.1f", float64(b)/float64(GiB)) }

func short(model string) string {
	model = model[strings.LastIndex(model, "/")+1:]
	return strings.TrimSuffix(model, ".gguf")
}

func tiersTable(t *testing.T) string {
	p := strixPlan(t)
	text := "| variant | engine | model | context | weights | KV cache | overhead | sum |\n|---|---|---|---|---|---|---|---|\n"
	for _, u := range p.Units {
		if u.Engine == KindRemote {
			continue
		}
		tier, _ := p.Config.Tier(u.Tier)
		v, _ := tier.Variant(u.Variant)
		text += fmt.Sprintf("| %s/%s | %s | %s | %dK | %s | %s | %s | **%s** |\n", u.Tier, u.Variant, v.Engine, short(u.Model), u.Context>>10,
			inGiB(u.Charge.Weights), inGiB(u.Charge.KV), inGiB(u.Charge.Overhead), inGiB(u.Memory))
	}
	return text
}

// togetherTable has every set of two and more tiers in their default variants.
func togetherTable(t *testing.T) string {
	p := strixPlan(t)
	budget := strixHalo().MemTotal - p.Config.Host.Reserve
	text := "| up together | sum | of " + inGiB(budget) + " |\n|---|---|---|\n"
	tiers := p.Config.Tiers
	sets := make([]uint, 0, 1<<len(tiers))
	for set := range uint(1) << len(tiers) {
		if bits.OnesCount(set) > 1 {
			sets = append(sets, set)
		}
	}
	slices.SortStableFunc(sets, func(a, b uint) int { return bits.OnesCount(a) - bits.OnesCount(b) })
	for _, set := range sets {
		var names []string
		var sum Bytes
		for i, tier := range tiers {
			if set&(1<<i) != 0 {
				u, _ := p.Variant(tier.Name, tier.Variants[0].Name)
				names, sum = append(names, tier.Name), sum+u.Memory
			}
		}
		verdict := "fits, " + inGiB(budget-sum) + " left"
		if sum > budget {
			verdict = "does not fit, " + inGiB(sum-budget) + " too much"
		}
		text += fmt.Sprintf("| %s | %s | %s |\n", strings.Join(names, " + "), inGiB(sum), verdict)
	}
	return text
}

// modesTable sums up what a mode has up at once: tiers that start on demand come only where there is room.
func modesTable(t *testing.T) string {
	p := strixPlan(t)
	text := "| mode | up at once | sum | on demand |\n|---|---|---|---|\n"
	for _, m := range p.Config.Modes {
		var up, later []string
		var sum, on Bytes
		for _, member := range m.Tiers {
			name, variant := splitMember(member)
			tier, _ := p.Config.Tier(name)
			v, _ := tier.Variant(variant)
			u, _ := p.Variant(name, v.Name)
			if tier.Start == StartDemand && sum+u.Memory > strixHalo().MemTotal-p.Config.Host.Reserve {
				later, on = append(later, member), on+u.Memory
				continue
			}
			up, sum = append(up, member), sum+u.Memory
		}
		demand := ""
		if len(later) > 0 {
			demand = strings.Join(later, ", ") + ", " + inGiB(on)
		}
		text += fmt.Sprintf("| %s | %s | %s | %s |\n", m.Name, strings.Join(up, ", "), inGiB(sum), demand)
	}
	return text
}

// contextsTable is the KV cache of each default variant with other contexts.
func contextsTable(t *testing.T) string {
	sizes := []Tokens{8 << 10, 16 << 10, 32 << 10, 64 << 10, 128 << 10}
	text := "| tier | model |"
	rule := "|---|---|"
	for _, n := range sizes {
		text, rule = text+fmt.Sprintf(" %dK |", n>>10), rule+"---|"
	}
	text += "\n" + rule + "\n"
	for i, tier := range strixPlan(t).Config.Tiers {
		line := ""
		for _, n := range sizes {
			c := parse(t, string(shipped(t)))
			c.Tiers[i].Variants[0].Context = n
			p, _ := MakePlan(c, strixHalo())
			u, _ := p.Variant(tier.Name, tier.Variants[0].Name)
			line += " " + inGiB(u.Charge.KV) + " |"
		}
		text += fmt.Sprintf("| %s | %s |%s\n", tier.Name, short(tier.Variants[0].Model), line)
	}
	return text
}

// modelsTable has what is to be fetched for the shipped tiers, each model once.
func modelsTable(t *testing.T) string {
	text := "| model | for | GiB |\n|---|---|---|\n"
	seen := map[string]bool{}
	for _, u := range strixPlan(t).Units {
		if u.Engine == KindRemote || seen[u.Model] {
			continue
		}
		seen[u.Model] = true
		text += fmt.Sprintf("| %s | %s/%s | %s |\n", u.Model, u.Tier, u.Variant, inGiB(u.Charge.Weights))
	}
	return text
}

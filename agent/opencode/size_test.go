package opencode

import (
	"strings"
	"testing"
	"time"
)

func TestWhatAnAnswerMayHave(t *testing.T) {
	for _, row := range []struct {
		rule string
		tier Tier
		want int
	}{
		{"the orchestrator's 32K never take more than 16K", Tier{Role: "orchestrator", Context: 1 << 20}, 16384},
		{"nor more than a quarter of the context", Tier{Role: "orchestrator", Context: 32768}, 8192},
		{"the coder's 24K neither", Tier{Role: "coder", Context: 49152}, 12288},
		{"the reviewer has 16K where the context is large", Tier{Role: "reviewer", Context: 131072}, 16384},
		{"the utility tier has 4K, however much there is", Tier{Role: "utility", Context: 131072}, 4096},
		{"and less of less", Tier{Role: "utility", Context: 8192}, 2048},
		{"a role of another name is like a reviewer", Tier{Role: "vision", Context: 131072}, 16384},
		{"the user's word holds instead of the role's", Tier{Role: "utility", Context: 131072, Output: 8192}, 8192},
		{"below it, too", Tier{Role: "coder", Context: 131072, Output: 1000}, 1000},
		{"but not above a quarter", Tier{Role: "coder", Context: 8192, Output: 8192}, 2048},
		{"and not above 16K", Tier{Role: "coder", Context: 1 << 20, Output: 32768}, 16384},
		{"nothing is known of an unknown context", Tier{Role: "coder"}, 0},
	} {
		if got := outputOf(row.tier); got != row.want {
			t.Errorf("%s: %d, want %d", row.rule, got, row.want)
		}
	}
}

// The last context that is refused and the first that is not, by the sums of the measured client.
func TestSizesThatCannotWork(t *testing.T) {
	plugin := here()
	plugin.OMO = true
	for _, row := range []struct {
		rule    string
		tier    string
		context int
		o       Options
		refuse  bool
		want    string // "" for nothing of sizes
	}{
		{"a primary agent needs 12000", "orch", 15996, here(), true, `tier "orch" is too small for the primary agent, which begins with 7400 tokens and needs 12000: 15996 tokens of context less 3999 for the answer leave 11997`},
		{"and 16000 are enough for it", "orch", 16000, here(), false, ""},
		{"a subagent needs 9000", "reviewer", 11996, here(), false, `tier "reviewer" is too small for an agent and gets none: it needs 9000 tokens, and 11996 tokens of context less 2999 for the answer leave 8997`},
		{"and 12000 are enough for it", "reviewer", 12000, here(), false, ""},
		{"8K of a utility tier are for titles alone", "utility", 8192, here(), false, `tier "utility" is too small for an agent and gets none: it needs 9000 tokens, and 8192 tokens of context less 2048 for the answer leave 6144`},
		{"titles need 4000", "utility", 5328, here(), false, `tier "utility" is too small for titles, which need 4000 tokens: 5328 tokens of context less 1332 for the answer leave 3996`},
		{"Sisyphus needs 28000", "orch", 37328, plugin, true, `tier "orch" is too small for Sisyphus, which begins with 22400 tokens and needs 28000: 37328 tokens of context less 9332 for the answer leave 27996`},
		{"and 37336 are enough for it", "orch", 37336, plugin, false, ""},
		{"oracle and librarian need 18000", "reviewer", 23996, plugin, false, `oracle of the plugin goes to tier "coder": it needs tools and 18000 tokens, and of "reviewer" 23996 tokens of context less 5999 for the answer leave 17997`},
		{"and 24000 are enough for them", "reviewer", 24000, plugin, false, ""},
		{"the categories need 18000", "coder", 23996, plugin, false, `hephaestus of the plugin goes to tier "reviewer": it needs tools and 18000 tokens, and of "coder" 23996 tokens of context less 5999 for the answer leave 17997`},
		{"its explorer is a subagent", "utility", 11996, plugin, false, `explore of the plugin goes to tier "coder": it needs tools and 9000 tokens, and of "utility" 11996 tokens of context less 2999 for the answer leave 8997`},
	} {
		p := MakePlan(change(row.tier, func(t *Tier) { t.Context, t.Wish = row.context, row.context }), row.o)
		found := false
		for _, f := range p.Findings {
			if strings.Contains(f.Text, "tokens") {
				found = found || f.Text == row.want && f.Refuse == row.refuse && f.Hint != ""
				if row.want == "" {
					t.Errorf("%s: %s", row.rule, f.Text)
				}
			}
		}
		if row.want != "" && !found || p.Refused() != row.refuse {
			t.Errorf("%s: refused %v, findings %v", row.rule, p.Refused(), p.Findings)
		}
	}
}

func TestHowLongAClientWaits(t *testing.T) {
	for _, row := range []struct {
		rule          string
		tier          Tier
		header, chunk time.Duration
	}{
		{"a load, and a prompt at 20 tokens a second", Tier{Context: 12000, Load: 20 * time.Minute, Hold: 4 * time.Minute}, 30 * time.Minute, 11 * time.Minute},
		{"the gateway's hold where that is longer", Tier{Context: 12000, Load: 20 * time.Minute, Hold: time.Hour}, 70 * time.Minute, 11 * time.Minute},
		{"and where no load is known", Tier{Context: 12000, Hold: 4 * time.Minute}, 14 * time.Minute, 11 * time.Minute},
		{"what the engine may be silent, where that is longer", Tier{Context: 1200, Hold: 4 * time.Minute, Silence: 15 * time.Minute}, 19 * time.Minute, 16 * time.Minute},
		{"whole minutes, rounded up", Tier{Context: 12020, Hold: 4 * time.Minute}, 15 * time.Minute, 12 * time.Minute},
		{"never less than without a limit of ours", Tier{}, 5 * time.Minute, 5 * time.Minute},
	} {
		s := seat{Tier: row.tier}
		if h, c := s.headerTimeout(), s.chunkTimeout(); h != row.header.Milliseconds() || c != row.chunk.Milliseconds() {
			t.Errorf("%s: header %d ms, chunk %d ms", row.rule, h, c)
		}
	}
}

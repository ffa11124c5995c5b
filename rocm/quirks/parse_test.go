package quirks

import (
	"os"
	"strings"
	"testing"
	"time"
)

// entry is a valid file of one entry; each pair replaces a line of it.
func entry(t testing.TB, pairs ...string) string {
	t.Helper()
	text := `[[format]]
id      = "mine"
gfx     = "gfx1151"
engine  = "vllm"
version = ">=0.20"
quant   = ["awq", "gptq"]
bits    = 4
moe     = false
needs   = "--enforce-eager"
verdict = "allow"
reason  = "it works"
since   = "2026-11"
source  = "own test"
`
	for i := 0; i < len(pairs); i += 2 {
		if strings.Count(text, pairs[i]) != 1 {
			t.Fatalf("%q is not there once", pairs[i])
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	return text
}

func TestFaultsNameLineAndRemedy(t *testing.T) {
	second := strings.Replace(entry(t), `"mine"`, `"other"`, 1)
	for _, row := range []struct {
		rule string
		text string
		want string
	}{
		{"a good file has none", entry(t), ""},
		{"an empty one has none", "", ""},
		{"no TOML", entry(t, `"own test"`, `"own test`), `q.toml:13: this is not TOML: strings cannot contain newlines`},
		{"an unknown kind", "[[formats]]\n" + entry(t)[11:], `q.toml:1: unknown key "formats"; there are [[format]], [[host]], [[kv_cache]], [[setting]]`},
		{"a key beside the entries", "quant = \"awq\"\n" + entry(t), `q.toml:1: unknown key "quant"; there are [[format]], [[host]], [[kv_cache]], [[setting]]`},
		{"one table for a list of them", strings.Replace(entry(t), "[[format]]", "[format]", 1), `q.toml:1: format is not a list of tables; write [[format]]`},
		{"an unknown key", entry(t, "quant  ", "quants "), `q.toml:6: "quants" in [[format]] is unknown; it takes activations, bits, engine, float, gfx, id, kernel, moe, needs, quant, reason, scheme, since, source, verdict, version`},
		{"a key of another kind", entry(t, "needs   =", "dtype   ="), `q.toml:9: "dtype" in [[format]] is unknown; it takes activations, bits, engine, float, gfx, id, kernel, moe, needs, quant, reason, scheme, since, source, verdict, version`},
		{"an unknown verdict", entry(t, `"allow"`, `"forbid"`), `q.toml:10: "verdict" in [[format]] is "forbid", which is none of allow, warn, refuse`},
		{"no reason", entry(t, "reason  = \"it works\"\n", ""), `q.toml:1: this [[format]] has no reason; every entry has id, verdict, reason, since, source`},
		{"an empty source", entry(t, `"own test"`, `" "`), `q.toml:13: "source" in [[format]] is not a text`},
		{"a name with spaces", entry(t, `"mine"`, `"My own"`), `q.toml:2: "id" in [[format]] is "My own"; it has small letters, digits, dashes and dots`},
		{"no range", entry(t, `">=0.20"`, `"0.20"`), `q.toml:5: "version" in [[format]] cannot be used: "0.20" is not a range of versions, as in ">=0.20, <0.27"`},
		{"a range of nothing", entry(t, `">=0.20"`, `">=0.20, <0.10"`), `q.toml:5: "version" in [[format]] cannot be used: no version is within ">=0.20, <0.10"`},
		{"a star for everything", entry(t, `"gfx1151"`, `"*"`), `q.toml:3: "gfx" in [[format]] is "*"; leave it out where every value will do`},
		{"an empty list", entry(t, `["awq", "gptq"]`, `[]`), `q.toml:6: "quant" in [[format]] is empty; leave it out where every value will do`},
		{"a table for a text", entry(t, `"gfx1151"`, `{ is = "gfx1151" }`), `q.toml:3: "gfx" in [[format]] is neither a text nor a list of texts`},
		{"any for both", entry(t, `false`, `"any"`), `q.toml:8: "moe" in [[format]] is neither true nor false; leave it out where both will do`},
		{"a name twice", entry(t) + strings.Replace(entry(t), `"gfx1151"`, `"gfx1100"`, 1), `q.toml:14: the id "mine" is taken by line 1`},
		{"two that hold at once", entry(t) + second, `q.toml:14: "other" and "mine" (line 1) both hold for the same case, with as many conditions; give one of them another condition`},
		{"two of which one is more specific", entry(t) + strings.Replace(second, "bits    = 4\n", "", 1), ""},
		{"two for other versions", entry(t) + strings.Replace(second, ">=0.20", "<0.20", 1), ""},
		{"two whose versions overlap", entry(t) + strings.Replace(second, ">=0.20", "<=0.20", 1), `q.toml:14: "other" and "mine" (line 1) both hold for the same case, with as many conditions; give one of them another condition`},
		{"two whose GPUs overlap", entry(t) + strings.Replace(second, "gfx1151", "gfx115*", 1), `q.toml:14: "other" and "mine" (line 1) both hold for the same case, with as many conditions; give one of them another condition`},
		{"two that have other conditions and meet all the same", entry(t) + strings.Replace(second, "moe     = false", `scheme  = "pack-quantized"`, 1), `q.toml:14: "other" and "mine" (line 1) both hold for the same case, with as many conditions; give one of them another condition`},
		{"two for other formats", entry(t) + strings.Replace(second, `["awq", "gptq"]`, `"fp8"`, 1), ""},
		{"two for dense models and the others", entry(t) + strings.Replace(second, "false", "true", 1), ""},
		{"a setting of nothing", entry(t, "[[format]]", "[[setting]]", "quant   = [\"awq\", \"gptq\"]\nbits    = 4\nmoe     = false\nneeds   = \"--enforce-eager\"\n", ""), `q.toml:1: this [[setting]] names neither env nor flag`},
		{"two settings at once", entry(t, "[[format]]", "[[setting]]", "quant   = [\"awq\", \"gptq\"]\nbits    = 4\nmoe     = false\nneeds   = \"--enforce-eager\"\n", "env = \"A\"\nflag = \"--a\"\n"), `q.toml:1: this [[setting]] is about env A and flag --a at once; write an entry for each`},
		{"a list of settings", entry(t, "[[format]]", "[[setting]]", "quant   = [\"awq\", \"gptq\"]\nbits    = 4\nmoe     = false\nneeds   = \"--enforce-eager\"\n", "env = [\"A\", \"B\"]\n"), "q.toml:6: \"env\" in [[setting]] names more than one; write an entry for each\nq.toml:1: this [[setting]] names neither env nor flag"},
		{"a value of nothing", entry(t, "[[format]]", "[[setting]]", "quant   = [\"awq\", \"gptq\"]\nbits    = 4\nmoe     = false\nneeds   = \"--enforce-eager\"\n", "value = 1\n"), "q.toml:6: \"value\" in [[setting]] belongs to no env, flag or parameter\nq.toml:1: this [[setting]] names neither env nor flag"},
		{"a host by nothing", entry(t, "[[format]]", "[[host]]", "quant   = [\"awq\", \"gptq\"]\nbits    = 4\nmoe     = false\nneeds   = \"--enforce-eager\"\n", ""), `q.toml:1: this [[host]] names no kernel, cwsr, mes or parameter`},
		{"a line without an end", "# " + strings.Repeat("x", 5000), `q.toml:1: this is not TOML: the line is too long`},
	} {
		t.Run(row.rule, func(t *testing.T) {
			entries, faults := parse("q.toml", []byte(row.text))
			want := strings.Split(row.want, "\n")
			got := map[string]bool{}
			for _, f := range faults {
				got[f.Error()] = true
			}
			if row.want == "" {
				want = nil
			}
			for _, w := range want {
				if !got[w] {
					t.Errorf("no %s", w)
				}
				delete(got, w)
			}
			for g := range got {
				t.Errorf("got %s", g)
			}
			if len(faults) > 0 && entries != nil {
				t.Errorf("%d entries beside a fault", len(entries))
			}
		})
	}
}

func TestEveryFaultOfAFileIsTold(t *testing.T) {
	_, faults := parse("q.toml", []byte(entry(t, `"gfx1151"`, `"*"`, `"allow"`, `"maybe"`, "bits    = 4", "bit     = 4")))
	var lines []int
	for _, f := range faults {
		lines = append(lines, f.Line)
	}
	if len(lines) != 3 || lines[0] != 3 || lines[1] != 7 || lines[2] != 10 {
		t.Errorf("faults: %v", faults)
	}
}

func TestAFlagIsReadAsTheEnginesDo(t *testing.T) {
	for _, row := range []struct {
		flags []string
		value string
		set   bool
	}{
		{[]string{"--swap-space", "4"}, "4", true},
		{[]string{"--swap-space=4", "--enforce-eager"}, "4", true},
		{[]string{"--swap-space=4", "--swap-space=8"}, "8", true},
		{[]string{"--swap-space", "--enforce-eager"}, "", true},
		{[]string{"--swap-space"}, "", true},
		{[]string{"--swap-spaces", "4"}, "", false},
		{nil, "", false},
	} {
		value, set := Query{Flags: row.flags}.setting("flag", "--swap-space")
		if value != row.value || set != row.set {
			t.Errorf("%q: %q, %v", row.flags, value, set)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(entry(f))
	src, err := os.ReadFile("quirks.toml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(src))
	f.Add("[[setting]]\nenv = \"A\"\nvalue = [1, true]\n[[host]]\ncwsr = false\n[host.x]\n")
	f.Add("format = 1\n[[kv_cache]]\ndtype = [\"\"]\n[[format]]\nversion = 1\nmoe = [true]\nneeds = [[]]")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > maxFile {
			return
		}
		began := time.Now()
		entries, faults := parse("q.toml", []byte(text))
		if time.Since(began) > 10*time.Second {
			t.Errorf("took %v", time.Since(began))
		}
		for _, fault := range faults {
			if strings.ContainsAny(fault.Error(), "\n\r") || fault.Line > strings.Count(text, "\n")+1 || len(fault.Msg) > 2000 {
				t.Errorf("fault %q", fault.Error())
			}
		}
		// Nothing that was taken can make the lookup fail, or refuse where it knows nothing.
		for _, v := range (Quirks{entries: entries}).Lookup(Query{GFX: "gfx1151", Engine: "vllm", Format: &Format{}}) {
			if v.Verdict != Allow && v.Verdict != Warn && v.Verdict != Refuse || v.Verdict == Refuse && v.ID == "" || v.Reason == "" {
				t.Errorf("verdict %+v", v)
			}
		}
	})
}

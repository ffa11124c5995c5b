package units

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// As the parser of vLLM 0.32 makes of the same words; "refused" is also what it finds out only when it has loaded the model.
func TestAdaptersAreReadAsVLLMDoes(t *testing.T) {
	for _, row := range []struct {
		rule  string
		words []string
		want  string
	}{
		{"words up to the next flag", []string{"--lora-modules", "a=/x", "b=/y", "--enable-lora", "c=/z"}, "a:/x b:/y"},
		{"one behind an equals sign", []string{"--lora-modules=a=/x", "b=/y"}, "a:/x"},
		{"underscores", []string{"--lora_modules", "a=/x.y"}, "a:/x.y"},
		{"the last of several", []string{"--lora-modules", "a=/x", "--lora-modules", "b=/y"}, "b:/y"},
		{"the first equals sign divides", []string{"--lora-modules", "a=/x=y"}, "a:/x=y"},
		{"blanks are a part of it", []string{"--lora-modules", "a b=/x y"}, "a b:/x y"},
		{"a name with a slash", []string{"--lora-modules", "org/sql=org/repo"}, "org/sql:org/repo"},
		{"an object", []string{"--lora-modules", `{"name": "a", "path": "/x", "base_model_name": "b"}`}, "a:/x"},
		{"an object behind an equals sign", []string{`--lora-modules={"name":"a","path":"/x=y,z"}`}, "a:/x=y,z"},
		{"what else an object has", []string{"--lora-modules", `{"name":"a","path":"/x","is_3d_lora_weight":true}`}, "a:/x"},
		{"nothing behind an equals sign", []string{"--lora-modules="}, ""},
		{"empty words", []string{"--lora-modules", "", "None", "a=/x"}, "a:/x"},
		{"no flag", []string{"--enable-lora", "a=/x"}, ""},
		{"another flag", []string{"--lora-modules-x", "a=/x"}, ""},
		{"no words", []string{"--lora-modules"}, "refused"},
		{"no name", []string{"--lora-modules", "=/x"}, "refused"},
		{"no path", []string{"--lora-modules", "a="}, "refused"},
		{"a word alone", []string{"--lora-modules", "a"}, "refused"},
		{"adapters with a comma between them", []string{"--lora-modules", "a=/x,b=/y"}, "refused"},
		{"an object without a path", []string{"--lora-modules", `{"name":"a"}`}, "refused"},
		{"an object with a number for a name", []string{"--lora-modules", `{"name":7,"path":"/x"}`}, "refused"},
		{"a list", []string{"--lora-modules", `[{"name":"a","path":"/x"}]`}, "refused"},
		{"null", []string{"--lora-modules", "null"}, "refused"},
		{"one name twice", []string{"--lora-modules", "a=/x", "a=/y"}, "refused"},
		{"a name of the model's", []string{"--lora-modules", "org/big=/x"}, "refused"},
	} {
		t.Run(row.rule, func(t *testing.T) {
			c, _ := ParseConfig("tiers.toml", []byte(withArgs(t, row.words...)))
			got := "refused"
			if c != nil {
				p, _ := MakePlan(c, Host{})
				u, _ := p.Variant("coder", "vllm")
				got = strings.Join(each(u.Adapters, func(a Adapter) string { return a.Name + ":" + a.Path }), " ")
				if args := argv(t, u); !slices.Equal(args[len(args)-len(row.words):], row.words) {
					t.Errorf("the engine is told %q", args)
				}
			}
			if got != row.want {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
}

// withArgs is base with extra_args for vLLM, at line 21.
func withArgs(t testing.TB, words ...string) string {
	return edit(t, `kv_memory = "4GiB"`, fmt.Sprintf("extra_args = %s", listText(words)))
}

func TestAnAdapterThatMayBeTakenForAnotherIsAWarning(t *testing.T) {
	utility := `memory = "2GiB"`
	other := "engine = \"vllm\"\nmodel = \"m\"\ncontext = 1\n"
	for _, row := range []struct{ rule, words, text, want string }{
		{"another tier's name", "utility=/a", utility, `adapter "utility" of coder/vllm: tier "utility" goes by that name too, ` +
			`so a request for it that does not come on a tier's own port may reach that one; rename the adapter`},
		{"another tier's model", "small.gguf=/a", utility, `adapter "small.gguf" of coder/vllm: tier "utility" goes by that name too, ` +
			`so a request for it that does not come on a tier's own port may reach that one; rename the adapter`},
		{"a model of the tier's other variant, which may be the adapter merged", "large=/a", utility, ""},
		{"an adapter that two variants of a tier have", "sql=/a", "memory = \"2GiB\"\n[tier.coder.variant.b]\n" + other + `extra_args = ["--lora-modules", "sql=/a"]`, ""},
		{"several flags", `a=/a", "--lora-modules", "b=/b`, utility, "--lora-modules of coder/vllm is there 2 times, and vLLM obeys the last alone; write all adapters behind one"},
	} {
		c, faults := ParseConfig("tiers.toml", []byte(edit(t, `kv_memory = "4GiB"`, `extra_args = ["--lora-modules", "`+row.words+`"]`, utility, row.text)))
		if row.want != "" {
			row.want = "tiers.toml:21: warning: " + row.want
		}
		if got := lines(faults); got != row.want || c == nil {
			t.Errorf("%s: got\n%s\nwant\n%s", row.rule, got, row.want)
		}
	}
	twice := "[tier.t]\nport = 1024\n[tier.t.variant.v]\n" + other + `extra_args = ["--lora-modules", "sql=/a"]`
	_, faults := ParseConfig("tiers.toml", []byte(withArgs(t, "--lora-modules", "sql=/a")+twice))
	if got := lines(faults); !strings.HasPrefix(got, `tiers.toml:47: warning: adapter "sql" of t/v: tier "coder" goes by that name too`) || len(faults) != 1 {
		t.Errorf("an adapter of two tiers: %s", got)
	}
}

// denied is a file system of which a folder may not be looked into.
type denied struct {
	fs.FS
	dir string
}

func (d denied) Lstat(name string) (fs.FileInfo, error) {
	if strings.HasPrefix(name, d.dir+"/") {
		return nil, &fs.PathError{Op: "lstat", Path: name, Err: fs.ErrPermission}
	}
	return fs.Lstat(d.FS, name)
}

func (d denied) ReadLink(name string) (string, error) { return fs.ReadLink(d.FS, name) }

func TestAdaptersAreLookedForAndReadable(t *testing.T) {
	host := func(more fstest.MapFS) fs.FS {
		all := fstest.MapFS{
			"opt/vllm/bin/vllm": program(), "models/org/big/config.json": text("{}"), "models/org/big/m.safetensors": file(8),
			"srv/lora/sql/adapter_config.json": text("{}"), "home/me/sql/adapter_config.json": text("{}"), "srv/link": link("/home/me/sql"),
			"home/me/hub/snapshots/1/adapter_config.json": link("../../blobs/abc"), "home/me/hub/blobs/abc": text("{}"), "srv/empty/x": text(""),
		}
		for name, f := range more {
			all[name] = f
		}
		return all
	}(nil)
	for _, row := range []struct {
		rule, path string
		fs         fs.FS
		binds      string // besides the model's
		home, says string
	}{
		{"one that is there", "/srv/lora/sql", host, "/srv/lora/sql", "yes", ""},
		{"from where units work", "srv/lora/sql/", host, "/srv/lora/sql", "yes", ""},
		{"in a home directory", "/home/me/sql", host, "/home/me/sql", "tmpfs", ""},
		{"behind a link", "/srv/link", host, "/home/me/sql /srv/link", "tmpfs", ""},
		{"in the layout of Hugging Face's cache", "/home/me/hub/snapshots/1", host, "/home/me/hub/blobs /home/me/hub/snapshots/1", "tmpfs", ""},
		{"where this process may not look", "/home/me/sql", denied{host, "home/me"}, "/home/me/sql", "tmpfs", ""},
		{"one that is not there", "/srv/lora/sqk", host, "", "yes",
			`tier-coder.service cannot start: adapter "a": /srv/lora/sqk does not exist; put it there, or correct --lora-modules`},
		{"a folder with something else", "/srv/empty", host, "", "yes",
			`tier-coder.service cannot start: adapter "a": /srv/empty has no adapter_config.json, so vLLM cannot load it; name the folder that has one`},
		{"all homes", "/home", host, "", "yes",
			`tier-coder.service cannot start: adapter "a": /home has no adapter_config.json, so vLLM cannot load it; name the folder that has one`},
		{"a name on a hub", "org/repo", host, "", "yes",
			`adapter "a" of coder/vllm: units work in / and fetch nothing, and "org/repo" is no folder there with adapter_config.json; write its whole path`},
		{"a tilde", "~/sql", host, "", "yes",
			`adapter "a" of coder/vllm: units work in / and fetch nothing, and "~/sql" is no folder there with adapter_config.json; write its whole path` + tilde("~")},
	} {
		t.Run(row.rule, func(t *testing.T) {
			p, faults := MakePlan(parse(t, withArgs(t, "--lora-modules", "a="+row.path)), Host{FS: row.fs})
			u, _ := p.Variant("coder", "vllm")
			binds := each(one[[]Bind](t, u, "BindReadOnlyPaths"), func(b Bind) string { return b.Target })
			binds = slices.DeleteFunc(binds, func(dir string) bool { return dir == "/models/org/big" })
			if got := strings.Join(binds, " "); got != row.binds {
				t.Errorf("readable: %q, want %q", got, row.binds)
			}
			if got := one[string](t, u, "ProtectHome"); got != row.home {
				t.Errorf("ProtectHome=%s, want %s", got, row.home)
			}
			var says []string
			for _, f := range faults {
				if strings.Contains(f.Msg, "adapter") && f.Line == 21 && f.Warning {
					says = append(says, f.Msg)
				}
			}
			if got := strings.Join(says, "\n"); got != row.says {
				t.Errorf("got\n%s\nwant\n%s", got, row.says)
			}
			if want := strings.HasPrefix(row.says, "tier-"); (u.Blocked != "") != want {
				t.Errorf("blocked: %q", u.Blocked)
			}
		})
	}
}

func TestOnlyVLLMHasAdaptersByName(t *testing.T) {
	u := unit(t, edit(t, `memory = "2GiB"`, "memory = \"2GiB\"\nextra_args = [\"--lora\", \"/a.gguf\", \"--lora-modules\", \"a=/x\"]"), Host{}, "tier-utility.service")
	if len(u.Adapters) > 0 {
		t.Errorf("llama-server has %v", u.Adapters)
	}
}

func FuzzAdapter(f *testing.F) {
	for _, word := range []string{"a=/x", "=", "a", "a=/x,b=/y", `{"name":"a","path":"/x"}`, `{"name":"","path":1}`, "null", "\xff=\x00"} {
		f.Add(word)
	}
	f.Fuzz(func(t *testing.T, word string) {
		a, err := parseAdapter(word)
		if (err == nil) != (a.Name != "" && a.Path != "") && !strings.Contains(fmt.Sprint(err), "neither") {
			t.Fatalf("%q is %+v, %v", word, a, err)
		}
		if err != nil && (len(err.Error()) > 500 || strings.ContainsAny(err.Error(), "\n\r")) {
			t.Fatalf("%q: %v", word, err)
		}
		if err == nil && !strings.Contains(word, ",") && a.Name+"="+a.Path != word {
			t.Fatalf("%q is %+v", word, a)
		}
	})
}

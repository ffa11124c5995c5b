package gateway

import (
	"bytes"
	"fmt"
	"net/url"
	"path"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/tierd/tierd/agent/api"
)

// wantPolicy is written out once more: a change of the policy is to be seen as one.
const wantPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

func TestEveryPartOfThePageIsGuarded(t *testing.T) {
	rig := startRig(t, Config{}, route(t, "coder", "/nowhere"))
	for at, kind := range map[string]string{
		"/":               "text/html; charset=utf-8",
		"/page/app.js":    "text/javascript; charset=utf-8",
		"/page/style.css": "text/css; charset=utf-8",
		"/page/icon.svg":  "image/svg+xml",
	} {
		res, body := fetch(t, "GET", rig.tierURL("", at), "", "Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
		for name, want := range map[string]string{
			"Content-Security-Policy": wantPolicy, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			"Cross-Origin-Resource-Policy": "same-origin", "Content-Type": kind, "Cache-Control": "no-cache",
		} {
			if got := res.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", at, name, got, want)
			}
		}
		if res.StatusCode != 200 || body == "" {
			t.Errorf("%s: %d, %d bytes", at, res.StatusCode, len(body))
		}
		etag := res.Header.Get("ETag")
		again, body := fetch(t, "GET", rig.tierURL("", at), "", "Accept", "text/html", "If-None-Match", etag)
		if again.StatusCode != 304 || body != "" {
			t.Errorf("%s again with %s: %d, %q", at, etag, again.StatusCode, body)
		}
		head, body := fetch(t, "HEAD", rig.tierURL("", at), "", "Accept", "text/html")
		if head.StatusCode != 200 || body != "" || head.Header.Get("ETag") != etag || head.ContentLength != res.ContentLength {
			t.Errorf("%s by HEAD: %d, %q, %d bytes", at, head.StatusCode, body, head.ContentLength)
		}
	}
}

func TestAProgramGetsALineForEachTier(t *testing.T) {
	coder := route(t, "coder", "/nowhere")
	coder.State, coder.Status, coder.Model = api.Starting, "Loading weights 43 %", "a\x1b[31mred\nmodel"
	rig := startRig(t, Config{}, coder, route(t, "utility", "/nowhere"))
	res, body := fetch(t, "GET", rig.tierURL("", "/"), "", "Accept", "*/*")
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/plain; charset=utf-8" || res.Header.Get("Vary") != "Accept" {
		t.Errorf("%d, %v", res.StatusCode, res.Header)
	}
	lines := strings.Split(body, "\n")
	if len(lines) < 4 || strings.Join(strings.Fields(lines[2]), " ") !=
		fmt.Sprintf("coder %d starting a[31mredmodel: Loading weights 43 %%", coder.Port) {
		t.Errorf("got %q", body)
	}
	rig.table.Routes = nil
	rig.publish(t)
	if _, body := fetch(t, "GET", rig.tierURL("", "/"), ""); !strings.Contains(body, "defines no tier") {
		t.Errorf("without tiers: %q", body)
	}
}

func TestOnlyThePortOfAllTiersHasThePage(t *testing.T) {
	engine := echoing(t, "coder")
	rig := startRig(t, Config{}, route(t, "coder", engine.socket))
	for _, c := range []struct{ rule, method, url, want string }{
		{"a tier's port is the engine's", "GET", rig.tierURL("coder", "/"), "/ "},
		{"its paths too", "GET", rig.tierURL("coder", "/page/app.js"), "/page/app.js "},
		{"an engine's own page by its model's name", "GET", rig.tierURL("", "/?model=coder"), "/?model=coder "},
		{"an engine's own page by path", "GET", rig.tierURL("", "/upstream/coder/"), "/ "},
		{"a POST", "POST", rig.tierURL("", "/?model=coder"), "/?model=coder "},
	} {
		res, body := fetch(t, c.method, c.url, "", "Accept", "text/html")
		if res.StatusCode != 200 || body != c.want {
			t.Errorf("%s: %d %q, want %q", c.rule, res.StatusCode, body, c.want)
		}
	}
	for _, at := range []string{"/page/", "/page/index.html/x", "/page/none.js", "/page/../page.go", "/page/web/app.js", "/page"} {
		if res, _ := fetch(t, "GET", rig.tierURL("", at), ""); res.StatusCode != 404 {
			t.Errorf("%s: %d", at, res.StatusCode)
		}
	}
}

func TestAForeignPageGetsNothingOfThePage(t *testing.T) {
	rig := startRig(t, Config{}, route(t, "coder", "/nowhere"))
	for _, at := range []string{"/", "/page/app.js", "/page/events"} {
		for name, value := range map[string]string{"Host": "evil.example", "Origin": "https://evil.example"} {
			if res, _ := fetch(t, "GET", rig.tierURL("", at), "", name, value); res.StatusCode != 403 {
				t.Errorf("%s with %s %s: %d", at, name, value, res.StatusCode)
			}
		}
	}
}

// TestThePageObeysItsPolicy reads the files as a browser would: the policy forbids what is looked for here, and a page that
// needed it would be broken.
func TestThePageObeysItsPolicy(t *testing.T) {
	assets := newPage(&feed{}).assets
	doc, err := html.Parse(bytes.NewReader(assets["index.html"].body))
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{"index.html": true}
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		if n.Data == "style" || n.Data == "script" && n.FirstChild != nil {
			t.Errorf("there is an inline <%s>", n.Data)
		}
		for _, a := range n.Attr {
			switch {
			case strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "srcdoc":
				t.Errorf("<%s> has %s=%q", n.Data, a.Key, a.Val)
			case a.Key == "src" || a.Key == "href":
				u, err := url.Parse(a.Val)
				if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(u.Path, pagePrefix) || assets[path.Base(u.Path)].body == nil {
					t.Errorf("<%s> refers to %q", n.Data, a.Val)
				}
				used[path.Base(u.Path)] = true
			}
		}
	}
	total := 0
	for name, a := range assets {
		if total += len(a.body); !used[name] || a.kind == "" {
			t.Errorf("%s is used: %v, of type %q", name, used[name], a.kind)
		}
	}
	if total > 40<<10 {
		t.Errorf("the page has %d bytes", total)
	}
	for name, words := range map[string][]string{
		"app.js":    {"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "setAttribute(\"style", "import(", "http:", "https:"},
		"style.css": {"url(", "@import"},
		"icon.svg":  {"<script", "style", "href"},
	} {
		for _, word := range words {
			if bytes.Contains(assets[name].body, []byte(word)) {
				t.Errorf("%s has %s", name, word)
			}
		}
	}
}

func TestThePartsThatTheScriptFillsAreThere(t *testing.T) {
	assets := newPage(&feed{}).assets
	ids, classes := map[string]bool{}, map[string]bool{}
	doc, err := html.Parse(bytes.NewReader(assets["index.html"].body))
	if err != nil {
		t.Fatal(err)
	}
	for n := range doc.Descendants() {
		for _, a := range n.Attr {
			switch a.Key {
			case "id":
				if ids[a.Val] {
					t.Errorf("the id %q is there twice", a.Val)
				}
				ids[a.Val] = true
			case "class":
				for class := range strings.FieldsSeq(a.Val) {
					classes[class] = true
				}
			case "aria-labelledby":
				defer func() {
					if !ids[a.Val] {
						t.Errorf("nothing has the id %q", a.Val)
					}
				}()
			}
		}
	}
	script := string(assets["app.js"].body)
	for before, known := range map[string]map[string]bool{`$("`: ids, `sync($("bars"), "`: ids, `part(el, "`: classes, `part(entry, "`: classes} {
		for _, rest := range strings.Split(script, before)[1:] {
			if name, _, _ := strings.Cut(rest, `"`); !known[name] {
				t.Errorf("the script asks for %s%s\")", before, name)
			}
		}
	}
}

func TestAssetsAreTheSameOfEachGateway(t *testing.T) {
	one, two := newPage(&feed{}), newPage(&feed{})
	if one.build == "" || one.build != two.build {
		t.Errorf("builds %q and %q", one.build, two.build)
	}
	var f feed
	if p := newPage(&f); f.build != p.build {
		t.Errorf("the snapshots are of build %q, the page of %q", f.build, p.build)
	}
}

func TestWhoMayLookAtThePage(t *testing.T) {
	rig := startRig(t, Config{}, route(t, "coder", "/nowhere"))
	rig.table.Keys = testKeys
	rig.publish(t)
	for _, c := range []struct {
		rule, key string
		status    int
	}{
		{"nobody without a key", "", 401},
		{"who may talk to every tier", "tierd_all", 200},
		{"who may see the metrics", "tierd_look", 200},
		{"nobody who may talk to some tiers only", "tierd_coder", 403},
	} {
		for _, at := range []string{"/", "/page/app.js", "/page/events"} {
			header := []string{"Accept", "text/html"}
			if c.key != "" {
				header = append(header, "Authorization", basic("me", c.key))
			}
			res, body := fetch(t, "HEAD", rig.tierURL("", at), "", header...)
			if res.StatusCode != c.status || body != "" {
				t.Errorf("%s: %s: %d", c.rule, at, res.StatusCode)
			}
			if asks := strings.Contains(strings.Join(res.Header.Values("WWW-Authenticate"), " "), "Basic"); asks != (c.status == 401) {
				t.Errorf("%s: %s: the browser is to ask for a key: %v", c.rule, at, asks)
			}
		}
	}
}

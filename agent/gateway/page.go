package gateway

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"net/http"
	"path"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/tierd/tierd/agent/api"
)

// The page is one HTML file with a script, a style sheet and an icon. Nothing is fetched from elsewhere and nothing is
// built: what is in web is what a browser gets.
//
//go:embed web
var web embed.FS

// pagePrefix begins the paths of the page's parts on the port of all tiers. No engine has such a path, and one that had
// would still be reached by its own port.
const pagePrefix = "/page/"

// pagePolicy forbids all that the page does not need. It shows names and reasons that others wrote: were one of them
// ever taken for markup, the browser would still run nothing of it. Trusted Types turns the ways to parse text as
// markup off altogether.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// asset is one file of the page.
type asset struct {
	body []byte
	kind string // Content-Type
	etag string
}

var assetKinds = map[string]string{
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".svg":  "image/svg+xml",
}

// page is what a browser gets on the port of all tiers.
type page struct {
	assets map[string]asset // by file name
	build  string           // tells one set of assets from another
	board  *board
}

func newPage(f *feed) *page {
	entries, err := web.ReadDir("web")
	if err != nil { // the folder is compiled in
		panic(err)
	}
	p := &page{assets: map[string]asset{}}
	all := sha256.New()
	for _, e := range entries {
		body, err := web.ReadFile("web/" + e.Name())
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(body)
		all.Write(sum[:])
		p.assets[e.Name()] = asset{body: body, kind: assetKinds[path.Ext(e.Name())], etag: `"` + hex.EncodeToString(sum[:12]) + `"`}
	}
	p.build = hex.EncodeToString(all.Sum(nil)[:8])
	f.build = p.build
	p.board = newBoard(f.run)
	return p
}

// mayLook tells whether the page is for the caller: it shows all tiers, so that a key for some of them does not open it.
func (c caller) mayLook() bool { return c.metrics || c.models && len(c.tiers) == 0 }

// servePage answers GET and HEAD of the page and its parts. The path is none of them unless it was served or there is an error.
func (g *Gateway) servePage(w http.ResponseWriter, r *http.Request, v *view, who caller) (served bool, err error) {
	name, part := strings.CutPrefix(r.URL.Path, pagePrefix)
	front := r.URL.Path == "/" && !r.URL.Query().Has("model") // with one, it is that engine's own page
	if !front && !(part && (name == "events" || g.page.assets[name].body != nil)) {
		return false, nil
	}
	switch {
	case !who.mayLook():
		return false, insufficient("The page shows all tiers, and the key %q does not open all. One with the scope %q does.", who.name, api.ScopeMetrics)
	case name == "events":
		return true, g.page.serveEvents(w, r)
	case part:
		g.page.serveAsset(w, r, name)
	default:
		// A browser names the type that it wants; */* alone comes from a program, which has no use for the page.
		w.Header().Add("Vary", "Accept")
		if strings.Contains(r.Header.Get("Accept"), "text/html") {
			g.page.serveAsset(w, r, "index.html")
		} else {
			serveText(w, r, v)
		}
	}
	return true, nil
}

// guard sets the headers that every answer of the page has.
func guard(h http.Header) {
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// serveAsset lets a browser keep a file but ask each time whether it is still the same: an upgrade shows at once.
func (p *page) serveAsset(w http.ResponseWriter, r *http.Request, name string) {
	a := p.assets[name]
	guard(w.Header())
	w.Header().Set("Content-Type", a.kind)
	w.Header().Set("ETag", a.etag)
	w.Header().Set("Cache-Control", "no-cache")
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(a.body))
}

// serveText is the page for a program such as curl: each tier on a line.
func serveText(w http.ResponseWriter, r *http.Request, v *view) {
	var text bytes.Buffer
	fmt.Fprintf(&text, "The gateway of tierd. It has these tiers by `model` on this port, and each on its own:\n\n")
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, route := range v.table.Routes {
		words := route.Model
		if said := cmp.Or(route.Status, route.Reason); said != "" {
			words += ": " + said
		}
		fmt.Fprintf(table, "  %s\t%d\t%s\t%s\n", printable(route.Tier), route.Port, route.State, printable(words))
	}
	_ = table.Flush() // into memory
	if len(v.table.Routes) == 0 {
		fmt.Fprintln(&text, "  none: tiers.toml defines no tier")
	}
	fmt.Fprintln(&text, "\nA browser shows here what they do. `tierctl status` says more, GET /v1/models says it in JSON.")
	guard(w.Header())
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(text.Bytes()))
}

// printable leaves out what a terminal might obey.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, s)
}

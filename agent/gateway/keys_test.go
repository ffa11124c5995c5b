package gateway

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tierd/tierd/agent/api"
)

func keyOf(name, secret string, scopes []string, tiers ...string) api.Key {
	sum := sha256.Sum256([]byte(secret))
	return api.Key{Name: name, SHA256: hex.EncodeToString(sum[:]), Scopes: scopes, Tiers: tiers}
}

var (
	forModels  = []string{api.ScopeModels}
	forMetrics = []string{api.ScopeMetrics}
	testKeys   = []api.Key{
		keyOf("laptop", "tierd_all", forModels),
		keyOf("ide", "tierd_coder", forModels, "coder"),
		keyOf("grafana", "tierd_look", forMetrics),
		{Name: "broken", SHA256: "00", Scopes: []string{api.ScopeModels, api.ScopeMetrics}},
	}
)

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func TestWhoAKeyBelongsTo(t *testing.T) {
	for _, c := range []struct {
		rule         string
		header       []string
		remote, want string // "": 401
	}{
		{"a bearer", []string{"Authorization", "Bearer tierd_all"}, "", "laptop"},
		{"the scheme in any case", []string{"Authorization", "bearer  tierd_all "}, "", "laptop"},
		{"as Anthropic's clients do", []string{"X-Api-Key", "tierd_coder"}, "", "ide"},
		{"as a password", []string{"Authorization", basic("prometheus", "tierd_look")}, "", "grafana"},
		{"with any user", []string{"Authorization", basic("", "tierd_look")}, "", "grafana"},
		{"the right one of two", []string{"Authorization", "Bearer dummy", "X-Api-Key", "tierd_all"}, "", "laptop"},
		{"none", nil, "", ""},
		{"from this machine too", nil, "127.0.0.1:9", ""},
		{"a wrong one", []string{"Authorization", "Bearer tierd_al"}, "", ""},
		{"its hash is no key", []string{"Authorization", "Bearer " + testKeys[0].SHA256}, "", ""},
		{"no scheme", []string{"Authorization", "tierd_all"}, "", ""},
		{"a user in place of a password", []string{"Authorization", basic("tierd_all", "")}, "", ""},
		{"what is no base64", []string{"Authorization", "Basic ***"}, "", ""},
		{"a password that holds a colon", []string{"Authorization", basic("a", "b:tierd_all")}, "", ""},
		{"an empty key", []string{"Authorization", "Bearer "}, "", ""},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		if c.remote != "" {
			r.RemoteAddr = c.remote
		}
		for i := 0; i+1 < len(c.header); i += 2 {
			r.Header.Set(c.header[i], c.header[i+1])
		}
		who, err := newKeyring(api.Table{Keys: testKeys}).identify(r)
		if who.name != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s: %+v, %v, want %q", c.rule, who, err, c.want)
		}
	}
}

func TestOpenLoopback(t *testing.T) {
	ring := newKeyring(api.Table{Keys: testKeys, OpenLoopback: true})
	for remote, open := range map[string]bool{
		"127.0.0.1:9": true, "[::1]:9": true, "[::ffff:127.0.0.1]:9": true, "10.0.0.5:9": false, "@": false, "": false,
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = remote
		r.Header.Set("X-Forwarded-For", "127.0.0.1")
		if who, err := ring.identify(r); (err == nil && who.models && who.metrics) != open {
			t.Errorf("from %q: %+v, %v", remote, who, err)
		}
	}
}

// TestAccess is what each caller gets at each kind of path.
func TestAccess(t *testing.T) {
	engine := startEngine(t, func(w http.ResponseWriter, r *http.Request) {
		for _, name := range []string{"Authorization", "X-Api-Key", "Proxy-Authorization"} {
			if r.Header.Get(name) != "" {
				t.Errorf("the engine got a key: %s", name)
			}
		}
		io.WriteString(w, "reached")
	})
	coder, orch := route(t, "coder", engine.socket), route(t, "orch", engine.socket)
	rig := startRig(t, Config{}, coder, orch)
	rig.table.Keys = testKeys
	rig.publish(t)
	callers := []struct{ name, key string }{{"nobody", ""}, {"wrong", "x"}, {"laptop", "tierd_all"}, {"ide", "tierd_coder"}, {"grafana", "tierd_look"}}
	for _, c := range []struct {
		rule, method, url, body string
		want                    [5]int
	}{
		{"a request by name", "POST", rig.tierURL("", "/v1/completions"), `{"model":"coder"}`, [5]int{401, 401, 200, 200, 403}},
		{"of a tier that is not open", "POST", rig.tierURL("", "/v1/completions"), `{"model":"orch"}`, [5]int{401, 401, 200, 403, 403}},
		{"by path", "GET", rig.tierURL("", "/upstream/orch/props"), "", [5]int{401, 401, 200, 403, 403}},
		{"by port", "GET", rig.tierURL("orch", "/props"), "", [5]int{401, 401, 200, 403, 403}},
		{"an engine's health", "GET", rig.tierURL("orch", "/health"), "", [5]int{401, 401, 200, 403, 403}},
		{"an engine's metrics", "GET", rig.tierURL("coder", "/metrics"), "", [5]int{401, 401, 200, 200, 403}},
		{"the models", "GET", rig.tierURL("", "/v1/models"), "", [5]int{401, 401, 200, 200, 403}},
		{"one model that is not open", "GET", rig.tierURL("", "/v1/models/orch"), "", [5]int{401, 401, 200, 403, 403}},
		{"the metrics", "GET", rig.tierURL("", "/metrics"), "", [5]int{401, 401, 403, 403, 200}},
		{"the gateway's health", "GET", rig.tierURL("", "/health"), "", [5]int{200, 200, 200, 200, 200}},
		{"what is sent there", "POST", rig.tierURL("", "/health"), `{"model":"coder"}`, [5]int{401, 401, 200, 200, 403}},
		{"a path that there is not", "GET", rig.tierURL("", "/nothing"), "", [5]int{401, 401, 404, 404, 403}},
	} {
		for i, who := range callers {
			var header []string
			if who.key != "" {
				header = []string{"Authorization", "Bearer " + who.key}
			}
			res, body := fetch(t, c.method, c.url, c.body, header...)
			if res.StatusCode != c.want[i] {
				t.Errorf("%s, %s: %d %s, want %d", c.rule, who.name, res.StatusCode, body, c.want[i])
			}
			if res.StatusCode == 401 && res.Header.Get("WWW-Authenticate") != `Bearer realm="tierd"` {
				t.Errorf("%s, %s: the challenge is %q", c.rule, who.name, res.Header["Www-Authenticate"])
			}
			if res.StatusCode >= 400 {
				errorMessage(t, body)
			}
		}
	}
	if _, body := fetch(t, "GET", rig.tierURL("", "/v1/models"), "", "X-Api-Key", "tierd_coder"); strings.Contains(body, `"orch"`) || !strings.Contains(body, `"coder"`) {
		t.Errorf("a key for coder sees %s", body)
	}
	for _, url := range []string{rig.tierURL("", "/v1/models/x"), rig.tierURL("", "/upstream/x/y"), rig.tierURL("", "/nothing")} {
		if _, body := fetch(t, "GET", url, "", "X-Api-Key", "tierd_coder"); strings.Contains(body, "orch") || !strings.Contains(body, "coder") {
			t.Errorf("%s tells a key for coder %s", url, body)
		}
	}
	if _, body := fetch(t, "GET", rig.tierURL("", "/health"), ""); strings.TrimSpace(body) != `{"status":"ok"}` {
		t.Errorf("nobody is told %s", body)
	}
	if _, body := fetch(t, "GET", rig.tierURL("", "/health"), "", "X-Api-Key", "tierd_look"); !strings.Contains(body, `"orch"`) {
		t.Errorf("grafana is told %s", body)
	}
}

func TestABrowserIsAskedForAPassword(t *testing.T) {
	rig := startRig(t, Config{}, route(t, "coder", "/nowhere"))
	rig.table.Keys = testKeys
	rig.publish(t)
	res, _ := fetch(t, "GET", rig.tierURL("", "/"), "", "Accept", "text/html,*/*;q=0.8")
	if got := strings.Join(res.Header["Www-Authenticate"], "; "); res.StatusCode != 401 || !strings.Contains(got, "Basic ") || !strings.Contains(got, "Bearer ") {
		t.Errorf("%d, %s", res.StatusCode, got)
	}
}

func TestKeysAreInForceWithTheTableAndStayWithoutOne(t *testing.T) {
	engine := startEngine(t, func(w http.ResponseWriter, r *http.Request) {})
	rig := startRig(t, Config{}, route(t, "coder", engine.socket))
	status := func() int {
		res, _ := fetch(t, "GET", rig.tierURL("coder", "/x"), "", "Authorization", "Bearer tierd_all")
		return res.StatusCode
	}
	if got := status(); got != 200 {
		t.Errorf("without keys any key will do: %d", got)
	}
	rig.table.Keys = testKeys[1:]
	rig.publish(t)
	if got := status(); got != 401 {
		t.Errorf("another's keys: %d", got)
	}
	rig.table.Keys = testKeys
	rig.publish(t)
	if got := status(); got != 200 {
		t.Errorf("with its key: %d", got)
	}
	broken := api.Table{Listen: "127.0.0.1", Port: 8000, NoConfig: true, Routes: rig.table.Routes}
	port := rig.table.Port
	rig.table = broken
	rig.publish(t)
	if res, _ := fetch(t, "GET", rig.tierURL("coder", "/x"), ""); res.StatusCode != 401 {
		t.Errorf("a tiers.toml that cannot be read has opened the gateway: %d", res.StatusCode)
	}
	if res, _ := fetch(t, "GET", rig.url(port, "/health"), ""); res.StatusCode != 200 {
		t.Errorf("it has moved it: %d", res.StatusCode)
	}
	eventually(t, "the next process will know the keys", func() bool {
		kept, err := (&tableMemory{fd: rig.memory.fd}).load() // as the next process does
		return err == nil && len(kept.Keys) == len(testKeys) && kept.NoConfig
	})
}

func BenchmarkIdentify(b *testing.B) {
	ring := newKeyring(api.Table{Keys: testKeys})
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Authorization", "Bearer tierd_all")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ring.identify(r); err != nil {
			b.Fatal(err)
		}
	}
}

// Whatever a client sends as its key, it is let in with one that there is and with nothing else.
func FuzzIdentify(f *testing.F) {
	f.Add("Bearer tierd_all", "")
	f.Add(basic("x", "tierd_look"), "tierd_coder")
	f.Add("Basic OnRpZXJk", "\x00")
	ring := newKeyring(api.Table{Keys: testKeys})
	f.Fuzz(func(t *testing.T, authorization, apiKey string) {
		r := &http.Request{Header: http.Header{"Authorization": {authorization}, "X-Api-Key": {apiKey}}}
		who, err := ring.identify(r)
		shown := false
		for _, secret := range secrets(r) {
			shown = shown || secret == "tierd_all" || secret == "tierd_coder" || secret == "tierd_look"
		}
		if (err == nil) != shown || (who.name != "") != shown {
			t.Errorf("%q and %q: %+v, %v", authorization, apiKey, who, err)
		}
	})
}

package gateway

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/gateway/wire"
)

func TestHostAndOrigin(t *testing.T) {
	for _, c := range []struct {
		rule, host, origin, listen string
		ok                         bool
	}{
		{"a loopback name", "localhost:8000", "", "127.0.0.1", true},
		{"a name below localhost", "ui.localhost", "", "127.0.0.1", true},
		{"case and a last dot do not matter", "LocalHost.:8000", "", "127.0.0.1", true},
		{"a loopback address", "127.0.0.1:8000", "", "127.0.0.1", true},
		{"any loopback address", "127.9.9.9", "", "127.0.0.1", true},
		{"the other loopback address", "[::1]:8000", "", "127.0.0.1", true},
		{"the address listened on", "10.0.0.5:8000", "", "10.0.0.5", true},
		{"any address when all are listened on", "192.168.1.7:8000", "", "0.0.0.0", true},
		{"a configured name", "models.home:8000", "", "127.0.0.1", true},
		{"no host, as HTTP/1.0 may", "", "", "127.0.0.1", true},
		{"a page of this machine", "localhost:8000", "http://localhost:3000", "127.0.0.1", true},
		{"a page of a configured name", "localhost", "https://models.home", "127.0.0.1", true},
		{"a rebound name", "evil.example:8000", "", "127.0.0.1", false},
		{"a rebound name, all listened on", "evil.example:8000", "", "0.0.0.0", false},
		{"a foreign address", "192.168.1.7:8000", "", "127.0.0.1", false},
		{"a name that only begins like localhost", "localhost.evil.example", "", "127.0.0.1", false},
		{"a name that only ends like localhost", "evillocalhost", "", "127.0.0.1", false},
		{"a foreign page", "localhost:8000", "https://evil.example", "127.0.0.1", false},
		{"a page without an origin", "localhost:8000", "null", "127.0.0.1", false},
		{"an origin of another kind", "localhost:8000", "file://localhost", "127.0.0.1", false},
		{"an origin that cannot be read", "localhost:8000", "http://%zz", "127.0.0.1", false},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = c.host
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
		}
		err := access{names: []string{"models.home"}}.check(r, c.listen)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.rule, err)
		}
		var f *failure
		if err != nil && (!errors.As(err, &f) || f.status != 403) {
			t.Errorf("%s: %#v", c.rule, err)
		}
	}
}

func TestAForeignRequestReachesNoEngine(t *testing.T) {
	engine := startEngine(t, func(http.ResponseWriter, *http.Request) { t.Error("it did") })
	rig := startRig(t, Config{}, route(t, "coder", engine.socket))
	for _, url := range []string{rig.tierURL("coder", "/x"), rig.tierURL("", "/v1/completions"), rig.tierURL("", "/v1/models")} {
		for _, header := range [][]string{{"Host", "evil.example"}, {"Origin", "https://evil.example"}} {
			if res, body := fetch(t, "POST", url, `{"model":"coder"}`, header...); res.StatusCode != 403 || errorMessage(t, body) == "" {
				t.Errorf("%s with %v: %d", url, header, res.StatusCode)
			}
		}
	}
}

// An <img> of any site names no Origin, and its Host is this gateway's.
func TestAForeignPageHasNoTierLoaded(t *testing.T) {
	cold := route(t, "coder", "/nowhere")
	cold.State, cold.Hold = api.Stopped, 3600
	rig := startRig(t, Config{}, cold)
	rig.tierd.ensure = func(context.Context, string) error { return &api.Error{Kind: api.KindBudget, Message: "no room"} }
	for _, c := range []struct {
		rule   string
		header []string
		status int
	}{
		{"an image", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"}, 403},
		{"a frame", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe", "Sec-Fetch-User", "?1"}, 403},
		{"a script that goes there", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, 403},
		{"a link that is followed", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Sec-Fetch-User", "?1"}, 503},
		{"an address that is typed", []string{"Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, 503},
		{"another server of this machine", []string{"Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"}, 503},
		{"an origin that may", []string{"Origin", "http://localhost:3000", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "cors"}, 503},
		{"no browser", nil, 503},
	} {
		for _, url := range []string{rig.tierURL("coder", "/logo.png"), rig.tierURL("", "/logo.png?model=coder"), rig.tierURL("", "/upstream/coder/x")} {
			rig.tierd.mu.Lock()
			rig.tierd.wishes = nil
			rig.tierd.mu.Unlock()
			res, body := fetch(t, "GET", url, "", c.header...)
			rig.tierd.mu.Lock()
			woken := len(rig.tierd.wishes) > 0
			rig.tierd.mu.Unlock()
			if res.StatusCode != c.status || errorMessage(t, body) == "" || woken != (c.status == 503) {
				t.Errorf("%s at %s: %d %s, tierd was asked: %v", c.rule, url, res.StatusCode, body, woken)
			}
		}
	}
}

// talk sends bytes and reads what comes back until the connection ends.
func talk(t *testing.T, port int, bytes string) string {
	t.Helper()
	c, err := net.Dial("tcp", address(port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	io.WriteString(c, bytes)
	got, _ := io.ReadAll(c)
	return string(got)
}

func TestMalformedRequestsAreRefused(t *testing.T) {
	engine := startEngine(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "reached") })
	rig := startRig(t, Config{}, route(t, "coder", engine.socket))
	port := rig.table.Routes[0].Port
	for rule, c := range map[string]struct{ request, want string }{
		"a header beyond the limit": {"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("a", wire.MaxHead+8<<10) + "\r\n\r\n", "HTTP/1.1 431"},
		"no host":                   {"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", "HTTP/1.1 400"},
		"two lengths":               {"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "HTTP/1.1 400"},
		"a proxy's connect":         {"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "HTTP/1.1 405"},
		"a proxy's absolute target": {"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "HTTP/1.1 403"},
		"rubbish":                   {"\x16\x03\x01\x02\x00\r\n\r\n", "HTTP/1.1 400"},
	} {
		if got := talk(t, port, c.request); !strings.HasPrefix(got, c.want) || strings.Contains(got, "reached") {
			t.Errorf("%s: %.80q, want %q", rule, got, c.want)
		}
	}
}

func TestAConnectionTooManyIsToldSo(t *testing.T) {
	engine := startEngine(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") })
	rig := startRig(t, Config{MaxConns: 2}, route(t, "coder", engine.socket))
	port := rig.table.Routes[0].Port
	var held []net.Conn
	for range 2 {
		c, err := net.Dial("tcp", address(port))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		held = append(held, c)
	}
	eventually(t, "both slots are taken", func() bool { return rig.ports.connected() == 2 })
	c, err := net.Dial("tcp", address(port))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
		t.Fatalf("%+v, %v", res, err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil || !strings.Contains(errorMessage(t, string(body)), "connections") {
		t.Errorf("%q, %v", body, err)
	}
	held[0].Close()
	eventually(t, "there is room again", func() bool { return rig.ports.connected() == 1 })
	if res, got := fetch(t, "GET", rig.tierURL("coder", "/"), ""); got != "ok" {
		t.Errorf("%d %q", res.StatusCode, got)
	}
}

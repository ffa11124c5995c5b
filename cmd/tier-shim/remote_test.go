package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const secret = "sk-very-secret-0123456789"

// cloud is an HTTPS server and a forwarder in front of it. seen has the last request that came through.
type cloud struct {
	server *httptest.Server
	front  *httptest.Server
	up     *upstream
	said   locked
	seen   *http.Request
	body   string
}

func newCloud(t *testing.T, path string, answer http.HandlerFunc) *cloud {
	t.Helper()
	c := &cloud{}
	c.server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		c.seen, c.body = r, string(body)
		answer(w, r)
	}))
	t.Cleanup(c.server.Close)
	credentials := t.TempDir()
	os.WriteFile(filepath.Join(credentials, "cloud-key"), []byte(secret+"\n"), 0o600)
	o := options{tier: "t", url: c.server.URL + path, model: "big-model", key: "cloud-key", timeout: time.Hour}
	var err error
	c.up, err = newUpstream(o, credentials, c.server.Client().Transport.(*http.Transport))
	if err != nil {
		t.Fatal(err)
	}
	c.front = httptest.NewServer(c.up.handler(log.New(&c.said, "", 0)))
	t.Cleanup(c.front.Close)
	return c
}

func (c *cloud) post(t *testing.T, path, body string) (*http.Response, string) {
	t.Helper()
	request, _ := http.NewRequest("POST", c.front.URL+path, strings.NewReader(body))
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer the-clients-own")
	request.Header.Set("Cookie", "a=b")
	request.Header.Set("X-Custom", "kept")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	return answer, string(text)
}

func TestForwarding(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1") // is ignored
	c := newCloud(t, "/api/v1", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Request-Id", "7")
		io.WriteString(w, "fine")
	})
	answer, text := c.post(t, "/v1/chat/completions?a=b", `{"model":"orch","n":12345678901234567890,"messages":[]}`)
	if answer.StatusCode != 200 || text != "fine" || answer.Header.Get("X-Request-Id") != "7" {
		t.Errorf("answer %d %q", answer.StatusCode, text)
	}
	if c.seen.URL.Path != "/api/v1/chat/completions" || c.seen.URL.RawQuery != "a=b" {
		t.Errorf("asked for %s", c.seen.URL)
	}
	if got := c.seen.Header.Get("Authorization"); got != "Bearer "+secret {
		t.Errorf("authorization is %q", got)
	}
	if c.seen.Header.Get("Cookie") != "" || c.seen.Header.Get("X-Forwarded-For") != "" || c.seen.Header.Get("X-Custom") != "kept" {
		t.Errorf("headers are %v", c.seen.Header)
	}
	if want := `{"model":"big-model","n":12345678901234567890,"messages":[]}`; c.body != want {
		t.Errorf("body is %s", c.body)
	}
	if strings.HasPrefix(c.seen.Host, "127.0.0.1") && !strings.HasSuffix(c.server.URL, c.seen.Host) {
		t.Errorf("host is %q", c.seen.Host)
	}
}

func TestPathsAndQueriesAreNotTouched(t *testing.T) {
	c := newCloud(t, "/api/v1", func(w http.ResponseWriter, r *http.Request) {})
	for path, want := range map[string]string{
		"/v1/models/org%2Fname":     "/api/v1/models/org%2Fname",
		"/files/a%20b?x=1;y=2&z=%z": "/api/v1/files/a%20b?x=1;y=2&z=%z",
		"/v1/a..b//c/":              "/api/v1/a..b//c/",
		"/v1":                       "/api/v1",
	} {
		if answer, text := c.post(t, path, `{}`); answer.StatusCode != 200 || c.seen.RequestURI != want {
			t.Errorf("%s: %d %q, upstream was asked for %s", path, answer.StatusCode, text, c.seen.RequestURI)
		}
	}
	for _, path := range []string{"/v1/../../other", "/v1/%2e%2E/other", "/.."} {
		c.seen = nil
		if answer, text := c.post(t, path, `{}`); answer.StatusCode != 400 || c.seen != nil {
			t.Errorf("%s: %d %q, asked for %v", path, answer.StatusCode, text, c.seen)
		}
	}
}

func TestUpstreamsOwnErrorsReachTheClient(t *testing.T) {
	c := newCloud(t, "", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "9")
		w.WriteHeader(http.StatusTooManyRequests)
		io.WriteString(w, `{"error":{"message":"slow down"}}`)
	})
	answer, text := c.post(t, "/v1/completions", `{}`)
	if answer.StatusCode != 429 || answer.Header.Get("Retry-After") != "9" || !strings.Contains(text, "slow down") {
		t.Errorf("answer %d %v %q", answer.StatusCode, answer.Header, text)
	}
}

func TestHealthIsTheForwardersOwn(t *testing.T) {
	c := newCloud(t, "", nil)
	c.server.Close()
	answer, err := http.Get(c.front.URL + "/health")
	if err != nil || answer.StatusCode != 200 {
		t.Errorf("%v, %v", answer, err)
	}
}

func TestAStreamIsPassedOnPieceByPiece(t *testing.T) {
	next := make(chan struct{})
	c := newCloud(t, "", func(w http.ResponseWriter, r *http.Request) {
		for range 3 {
			io.WriteString(w, "data: x\n\n")
			w.(http.Flusher).Flush()
			<-next
		}
		panic(http.ErrAbortHandler) // the fourth never comes
	})
	answer, err := http.Post(c.front.URL+"/v1/completions", "application/json", strings.NewReader(`{"stream":true}`))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	lines := bufio.NewReader(answer.Body)
	for range 3 {
		if line, err := lines.ReadString('\n'); err != nil || line != "data: x\n" {
			t.Fatalf("got %q, %v", line, err)
		}
		lines.ReadString('\n')
		next <- struct{}{}
	}
	if _, err := io.ReadAll(lines); err == nil {
		t.Error("a stream that broke off was ended in good order")
	}
}

func TestAClientThatLeavesEndsTheRequestUpstream(t *testing.T) {
	came, left := make(chan struct{}), make(chan struct{})
	c := newCloud(t, "", func(w http.ResponseWriter, r *http.Request) {
		close(came)
		<-r.Context().Done()
		close(left)
	})
	ctx, leave := context.WithCancel(t.Context())
	request, _ := http.NewRequestWithContext(ctx, "POST", c.front.URL+"/v1/completions", strings.NewReader("{}"))
	go http.DefaultClient.Do(request)
	<-came
	leave()
	<-left
}

func TestTheKeyIsInNoMessage(t *testing.T) {
	c := newCloud(t, "", nil)
	c.server.Close()
	answer, text := c.post(t, "/v1/completions", `{}`)
	if answer.StatusCode != http.StatusBadGateway || !strings.Contains(text, "Cannot reach https://127.0.0.1") || !strings.Contains(text, "`tierctl switch t VARIANT`") {
		t.Errorf("answer %d %q", answer.StatusCode, text)
	}
	err := c.up.probe(t.Context())
	for _, message := range []string{text, c.said.String(), err.Error()} {
		if strings.Contains(message, secret) {
			t.Errorf("the key is in %q", message)
		}
	}
}

func TestProbe(t *testing.T) {
	tests := []struct {
		status int
		words  string
	}{
		{200, ""}, {404, ""}, {405, ""},
		{401, `the key "cloud-key" was refused by https://127.0.0.1`},
		{403, `HTTP 403`},
		{503, "answers with HTTP 503"},
	}
	for _, test := range tests {
		c := newCloud(t, "/v1", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(test.status) })
		err := c.up.probe(t.Context())
		if (err == nil) != (test.words == "") || err != nil && !strings.Contains(err.Error(), test.words) {
			t.Errorf("status %d: %v", test.status, err)
		}
		if c.seen.URL.Path != "/v1/models" || c.seen.Header.Get("Authorization") != "Bearer "+secret {
			t.Errorf("asked for %s with %q", c.seen.URL, c.seen.Header)
		}
	}
}

func TestFaultyUpstreams(t *testing.T) {
	credentials := t.TempDir()
	os.WriteFile(filepath.Join(credentials, "two-words"), []byte("a\nb"), 0o600)
	os.WriteFile(filepath.Join(credentials, "empty"), nil, 0o600)
	tests := []struct{ name, url, key, words string }{
		{"a key in the clear over the network", "http://example.org/v1", "k", "must be https"},
		{"a foreign scheme", "ftp://example.org", "", "must be https"},
		{"no host", "https:/v1", "", "form https://"},
		{"no url", "::", "", "form https://"},
		{"a secret in the url", "https://me:secret@example.org/", "", "belongs in a credential"},
		{"a secret in the query", "https://example.org/?key=secret", "", "belongs in a credential"},
		{"a key that is not there", "https://example.org", "missing", "no such file"},
		{"a key outside the credentials", "https://example.org", "../etc/passwd", "not the name of a credential"},
		{"a key of two words", "https://example.org", "two-words", "one word"},
		{"an empty key", "https://example.org", "empty", "one word"},
	}
	for _, test := range tests {
		_, err := newUpstream(options{url: test.url, key: test.key}, credentials, nil)
		if err == nil || !strings.Contains(err.Error(), test.words) || strings.Contains(err.Error(), "me:secret") || strings.Contains(err.Error(), "key=secret") {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	if _, err := newUpstream(options{url: "https://example.org", key: "k"}, "", nil); err == nil {
		t.Error("a key without credentials was found")
	}
	if _, err := newUpstream(options{url: "http://127.0.0.1:8000/v1/"}, "", nil); err != nil {
		t.Error(err)
	}
}

func TestABodyTooLong(t *testing.T) {
	c := newCloud(t, "", func(w http.ResponseWriter, r *http.Request) {})
	answer, text := c.post(t, "/v1/completions", strings.Repeat(" ", bodyLimit+1))
	if answer.StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(text, "64 MiB") {
		t.Errorf("answer %d %q", answer.StatusCode, text)
	}
}

// runRemote starts the shim in front of a plain server on loopback.
func (b *bed) runRemote(url string, options ...string) *bed {
	os.WriteFile(filepath.Join(b.dir, "cloud-key"), []byte(secret), 0o600)
	args := []string{"remote", "--tier=t", "--socket=" + b.socket, "--admit=" + b.admit, "--url=" + url, "--model=big", "--key=cloud-key"}
	return b.start(append(args, options...), []string{"CREDENTIALS_DIRECTORY=" + b.dir, "WATCHDOG_USEC=300000"})
}

func TestARemoteTierFromStartToStop(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(w, r.Body)
	}))
	defer server.Close()
	b := newBed(t)
	b.tierd(yes)
	b.runRemote(server.URL)
	b.await("READY=1")
	b.await("STATUS=Ready, forwarding to http://127.0.0.1")
	var echo struct{ Model string }
	status, err := newProber("llama", b.socket, "").ask(t.Context(), "POST", "/v1/completions", []byte(`{"model":"t"}`), func(body io.Reader) error {
		return json.NewDecoder(body).Decode(&echo)
	})
	if err != nil || status != 200 || echo.Model != "big" {
		t.Errorf("%d, %v, %+v", status, err, echo)
	}
	b.await("WATCHDOG=1")
	b.signal(syscall.SIGTERM)
	b.wantEnd(0, "Stopped")
	if strings.Contains(b.stderr.String(), secret) {
		t.Error("the key is in the journal")
	}
}

func TestARefusedKeyIsAConfigurationFault(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(401) }))
	defer server.Close()
	b := newBed(t)
	b.tierd(yes)
	b.runRemote(server.URL).wantEnd(78, `The key "cloud-key" was refused`)
}

func TestAServerThatCannotBeReached(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + listener.Addr().String()
	listener.Close()
	t.Run("is given up after the load timeout", func(t *testing.T) {
		b := newBed(t)
		b.tierd(yes)
		b.runRemote(url, "--load-timeout=1ms").wantEnd(74, "Cannot reach "+url, "connection refused")
	})
	t.Run("is tried again until then", func(t *testing.T) {
		b := newBed(t)
		b.tierd(yes)
		b.runRemote(url)
		b.await("STATUS=Cannot reach " + url)
		b.signal(syscall.SIGTERM)
		b.wantEnd(0, "Stopped before")
	})
}

func TestAnInFlightRequestHoldsTheDrain(t *testing.T) {
	came, answer := make(chan struct{}, 1), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			came <- struct{}{}
			<-answer
			io.WriteString(w, "done")
		}
	}))
	defer server.Close()
	b := newBed(t) // without a tierd, the forwarder's own count decides
	b.runRemote(server.URL, "--drain=1h").await("READY=1")
	got := make(chan int)
	go func() {
		status, _ := newProber("llama", b.socket, "").ask(context.Background(), "POST", "/v1/completions", []byte("{}"), nil)
		got <- status
	}()
	<-came
	b.signal(syscall.SIGTERM)
	b.await("STATUS=Draining")
	time.AfterFunc(10*time.Millisecond, func() { close(answer) })
	if status := <-got; status != 200 {
		t.Errorf("the request in flight got %d", status)
	}
	b.wantEnd(0, "Stopped")
}

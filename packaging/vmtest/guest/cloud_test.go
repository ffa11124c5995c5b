package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// providerFor is a provider over TLS with a model behind it that says "fine".
func providerFor(t *testing.T) *httptest.Server {
	t.Helper()
	model := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("the key is passed on to the model")
		}
		io.WriteString(w, "fine")
	}))
	t.Cleanup(model.Close)
	at, err := url.Parse(model.URL)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewTLSServer(newProvider("secret", at))
	t.Cleanup(server.Close)
	return server
}

func askProvider(t *testing.T, server *httptest.Server, key, fault string) (*http.Response, string, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/v1/chat/completions?a=b", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+key)
	r.Header.Set("X-Cloud", fault)
	client := server.Client()
	client.Timeout = 500 * time.Millisecond
	res, err := client.Do(r)
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res, string(body), err
}

func TestAProviderDoesWhatIsAskedOfIt(t *testing.T) {
	server := providerFor(t)
	for name, c := range map[string]struct {
		key, fault string
		status     int
		words      string
	}{
		"the right key gets the model":    {"secret", "", 200, "fine"},
		"a wrong key gets nothing":        {"sesame", "", 401, `"code": "invalid_api_key"`},
		"a status that is asked for":      {"secret", "status=429", 429, `"code": "provider_429"`},
		"a status that is none":           {"secret", "status=200", 400, "no status"},
		"an echo tells path and query":    {"secret", "echo", 200, `"path":"/v1/chat/completions","protocol":"HTTP/1.1","query":"a=b"`},
		"an echo tells that the key came": {"secret", "echo", 200, "the right one"},
	} {
		t.Run(name, func(t *testing.T) {
			res, body, err := askProvider(t, server, c.key, c.fault)
			if err != nil || res.StatusCode != c.status || !strings.Contains(body, c.words) {
				t.Fatalf("%v, %v, %q", res, err, body)
			}
			if strings.Contains(body, "secret") {
				t.Errorf("the key is in %q", body)
			}
		})
	}
	for _, fault := range []string{"hang", "silence", "cut"} {
		t.Run(fault, func(t *testing.T) {
			if _, body, err := askProvider(t, server, "secret", fault); err == nil {
				t.Errorf("it came to a good end: %q", body)
			}
		})
	}
}

func TestAProviderNeedsItsFiles(t *testing.T) {
	for _, args := range [][]string{{"-token", "/no/such"}, {"-no-flag"}, {"-token", "/dev/null", "-engine", "::"}} {
		if err := cloud(args, io.Discard); err == nil {
			t.Errorf("%q runs", args)
		}
	}
}

package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tierd/tierd/packaging/vmtest/load"
)

func TestClientsTellWhatTheyCameTo(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", 500) }))
	defer server.Close()
	at, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "lines")
	var out bytes.Buffer
	err = clients([]string{"-streams", "1", "-plain", "1", "-for", "20ms", "-target", "orch:" + at.Port() + ":orch:orch", "-out", file}, &out)
	if err != nil {
		t.Fatal(err)
	}
	var tally load.Tally
	if err := json.Unmarshal(out.Bytes(), &tally); err != nil {
		t.Fatal(err)
	}
	if tally.Count(load.Failed) != tally.Requests || tally.Requests < 2 {
		t.Errorf("%s", out.String())
	}
	lines, err := os.ReadFile(file)
	if err != nil || strings.Count(string(lines), "\n") != tally.Requests {
		t.Errorf("%v, %q", err, lines)
	}
	for _, bad := range [][]string{{}, {"-target", "x"}, {"-out", "/no/such/file"}} {
		if err := clients(bad, &out); err == nil {
			t.Errorf("%q ran", bad)
		}
	}
}

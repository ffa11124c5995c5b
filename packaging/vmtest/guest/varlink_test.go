package main

import (
	"bufio"
	"encoding/json"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// systemd answers as the real one did for a tier, for one that is not loaded, and in two parts.
func systemd(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "manager")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	answers := map[string]string{
		"tier-orch.service":  `{"parameters":{"context":{"ID":"tier-orch.service"},"runtime":{"LoadState":"loaded","ActiveState":"activating"}}}` + "\x00",
		"tier-gone.service":  `{"error":"io.systemd.Unit.NoSuchUnit","parameters":{"parameter":"name"}}` + "\x00",
		"tier-twice.service": `{"continues":true,"parameters":{"runtime":{"ActiveState":"active"}}}` + "\x00" + `{"parameters":{"runtime":{"ActiveState":"failed"}}}` + "\x00",
		"tier-bad.service":   `{"error":"org.varlink.service.InvalidParameter"}` + "\x00",
		"tier-odd.service":   "what?\x00",
	}
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		for questions := bufio.NewReader(conn); ; {
			raw, err := questions.ReadBytes(0)
			if err != nil {
				return
			}
			var q struct{ Parameters struct{ Name string } }
			if err := json.Unmarshal(raw[:len(raw)-1], &q); err != nil {
				return
			}
			conn.Write([]byte(answers[q.Parameters.Name]))
		}
	}()
	return path
}

func TestSystemdSaysHowAUnitIs(t *testing.T) {
	m, err := dialManager(systemd(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ unit, state, err string }{
		{"tier-orch.service", "activating", ""},
		{"tier-gone.service", "inactive", ""},
		{"tier-twice.service", "active", ""},
		{"tier-orch.service", "activating", ""}, // the second part of the answer before is not taken for this one's
		{"tier-bad.service", "", "InvalidParameter"},
		{"tier-odd.service", "", "no JSON"},
	} {
		state, err := m.state(c.unit)
		if state != c.state || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %q, %v", c.unit, state, err)
		}
	}
	if _, err := dialManager("/no/such/socket"); err == nil || !strings.Contains(err.Error(), "258") {
		t.Errorf("without the socket: %v", err)
	}
}

func TestStatesAreAskedForOnceAUnitIsSeen(t *testing.T) {
	var s states
	asked := 0
	ask := func(unit string) (string, error) { asked++; return "active", nil }
	if err := s.refresh(ask); err != nil || asked != 0 {
		t.Errorf("asked %d times before there was a unit, %v", asked, err)
	}
	if got := s.of("tier-orch.service"); got != unasked {
		t.Errorf("a new unit is %q", got)
	}
	if err := s.refresh(ask); err != nil || asked != 1 {
		t.Errorf("asked %d times, %v", asked, err)
	}
	if got := s.of("tier-orch.service"); got != "active" {
		t.Errorf("it is %q", got)
	}
}

func FuzzParseUnitReply(f *testing.F) {
	f.Add([]byte(`{"parameters":{"runtime":{"ActiveState":"active"}}}`))
	f.Add([]byte(`{"error":"io.systemd.Unit.NoSuchUnit"}`))
	f.Add([]byte(`{"continues":true}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if state, _, err := parseUnitReply(raw); (err == nil) != (state != "") {
			t.Errorf("%q, %v", state, err)
		}
	})
}

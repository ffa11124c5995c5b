package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/tierd/tierd/agent/api"
)

// TestTheReadmesPictureIsWhatStatusPrints, on a terminal of 100 columns.
func TestTheReadmesPictureIsWhatStatusPrints(t *testing.T) {
	text, err := os.ReadFile("testdata/fixtures/readme.json")
	if err != nil {
		t.Fatal(err)
	}
	var s api.Status
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	rows := make([]row, len(s.Tiers))
	for i, tier := range s.Tiers {
		rows[i] = tierRow(tier, noon, 100-66, false)
	}
	writeTable(&out, statusHeader, rows)
	if !strings.Contains(string(page), "```text\n$ tierctl status\n"+out.String()+"```\n") {
		t.Errorf("README.md has another picture than\n%s", out.String())
	}
}

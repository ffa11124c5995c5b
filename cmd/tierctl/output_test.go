package main

import (
	"strings"
	"testing"
	"time"
)

func TestFormatAge(t *testing.T) {
	tests := map[time.Duration]string{
		-time.Second: "0s", // clocks may differ
		0:            "0s", 999 * time.Millisecond: "0s", 59 * time.Second: "59s",
		time.Minute: "1m 0s", 3599 * time.Second: "59m 59s", time.Hour: "1h 0m",
		125 * time.Minute: "2h 5m", 24 * time.Hour: "1d 0h", 100 * time.Hour: "4d 4h",
	}
	for d, want := range tests {
		if got := formatAge(d); got != want {
			t.Errorf("formatAge(%s) = %q, want %q", d, got, want)
		}
	}
}

func TestShorten(t *testing.T) {
	tests := []struct {
		rule  string
		text  string
		width int
		want  string
	}{
		{"what fits stays", "model", 5, "model"},
		{"what does not ends in an ellipsis", "model.gguf", 5, "mode…"},
		{"no width is no limit", "model.gguf", 0, "model.gguf"},
		{"letters are counted, not bytes", "größe", 5, "größe"},
		{"one column is the ellipsis alone", "model", 1, "…"},
	}
	for _, tt := range tests {
		if got := shorten(tt.text, tt.width); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.rule, got, tt.want)
		}
	}
}

func TestANarrowTerminalGetsFewerColumns(t *testing.T) {
	header := []string{"TIER", "ENGINE", "MODEL", "PORT"} // 5 + 2 + 6 + 2 + 10 + 2 + 4 columns
	for columns, want := range map[int]string{0: "TIER ENGINE MODEL PORT", 31: "TIER ENGINE MODEL PORT", 30: "TIER ENGINE PORT", 19: "TIER ENGINE PORT", 18: "TIER PORT", 4: "TIER PORT"} {
		rows := []row{{cells: []cell{{text: "coder"}, {text: "llama"}, {text: "model.gguf"}, {text: "8002"}}}}
		head, rows := narrowed(columns, header, rows)
		if got := strings.Join(head, " "); got != want || len(rows[0].cells) != len(head) {
			t.Errorf("%d columns: %s, %+v", columns, got, rows)
		}
	}
}

func TestTableIgnoresColoursForWidths(t *testing.T) {
	var plain, coloured strings.Builder
	rows := func(paint string) []row {
		return []row{
			{cells: []cell{{text: "a"}, {text: "ready", paint: paint}, {text: "x"}}, notes: []string{"why"}},
			{cells: []cell{{text: "bbb"}, {text: "starting", paint: paint}, {text: ""}}},
		}
	}
	writeTable(&plain, []string{"T", "STATE", "M"}, rows(""))
	writeTable(&coloured, []string{"T", "STATE", "M"}, rows(green))
	want := "T    STATE     M\na    ready     x\n     why\nbbb  starting\n"
	if plain.String() != want {
		t.Errorf("got\n%s\nwant\n%s", plain.String(), want)
	}
	if got := strings.NewReplacer(green, "", reset, "").Replace(coloured.String()); got != want {
		t.Errorf("with colours, got\n%q\nwant\n%q", got, want)
	}
}

func TestNearest(t *testing.T) {
	known := []string{"orch", "coder", "reviewer", "utility"}
	tests := map[string]string{
		"codr": "coder", "cdoer": "coder", "Coder": "coder", "reviwer": "reviewer",
		"orc": "orch", "utilty": "utility", "nothing-like-it": "", "": "",
	}
	for name, want := range tests {
		if got := nearest(name, known); got != want {
			t.Errorf("nearest(%q) = %q, want %q", name, got, want)
		}
	}
}

package journal

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
)

func TestJournalLines(t *testing.T) {
	tests := []struct {
		name string
		log  func(*slog.Logger)
		want string
	}{
		{"info", func(l *slog.Logger) { l.Info("coder is ready", "tier", "coder") }, "<6>msg=\"coder is ready\" tier=coder\n"},
		{"a warning", func(l *slog.Logger) { l.Warn("w", "err", errors.New("no room")) }, "<4>msg=w err=\"no room\"\n"},
		{"an error", func(l *slog.Logger) { l.Error("e") }, "<3>msg=e\n"},
		{"debug is left out unless asked for", func(l *slog.Logger) { l.Debug("d") }, ""},
		{"attributes of a part", func(l *slog.Logger) { l.With("tier", "orch").Info("m") }, "<6>msg=m tier=orch\n"},
		{"a group keeps its own time", func(l *slog.Logger) { l.WithGroup("g").Info("m", "time", 1) }, "<6>msg=m g.time=1\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			test.log(New(&out, false, true))
			if out.String() != test.want {
				t.Errorf("got %q, want %q", out.String(), test.want)
			}
		})
	}
}

func TestByHandLinesHaveTimeAndLevel(t *testing.T) {
	var out bytes.Buffer
	New(&out, true, false).Debug("d")
	if got := out.String(); !strings.HasPrefix(got, "time=") || !strings.Contains(got, "level=DEBUG msg=d") {
		t.Errorf("got %q", got)
	}
}

func TestLinesOfManyGoroutinesKeepTheirPriority(t *testing.T) {
	var out bytes.Buffer
	log := New(&out, true, true)
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			if i%2 == 0 {
				log.Error("bad")
			} else {
				log.Info("good")
			}
		})
	}
	all.Wait()
	if n := strings.Count(out.String(), "<3>msg=bad\n"); n != 50 || strings.Count(out.String(), "<6>msg=good\n") != 50 {
		t.Errorf("%d errors as written:\n%s", n, out.String())
	}
}

func TestPriorities(t *testing.T) {
	for level, want := range map[slog.Level]string{slog.LevelDebug: "<7>", slog.LevelInfo: "<6>", slog.LevelWarn: "<4>", slog.LevelError: "<3>", slog.LevelError + 4: "<3>"} {
		if got := priority(level); got != want {
			t.Errorf("%s: %s, want %s", fmt.Sprint(level), got, want)
		}
	}
}

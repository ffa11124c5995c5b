package main

import (
	"bytes"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
)

func linesOf(pieces ...string) (lines []string) {
	tap := &logTap{line: func(line []byte) { lines = append(lines, string(line)) }}
	for _, piece := range pieces {
		tap.scan([]byte(piece))
	}
	tap.flush()
	return lines
}

func TestLinesEndAtLineFeedOrCarriageReturn(t *testing.T) {
	tests := []struct {
		name   string
		pieces []string
		want   []string
	}{
		{"line feeds", []string{"a\nb\n"}, []string{"a", "b"}},
		{"a progress bar", []string{"0%\r50%\r100%\n"}, []string{"0%", "50%", "100%"}},
		{"a line in pieces", []string{"he", "llo\nwo", "rld"}, []string{"hello", "world"}},
		{"empty lines are left out", []string{"\n\r\n\n"}, nil},
		{"the last line without an end", []string{"abort"}, []string{"abort"}},
		{"a line too long is cut", []string{strings.Repeat("x", lineLimit+5), "\nnext\n"}, []string{strings.Repeat("x", lineLimit), "next"}},
	}
	for _, test := range tests {
		if got := linesOf(test.pieces...); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

func TestBytesGoOutBeforeTheLineEnds(t *testing.T) {
	pipeOut, engine, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	journal, out := io.Pipe()
	go (&logTap{out: out, line: func([]byte) {}}).copyFrom(pipeOut)
	for _, piece := range []string{"loading", "... ", "\x00\xff", "done\r\n"} {
		engine.Write([]byte(piece))
		got := make([]byte, len(piece))
		if _, err := io.ReadFull(journal, got); err != nil || string(got) != piece {
			t.Fatalf("got %q, %v, want %q", got, err, piece)
		}
	}
}

func TestASentenceOfTheShimsBeginsALine(t *testing.T) {
	var j journal
	var out bytes.Buffer
	j.of(&out).Write([]byte("loading\n"))
	j.sentence(&out, "one\n")
	j.of(&out).Write([]byte("0.01 "))
	j.sentence(&out, "two\n")
	j.sentence(&out, "three\n")
	j.of(&out).Write([]byte("I srv\n"))
	if want := "loading\none\n0.01 \ntwo\nthree\nI srv\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

// broken is a journal that takes nothing.
type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestABrokenJournalDoesNotStopTheReading(t *testing.T) {
	pipeOut, engine, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		engine.WriteString(strings.Repeat("a line\n", 100_000))
		engine.Close()
	}()
	n := 0
	(&logTap{out: broken{}, line: func([]byte) { n++ }}).copyFrom(pipeOut)
	if n != 100_000 {
		t.Errorf("%d lines were read", n)
	}
}

func TestAFloodCostsNoMemory(t *testing.T) {
	seen, load := &lastSeen{}, newLoading("vllm", 0, fixedNow)
	tap := &logTap{line: func(line []byte) { seen.line(line); load.line(line) }}
	flood := []byte(strings.Repeat("INFO 11-23 04:10:02 [loggers.py:1] nothing to see\n", 100))
	if allocs := testing.AllocsPerRun(100, func() { tap.scan(flood) }); allocs > 0 {
		t.Errorf("%.0f allocations for 100 lines", allocs)
	}
}

func FuzzLogLines(f *testing.F) {
	f.Add([]byte("a\rb\n"), 1)
	f.Add([]byte("(EngineCore pid=1) Loading safetensors checkpoint shards:  43% Completed | 7/16 [\r"), 7)
	f.Add([]byte("% Completed | "), 3)
	f.Add([]byte("ERROR\x1b[31m ValueError: x\n"), 2)
	f.Fuzz(func(t *testing.T, text []byte, cut int) {
		cut = max(0, min(len(text), cut))
		load, seen := newLoading("vllm", 1<<30, fixedNow), &lastSeen{}
		var held int
		tap := &logTap{line: func(line []byte) {
			if bytes.ContainsAny(line, "\r\n") || len(line) == 0 || len(line) > lineLimit {
				t.Errorf("not a line: %q", line)
			}
			held += len(line)
			load.line(line)
			seen.line(line)
		}}
		tap.scan(text[:cut])
		tap.scan(text[cut:])
		tap.flush()
		if held > len(text) {
			t.Errorf("%d bytes of lines from %d bytes", held, len(text))
		}
		for _, words := range []string{load.words(), func() string { _, w := seen.last(); return w }()} {
			if oneLine(words) != words {
				t.Errorf("not fit for a status: %q", words)
			}
		}
	})
}

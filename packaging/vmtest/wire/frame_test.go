package wire

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestOutputComesAsItWas writes pieces of both outputs in a random order and reads them back.
func TestOutputComesAsItWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pieces := rapid.SliceOf(rapid.SliceOfN(rapid.Byte(), 0, 200)).Draw(t, "pieces")
		status := rapid.IntRange(0, 255).Draw(t, "status")
		var wire, out, errs bytes.Buffer
		flushes := 0
		w := NewWriter(&wire, func() error { flushes++; return nil })
		for i, piece := range pieces {
			kind, want := byte(Stdout), &out
			if i%2 == 1 {
				kind, want = Stderr, &errs
			}
			want.Write(piece)
			if n, err := w.Of(kind).Write(piece); n != len(piece) || err != nil {
				t.Fatalf("%d, %v", n, err)
			}
		}
		if err := w.Exit(status); err != nil {
			t.Fatal(err)
		}
		var gotOut, gotErr bytes.Buffer
		got, err := Copy(&gotOut, &gotErr, &wire)
		if err != nil || got != status {
			t.Fatalf("status %d, %v, want %d", got, err, status)
		}
		if !bytes.Equal(gotOut.Bytes(), out.Bytes()) || !bytes.Equal(gotErr.Bytes(), errs.Bytes()) {
			t.Fatal("the output is another")
		}
		if flushes != len(pieces)+1 {
			t.Fatalf("%d flushes for %d frames", flushes, len(pieces)+1)
		}
	})
}

func TestBrokenFramesAreErrors(t *testing.T) {
	for name, c := range map[string]struct{ wire, want string }{
		"nothing at all":                   {"", "unexpected EOF"},
		"an end inside a head":             {"o\x00\x00", "unexpected EOF"},
		"an end inside the bytes":          {"o\x00\x00\x00\x09abc", "unexpected EOF"},
		"an end without an exit status":    {"o\x00\x00\x00\x03abc", "unexpected EOF"},
		"an unknown kind":                  {"z\x00\x00\x00\x00", "no frame of kind"},
		"a length that cannot be":          {"o\xff\x00\x00\x00", "longer than"},
		"an exit status that is no number": {"x\x00\x00\x00\x02ab", "no exit status"},
		"an exit status that is too large": {"x\x00\x00\x00\x03256", "no exit status"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Copy(io.Discard, io.Discard, strings.NewReader(c.wire))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestAReaderThatFailsEndsTheCopy(t *testing.T) {
	full := errors.New("full")
	_, err := Copy(failingWriter{full}, io.Discard, strings.NewReader("o\x00\x00\x00\x03abcx\x00\x00\x00\x010"))
	if !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
}

type failingWriter struct{ err error }

func (f failingWriter) Write([]byte) (int, error) { return 0, f.err }

func FuzzCopy(f *testing.F) {
	f.Add([]byte("o\x00\x00\x00\x03abcx\x00\x00\x00\x010"))
	f.Add([]byte("e\x00\x00\x00\x00x\x00\x00\x00\x03137"))
	f.Add([]byte("o\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		var out, errs bytes.Buffer
		status, err := Copy(&out, &errs, bytes.NewReader(wire))
		if err == nil && (status < 0 || status > 255) {
			t.Errorf("status %d", status)
		}
		if out.Len()+errs.Len() > len(wire) {
			t.Error("more came out than went in")
		}
	})
}

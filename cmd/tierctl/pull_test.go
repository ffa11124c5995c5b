package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tierd/tierd/agent/hub/hubtest"
)

// hubCommand serves the folders DIR/ORG/NAME as a hub's repositories, and sets HF_ENDPOINT: `hub DIR`. With a number it sends
// no more than so many bytes of a large file until the client goes away. `hub DIR gated TOKEN` wants a token.
func hubCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: hub DIR [BYTES | gated TOKEN]")
	}
	repos, err := hubtest.Read(ts.MkAbs(args[0]))
	ts.Check(err)
	h := &hubtest.Hub{Repos: repos, Large: 64}
	switch {
	case len(args) == 3 && args[1] == "gated":
		h.Token = args[2]
		for _, repo := range h.Repos {
			repo.Gated = true
		}
	case len(args) == 2:
		bytes, err := strconv.Atoi(args[1])
		ts.Check(err)
		h.Fault = hubtest.StopAt(bytes)
	}
	cdn := httptest.NewServer(http.HandlerFunc(h.ServeCDN))
	ts.Defer(cdn.Close)
	h.CDN = cdn.URL
	front := httptest.NewServer(h)
	ts.Defer(front.Close)
	ts.Setenv("HF_ENDPOINT", front.URL)
}

// weightsCommand writes a file of weights with a size, a GGUF one without a tensor or safetensors with one: `weights FILE BYTES`.
func weightsCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: weights FILE BYTES")
	}
	size, err := strconv.Atoi(args[1])
	ts.Check(err)
	head := append([]byte("GGUF\x03\x00\x00\x00"), make([]byte, 16)...)
	if filepath.Ext(args[0]) == ".safetensors" {
		text := fmt.Appendf(nil, `{"x":{"dtype":"U8","shape":[%[1]d],"data_offsets":[0,%[1]d]}}`, size-100)
		text = append(text, bytes.Repeat([]byte(" "), 92-len(text))...)
		head = append(binary.LittleEndian.AppendUint64(nil, 92), text...)
	}
	for i := len(head); i < size; i++ {
		head = append(head, byte(i*i>>8))
	}
	at := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(filepath.Dir(at), 0o755))
	ts.Check(os.WriteFile(at, head, 0o644))
}

// partCommand waits until one file that is on its way has so many bytes: `part DIR BYTES`.
func partCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: part DIR BYTES")
	}
	for until := time.Now().Add(time.Minute); time.Now().Before(until); time.Sleep(time.Millisecond) {
		parts, _ := filepath.Glob(filepath.Join(ts.MkAbs(args[0]), ".tierd-pull/*/*.part"))
		for _, at := range parts {
			if info, err := os.Stat(at); err == nil && strconv.FormatInt(info.Size(), 10) == args[1] {
				return
			}
		}
	}
	ts.Fatalf("no part of %s bytes came", args[1])
}

package main

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// treeCommand writes all that can be seen of a directory into a file: `tree before home`.
func treeCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: tree FILE DIRECTORY")
	}
	dir := ts.MkAbs(args[1])
	var b strings.Builder
	ts.Check(filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		what := ""
		switch {
		case info.Mode().IsRegular():
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			what = fmt.Sprintf("%x", sha256.Sum256(data))
		case info.Mode()&fs.ModeSymlink != 0:
			if what, err = os.Readlink(path); err != nil {
				return err
			}
		}
		rel, err := filepath.Rel(dir, path)
		fmt.Fprintf(&b, "%s %s %s\n", info.Mode(), rel, what)
		return err
	}))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(b.String()), 0o644))
}

// portCommand stands in for the gateway's port: `port FILE` answers with lines "PATH BODY" of the file, and sets $PORT.
func portCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: port FILE")
	}
	answers := map[string]string{}
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		path, body, _ := strings.Cut(strings.TrimSpace(line), " ")
		answers[path] = body
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, ok := answers[r.URL.Path]
		if !ok || r.Header.Get("Authorization") != "Bearer tierd_key" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, body)
	})}
	go server.Serve(listener)
	ts.Defer(func() { server.Close() })
	_, port, err := net.SplitHostPort(listener.Addr().String())
	ts.Check(err)
	ts.Setenv("PORT", port)
}

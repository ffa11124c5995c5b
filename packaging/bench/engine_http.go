package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
)

// Kinds of engine.
const (
	scripted = "scripted" // knows its requests beforehand: close to nothing, so that what stands between shows
	netHTTP  = "net/http" // reads any request, as an engine has to
)

// serveHTTP answers small requests as the scripted engine does, by Go's HTTP server.
func serveHTTP(l net.Listener) error {
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != smallPath {
			http.NotFound(w, r)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client has gone
		}
		answer := bytes.Clone(smallBody)
		if at := bytes.Index(body, idMark); at >= 0 && at+len(idMark)+idLength <= len(body) {
			copy(answer[idAt:], body[at+len(idMark):][:idLength])
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
		_, _ = w.Write(answer)
	}))
}

// listenerOf is the way of a kind of engine to serve a listener, until the process ends.
func listenerOf(kind string) (func(net.Listener) error, error) {
	switch kind {
	case scripted:
		return acceptAll, nil
	case netHTTP:
		return serveHTTP, nil
	}
	return nil, fmt.Errorf("there is no engine of the kind %q", kind)
}

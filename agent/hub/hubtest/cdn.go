package hubtest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// StopAt is a Fault: of a larger file so many bytes are sent, and then nothing until the client goes away.
func StopAt(bytes int) func(string, http.ResponseWriter, *Trip) bool {
	return func(host string, w http.ResponseWriter, t *Trip) bool {
		if host != "cdn" || len(t.Data) <= bytes {
			return false
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(t.Data)))
		w.Write(t.Data[:bytes])
		http.NewResponseController(w).Flush()
		<-t.Request.Context().Done()
		return true
	}
}

// ServeCDN is the second host, which has the content of large files by their checksum.
func (h *Hub) ServeCDN(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	trip := Trip{Host: "cdn", Path: r.URL.Path, Range: r.Header.Get("Range"), Authorization: r.Header.Get("Authorization"), Request: r}
	for _, repo := range h.Repos {
		for _, data := range repo.Files {
			if fmt.Sprintf("/%x", sha256.Sum256(data)) == r.URL.Path {
				trip.Data = data
			}
		}
	}
	h.Seen = append(h.Seen, trip)
	fault := h.Fault
	h.mu.Unlock()
	if fault != nil && fault("cdn", w, &trip) {
		return
	}
	if trip.Data == nil {
		http.NotFound(w, r)
		return
	}
	Serve(w, r, trip.Data)
}

// Serve answers with data, or the part of it that a Range asks for.
func Serve(w http.ResponseWriter, r *http.Request, data []byte) {
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

// Cut answers with as much of the file as many bytes, and then breaks the connection.
func Cut(w http.ResponseWriter, t *Trip, after int) {
	from := 0
	if start, ok := strings.CutPrefix(t.Range, "bytes="); ok {
		from, _ = strconv.Atoi(strings.TrimSuffix(start, "-"))
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(t.Data)-1, len(t.Data)))
	}
	rest := t.Data[min(from, len(t.Data)):]
	w.Header().Set("Content-Length", strconv.Itoa(len(rest)))
	if from > 0 {
		w.WriteHeader(http.StatusPartialContent)
	}
	w.Write(rest[:min(after, len(rest))])
	http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

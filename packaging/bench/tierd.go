package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"sync"

	"github.com/tierd/tierd/agent/api"
)

// tierd answers the gateway as the daemon would that has one tier, which is ready.
type tierd struct {
	server *http.Server
	mu     sync.Mutex
	table  api.Table
}

// startTierd listens on dir/tierd.sock. The tier's engine is at socket.
func startTierd(dir, socket string) (*tierd, string, error) {
	all, err := freePort()
	if err != nil {
		return nil, "", err
	}
	own, err := freePort()
	if err != nil {
		return nil, "", err
	}
	t := &tierd{table: api.Table{
		Seq: 1, Listen: "127.0.0.1", Port: all,
		Routes: []api.Route{{
			Tier: "coder", Role: "coding", Port: own, Names: []string{"coder", "coding", "coder/main"}, State: api.Ready,
			Unit: "tier-coder.service", Variant: "main", Engine: "llama", Model: "scripted", Socket: socket, Context: 4096, Drain: 30, Hold: 240,
		}},
	}}
	path := filepath.Join(dir, "tierd.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, "", err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/gateway/table", t.serveTable)
	mux.HandleFunc("POST /v1/gateway/report", func(w http.ResponseWriter, _ *http.Request) { send(w, struct{}{}) })
	t.server = &http.Server{Handler: mux}
	go t.server.Serve(l)
	return t, path, nil
}

// serveTable holds who has the table until it hangs up: nothing changes for a gateway that runs.
func (t *tierd) serveTable(w http.ResponseWriter, r *http.Request) {
	t.mu.Lock()
	table := t.table
	t.mu.Unlock()
	if r.URL.Query().Get("after") == fmt.Sprint(table.Seq) {
		<-r.Context().Done()
		return
	}
	send(w, table)
}

// limit sets how many connections the next gateway takes; 0: its default.
func (t *tierd) limit(conns int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.table.MaxConnections = conns
}

func send(w http.ResponseWriter, value any) {
	raw, err := json.Marshal(value)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_ = json.NewEncoder(w).Encode(api.Envelope{Type: "sync", Result: raw})
}

// address is the tier's own port.
func (t *tierd) address() string {
	return net.JoinHostPort(t.table.Listen, fmt.Sprint(t.table.Routes[0].Port))
}

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tierd/tierd/agent/api"
)

// fakeControl is a control server that answers from a file of lines
//
//	METHOD PATH HTTP-STATUS ANSWER
//
// where ANSWER is @FILE (a result), change=ID [@FILE], error=KIND[/CLASS] MESSAGE[ | HINT], or stream=@FILE (an event
// a line). Equal METHOD and PATH give successive answers, the last of them for ever. Bodies of POSTs are written to
// the file "requests" of the script.
type fakeControl struct {
	mu      sync.Mutex
	answers map[string][]string
	read    func(file string) []byte
	log     string
}

// controlCommand serves the described answers on $TIERD_SOCKET until the script ends or describes others.
func controlCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: control FILE")
	}
	fake := &fakeControl{
		answers: map[string][]string{},
		read:    func(file string) []byte { return []byte(ts.ReadFile(file)) },
		log:     ts.MkAbs("requests"),
	}
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		if method, rest, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			path, answer, _ := strings.Cut(rest, " ")
			key := method + " " + path
			fake.answers[key] = append(fake.answers[key], answer)
		}
	}
	socket := ts.Getenv("TIERD_SOCKET")
	_ = os.Remove(socket)
	_ = os.Remove(fake.log)
	listener, err := net.Listen("unix", socket)
	ts.Check(err)
	server := &http.Server{Handler: fake}
	go server.Serve(listener)
	ts.Defer(func() { server.Close() })
}

func (f *fakeControl) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, ok := f.next(r)
	if !ok {
		answer = "404 error=not-found the script has no answer to " + r.Method + " " + r.URL.String()
	}
	status, rest, _ := strings.Cut(answer, " ")
	var code int
	fmt.Sscan(status, &code)
	if file, ok := strings.CutPrefix(rest, "stream=@"); ok {
		f.stream(w, r, file)
		return
	}
	envelope := f.envelope(rest)
	holdWait(r, envelope)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(envelope)
}

// next takes the answer that is due, by the path with its query if the script has one such, else by the path alone.
func (f *fakeControl) next(r *http.Request) (string, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.Method == http.MethodPost {
		body, _ := io.ReadAll(r.Body)
		log, err := os.OpenFile(f.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err == nil {
			fmt.Fprintf(log, "%s %s\n", r.URL.Path, body)
			log.Close()
		}
	}
	for _, path := range []string{r.URL.String(), r.URL.Path} {
		key := r.Method + " " + path
		if due := f.answers[key]; len(due) > 0 {
			if len(due) > 1 {
				f.answers[key] = due[1:]
			}
			return due[0], true
		}
	}
	return "", false
}

func (f *fakeControl) envelope(answer string) api.Envelope {
	first, rest, _ := strings.Cut(answer, " ")
	if file, ok := strings.CutPrefix(first, "@"); ok {
		return api.Envelope{Type: "sync", Result: f.read(file)}
	}
	if id, ok := strings.CutPrefix(first, "change="); ok {
		e := api.Envelope{Type: "async", Change: id}
		if file, ok := strings.CutPrefix(rest, "@"); ok {
			e.Result = f.read(file)
		}
		return e
	}
	kind, class, _ := strings.Cut(strings.TrimPrefix(first, "error="), "/")
	message, hint, _ := strings.Cut(rest, " | ")
	return api.Envelope{Type: "error", Error: &api.Error{Kind: api.ErrorKind(kind), Class: class, Message: message, Hint: hint}}
}

// holdWait keeps the answer about a change that is not over until the client's timeout, as tierd does.
func holdWait(r *http.Request, e api.Envelope) {
	timeout, err := time.ParseDuration(r.URL.Query().Get("timeout"))
	var ch api.Change
	if err != nil || json.Unmarshal(e.Result, &ch) != nil || ch.Done() {
		return
	}
	select {
	case <-r.Context().Done():
	case <-time.After(timeout):
	}
}

// stream writes the events and then keeps the connection, as tierd does.
func (f *fakeControl) stream(w http.ResponseWriter, r *http.Request, file string) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	for line := range strings.Lines(string(f.read(file))) {
		var e api.Event
		if json.Unmarshal([]byte(line), &e) == nil {
			fmt.Fprintf(w, "id: %d\ndata: %s\n\n", e.Seq, strings.TrimSpace(line))
		}
	}
	w.(http.Flusher).Flush()
	<-r.Context().Done()
}

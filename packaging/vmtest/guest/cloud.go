package main

import (
	"crypto/subtle"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strconv"
	"strings"
)

// cloud stands for a provider's server: HTTPS, a key, a real model behind it, and on demand what goes wrong with such
// servers. It never writes the key anywhere.
func cloud(args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("cloud", flag.ContinueOnError)
	listen := flags.String("listen", "127.0.0.1:9443", "address")
	cert := flags.String("cert", "", "certificate in PEM")
	key := flags.String("key", "", "its private key in PEM")
	token := flags.String("token", "", "file with the key that clients have to show")
	engine := flags.String("engine", "", "URL of the server that has the model")
	if err := flags.Parse(args); err != nil {
		return err
	}
	wanted, err := os.ReadFile(*token)
	if err != nil {
		return err
	}
	to, err := url.Parse(*engine)
	if err != nil {
		return err
	}
	fmt.Fprintln(stdout, "provider on", *listen)
	server := &http.Server{Addr: *listen, Handler: newProvider(strings.TrimSpace(string(wanted)), to)}
	return server.ListenAndServeTLS(*cert, *key)
}

// provider is the server's handler. A request's header X-Cloud says what goes wrong:
//
//	status=429    that status, with a body of the provider's own and Retry-After: 17
//	hang          no answer at all
//	silence       the head of a stream, and no more
//	cut           a stream that breaks off
//	echo          no completion, but what of the request came here
type provider struct {
	token string
	model http.Handler
}

func newProvider(token string, engine *url.URL) *provider {
	return &provider{token: token, model: &httputil.ReverseProxy{
		FlushInterval: -1,
		// llama-server closes a connection that it has kept for a while, and a POST that meets that is not sent again.
		Transport: &http.Transport{DisableKeepAlives: true},
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(engine)
			r.Out.Header.Del("Authorization")
		},
	}}
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	shown := []byte(r.Header.Get("Authorization"))
	if subtle.ConstantTimeCompare(shown, []byte("Bearer "+p.token)) != 1 {
		providerError(w, http.StatusUnauthorized, "Incorrect API key provided.", "invalid_api_key")
		return
	}
	fault, value, _ := strings.Cut(r.Header.Get("X-Cloud"), "=")
	switch fault {
	case "status":
		status, err := strconv.Atoi(value)
		if err != nil || status < 400 || status > 599 {
			providerError(w, http.StatusBadRequest, "That is no status.", "bad_status")
			return
		}
		w.Header().Set("Retry-After", "17")
		w.Header().Set("X-Request-Id", "req_7")
		providerError(w, status, "The provider says "+value+".", "provider_"+value)
	case "hang":
		holdOn(r)
	case "silence", "cut":
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: {\"choices\":[{\"delta\":{\"content\":\"Once\"}}]}\n\n")
		_ = http.NewResponseController(w).Flush()
		if fault == "cut" {
			panic(http.ErrAbortHandler)
		}
		holdOn(r)
	case "echo":
		echo(w, r)
	default:
		p.model.ServeHTTP(w, r)
	}
}

// holdOn keeps a request until its client has left.
func holdOn(r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
	panic(http.ErrAbortHandler) // to return would end the answer in good order
}

// echo tells what of a request came here. The key stays out of it.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.Header.Set("Authorization", "the right one")
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"path": r.URL.Path, "query": r.URL.RawQuery, "protocol": r.Proto, "header": r.Header, "body": string(body),
	})
}

// providerError answers in OpenAI's shape.
func providerError(w http.ResponseWriter, status int, message, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, "{\n  \"error\": {\"message\": %q, \"type\": \"provider_error\", \"param\": null, \"code\": %q}\n}\n", message, code)
}

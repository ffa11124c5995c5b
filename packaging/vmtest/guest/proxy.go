package main

import (
	"context"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
)

// proxyToPort forwards a request to the port of this VM that its Host names, 127.0.0.1:8001.
func proxyToPort(w http.ResponseWriter, r *http.Request) {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil || !net.ParseIP(host).IsLoopback() {
		http.Error(w, "the agent forwards to ports of 127.0.0.1, not to "+r.Host, http.StatusBadRequest)
		return
	}
	proxyTo("tcp", r.Host).ServeHTTP(w, r)
}

// proxyTo forwards requests to one address, each on a connection of its own: one that a restart closed must not fail the
// request after it. Streams pass as they come. An address that does not answer is 502, with a header that no server in
// the VM sends.
func proxyTo(network, address string) http.Handler {
	transport := &http.Transport{
		DisableKeepAlives:  true,
		DisableCompression: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}
	return &httputil.ReverseProxy{
		Transport:     transport,
		FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: r.In.Host})
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			w.Header().Set("Bed-Agent", "unreachable")
			http.Error(w, err.Error(), http.StatusBadGateway)
		},
	}
}

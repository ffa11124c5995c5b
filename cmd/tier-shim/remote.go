package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"time"
)

// remote serves the tier by forwarding to an HTTPS server, from admission to its end.
func (s *shim) remote() *end {
	ctx := s.stop.ctx
	up, err := newUpstream(s.opts, lookup(s.env, "CREDENTIALS_DIRECTORY"), nil)
	if err != nil {
		return failed(classConfiguration, "%s", capital(err.Error()))
	}
	s.note.send("STATUS=Asking for admission")
	s.note.extend(admitWait + 10*time.Second)
	if refused := s.admission(ctx); ctx.Err() != nil || refused != nil {
		return orStopped(refused, ctx)
	}
	if held := clearSocket(s.opts.socket); held != nil {
		return held
	}
	if last := s.reachable(ctx, up); last != nil {
		return last
	}
	listener, err := net.Listen("unix", s.opts.socket)
	if err != nil {
		return failed(classPort, "Cannot listen on the tier's socket: %v", plainNet(err))
	}
	return s.forward(ctx, listener, up)
}

// reachable waits until upstream answers with the key that it was given; nil means that it did. A refused key is final,
// all else is tried again until the load timeout is over: at boot the network comes up late.
func (s *shim) reachable(ctx context.Context, up *upstream) *end {
	s.status("Trying " + up.host())
	started := time.Now()
	for pause := 200 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		s.note.extend(upstreamProbe + 30*time.Second)
		err := up.probe(ctx)
		var refused *keyRefused
		switch {
		case ctx.Err() != nil:
			return stopped("Stopped before the server had answered")
		case err == nil:
			return nil
		case errors.As(err, &refused):
			return failed(classConfiguration, "%s", capital(err.Error()))
		case time.Since(started) > s.opts.loadTimeout:
			return failed(classTimeout, "%s", capital(err.Error()))
		}
		s.status(fmt.Sprintf("%s; trying again", capital(err.Error())))
		sleep(ctx, pause)
	}
}

// forward serves until it is told to stop.
func (s *shim) forward(stop context.Context, listener net.Listener, up *upstream) *end {
	journal := log.New(s.stderr, "tier-shim: ", 0)
	server := &http.Server{
		Handler:           up.handler(journal),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          journal,
	}
	gone := make(chan error, 1)
	go func() { gone <- server.Serve(listener) }()
	s.note.send("READY=1", "STATUS=Ready, forwarding to "+up.host())
	s.say("ready, forwarding to %s", up.host())

	probe := newProber("remote", s.opts.socket, "")
	if interval := watchdogInterval(s.env, os.Getpid()); interval > 0 {
		s.note.send("WATCHDOG=1")
		go s.feedWhileServing(stop, probe, interval)
	}
	select {
	case err := <-gone:
		return failed(classEngineDied, "Cannot serve any longer: %v", err)
	case <-stop.Done():
	}
	s.note.send("STOPPING=1", "STATUS=Draining: waiting for the requests in flight")
	s.note.extend(s.opts.drain + 10*time.Second)
	s.drain(nil, up.inFlight)
	bounded, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if server.Shutdown(bounded) != nil {
		server.Close() // the streams that outlived the drain are cut, so that their clients see it
	}
	return stopped("Stopped")
}

// feedWhileServing feeds the watchdog as long as the forwarder itself answers. Whether upstream does is no reason to
// restart: its errors reach the clients as they are.
func (s *shim) feedWhileServing(ctx context.Context, probe *prober, interval time.Duration) {
	for sleep(ctx, interval/3); ctx.Err() == nil; sleep(ctx, interval/3) {
		bounded, cancel := context.WithTimeout(ctx, interval/6)
		if probe.healthy(bounded) == nil {
			s.note.send("WATCHDOG=1")
		}
		cancel()
	}
}

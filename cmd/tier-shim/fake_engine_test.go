package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

// fakeEngine is a model server with faults that a real one cannot be made to show. It obeys its flags, and once it
// serves, requests below /test/.
func fakeEngine(args []string) int {
	flags := flag.NewFlagSet("engine", flag.ContinueOnError)
	socket := flags.String("socket", "", "where to listen")
	say := flags.String("say", "", "line to print on standard error at once")
	exit := flags.Int("exit", -1, "end at once with this status")
	die := flags.Int("die", 0, "end at once by this signal")
	never := flags.Bool("never", false, "stay at 503")
	mute := flags.Bool("mute", false, "never listen")
	flood := flags.Bool("flood", false, "fill the log for ever")
	stubborn := flags.Bool("stubborn", false, "ignore SIGTERM")
	child := flags.Bool("child", false, "start a helper and print its pid")
	embeddings := flags.Bool("embeddings", false, "refuse completions")
	helper := flags.Bool("helper", false, "be the helper")
	flags.Bool("help", false, "")
	if flags.Parse(args) != nil {
		return 2
	}
	if len(args) > 0 && args[len(args)-1] == "--help" {
		fmt.Println("-s,  --socket PATH   where\n--say TEXT           what\n--never              see --mute")
		return 0
	}
	fmt.Printf("engine pid=%d notify=%q args=%q\n", os.Getpid(), os.Getenv("NOTIFY_SOCKET"), args)
	if *say != "" {
		fmt.Fprintln(os.Stderr, *say)
	}
	switch {
	case *helper:
		signal.Ignore(syscall.SIGTERM)
		time.Sleep(time.Hour)
	case *exit >= 0:
		return *exit
	case *die > 0:
		// Go's runtime makes its own of some signals, a shell does not.
		syscall.Exec("/bin/sh", []string{"sh", "-c", fmt.Sprintf("kill -%d $$", *die)}, nil)
	}
	if *stubborn {
		signal.Ignore(syscall.SIGTERM)
	}
	if *child {
		cmd := exec.Command(os.Args[0], "--helper")
		if cmd.Start() == nil {
			fmt.Printf("helper pid=%d\n", cmd.Process.Pid)
		}
	}
	if *flood {
		go fillLog()
	}
	if *mute {
		time.Sleep(time.Hour)
	}
	listener, err := net.Listen("unix", *socket)
	if err != nil {
		fmt.Fprintln(os.Stderr, "couldn't bind HTTP server socket:", err)
		return 1
	}
	http.Serve(listener, fakeServer(*never, *embeddings))
	return 1
}

// fillLog writes lines without end, and one line without end.
func fillLog() {
	line := bytes.Repeat([]byte("srv  update_slots: all slots are idle\n"), 100)
	for {
		os.Stdout.Write(line)
		os.Stderr.Write(bytes.Repeat([]byte("x"), 8<<10))
	}
}

// fakeServer speaks the part of both engines' HTTP that the shim uses.
func fakeServer(never, embeddings bool) http.Handler {
	var stuck, sick atomic.Bool
	var load, tokens atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, r *http.Request) {
		if sick.Load() {
			<-r.Context().Done()
		}
		if never {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `{"data":[{"id":"a-name","aliases":["a-name","t"]}]}`)
	})
	mux.HandleFunc("POST /v1/completions", func(w http.ResponseWriter, r *http.Request) {
		if embeddings {
			w.WriteHeader(http.StatusNotImplemented)
			return
		}
		if stuck.Load() {
			<-r.Context().Done()
			return
		}
		tokens.Add(1)
		io.WriteString(w, `{"choices":[{"text":"b"}]}`)
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "vllm:generation_tokens_total{engine=\"0\"} %d\nvllm:num_requests_running{engine=\"0\"} 0\n", tokens.Load())
	})
	mux.HandleFunc("GET /load", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"server_load": %d}`, load.Load())
	})
	mux.HandleFunc("POST /test/exit/{status}", func(w http.ResponseWriter, r *http.Request) {
		status, _ := strconv.Atoi(r.PathValue("status"))
		os.Exit(status)
	})
	mux.HandleFunc("POST /test/stuck", func(w http.ResponseWriter, r *http.Request) { stuck.Store(true); load.Store(3) })
	mux.HandleFunc("POST /test/load/{n}", func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.ParseInt(r.PathValue("n"), 10, 64)
		load.Store(n)
	})
	mux.HandleFunc("POST /test/sick", func(w http.ResponseWriter, r *http.Request) { sick.Store(true) })
	mux.HandleFunc("POST /test/term", func(w http.ResponseWriter, r *http.Request) {
		signal.Ignore(syscall.SIGTERM)
	})
	return http.TimeoutHandler(mux, time.Hour, "")
}

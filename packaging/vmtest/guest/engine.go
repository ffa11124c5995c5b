package main

import (
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/tierd/tierd/packaging/vmtest/script"
)

// engine is a model server that says what a script tells it to. tierd runs it as an engine of kind llama, so it has the
// flags of llama-server that tierd sets, and three of its own.
func engine(args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("engine", flag.ContinueOnError)
	flags.SetOutput(stdout)
	host := flags.String("host", "127.0.0.1:8080", "address, or a path that ends in .sock")
	path := flags.String("script", "", "what to say")
	e := &script.Engine{Out: stdout}
	flags.StringVar(&e.Tier, "tier", "", "whose engine this is")
	flags.StringVar(&e.Variant, "variant", "", "and which of its variants")
	flags.StringVar(&e.Model, "alias", "", "the name to serve")
	flags.IntVar(&e.Context, "c", 4096, "tokens, for all requests at once")
	flags.IntVar(&e.Slots, "np", 1, "requests at once")
	for _, known := range []string{"m", "t", "ngl", "fa"} {
		flags.String(known, "", "is not used")
	}
	for _, known := range []string{"metrics", "jinja"} {
		flags.Bool(known, false, "is always so")
	}
	if err := flags.Parse(args); err != nil {
		if err == flag.ErrHelp {
			return nil
		}
		return err
	}
	e.Path, e.Context = *path, e.Context/e.Slots
	network := "tcp"
	if strings.HasSuffix(*host, ".sock") {
		network = "unix"
	}
	listener, err := net.Listen(network, *host)
	if err != nil {
		return err
	}
	fmt.Fprintln(stdout, "listening on", *host)
	failed := make(chan error, 2)
	go func() { failed <- http.Serve(listener, e) }()
	if err := e.Load(); err != nil {
		return err
	}
	fmt.Fprintln(stdout, "model loaded")
	return <-failed
}

package main

import (
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/tierd/tierd/agent/hub/hubtest"
)

// serveHub stands for a hub of models, whose large files are on a second host as at huggingface.co.
func serveHub(args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("hub", flag.ContinueOnError)
	root := flags.String("root", "", "folder with the repositories, ORG/NAME/FILE")
	listen := flags.String("listen", "127.0.0.1:9700", "address")
	contents := flags.String("contents", "127.0.0.1:9701", "address of the second host")
	stop := flags.Int("stop", 0, "bytes of a large file after which nothing more is sent; 0: all are")
	if err := flags.Parse(args); err != nil {
		return err
	}
	repos, err := hubtest.Read(*root)
	if err != nil {
		return err
	}
	h := &hubtest.Hub{Repos: repos, Large: 1 << 20, CDN: "http://" + *contents}
	if *stop > 0 {
		h.Fault = hubtest.StopAt(*stop)
	}
	second, err := net.Listen("tcp", *contents)
	if err != nil {
		return err
	}
	ended := make(chan error, 2)
	go func() { ended <- http.Serve(second, http.HandlerFunc(h.ServeCDN)) }()
	go func() { ended <- http.ListenAndServe(*listen, h) }()
	fmt.Fprintln(stdout, "hub on", *listen)
	return <-ended
}

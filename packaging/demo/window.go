package main

import (
	"context"
	"io"
	"net"

	"github.com/tierd/tierd/packaging/vmtest"
)

// openWindow listens on a free port of this machine's loopback and connects whoever comes with port 8000 of the bed, whose
// network no browser reaches. It ends with the listener.
func openWindow(bed *vmtest.Bed) (net.Listener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			outside, err := l.Accept()
			if err != nil {
				return
			}
			go look(bed, outside)
		}
	}()
	return l, nil
}

func look(bed *vmtest.Bed, outside net.Conn) {
	defer outside.Close()
	inside, err := bed.Dial(context.Background(), "tcp", "127.0.0.1:8000")
	if err != nil {
		return // the browser sees a connection that was closed, as it would of a gateway that is down
	}
	defer inside.Close()
	go func() {
		_, _ = io.Copy(inside, outside)
		inside.Close()
	}()
	_, _ = io.Copy(outside, inside)
}

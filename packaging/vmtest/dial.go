package vmtest

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Dial connects from inside the bed's network namespace. A socket belongs to the namespace of the thread that makes it,
// so a locked thread steps in, dials an address that needs no name lookup (which would run elsewhere), and is thrown
// away: the Go runtime ends a thread whose goroutine ends while locked to it.
func (b *Bed) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	type dialled struct {
		conn net.Conn
		err  error
	}
	done := make(chan dialled, 1)
	go func() {
		runtime.LockOSThread()
		conn, err := b.dialInside(ctx, network, address)
		done <- dialled{conn, err}
	}()
	d := <-done
	return d.conn, d.err
}

func (b *Bed) dialInside(ctx context.Context, network, address string) (net.Conn, error) {
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", b.Pid()))
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("cannot enter the bed's network: %w", err)
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}

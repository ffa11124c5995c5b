package vmtest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/tierd/tierd/packaging/vmtest/wire"
)

// awaitGreeting reads until the agent says that it is there.
func awaitGreeting(r io.Reader) error {
	got := make([]byte, len(wire.Greeting))
	if _, err := io.ReadFull(r, got); err != nil {
		return err
	}
	if string(got) != wire.Greeting {
		return fmt.Errorf("it says %q", got)
	}
	return nil
}

// lineClient is a client of all that a VM's agent reaches: "agent" is the agent itself, "tierd" tierd's control socket,
// and "127.0.0.1:PORT" a port in the VM.
func lineClient(ctx context.Context, conn net.Conn) (Client, error) {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{
		Protocols:          &protocols,
		DisableCompression: true,
		DialContext:        func(context.Context, string, string) (net.Conn, error) { return conn, nil },
	}
	only, err := transport.NewClientConn(ctx, "http", "vm:80")
	if err != nil {
		return Client{}, fmt.Errorf("cannot speak to the VM's agent: %w", err)
	}
	return Client{&http.Client{Transport: only}}, nil
}

// Control is a client of tierd's control socket in the VM, at http://tierd/.
func (v *VM) Control() *http.Client { return v.http }

// Execute runs a shell command in the VM, as root, with a plain environment, and passes its output on as it comes. It
// returns the exit status, 128+N for signal N. When ctx ends, the command is killed.
func (v *VM) Execute(ctx context.Context, script string, stdout, stderr io.Writer) (exit int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://agent/run", strings.NewReader(script))
	if err != nil {
		return 0, err
	}
	res, err := v.http.Do(req)
	if err == nil {
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return 0, fmt.Errorf("the VM's agent answers %s", res.Status)
		}
		exit, err = wire.Copy(stdout, stderr, res.Body)
	}
	if ctx.Err() != nil {
		return 0, fmt.Errorf("%q did not end in time: %w", script, ctx.Err())
	}
	return exit, err
}

// Run runs a shell command in the VM. A command that fails is a Result, not an error.
func (v *VM) Run(ctx context.Context, script string) (Result, error) {
	var stdout, stderr bytes.Buffer
	exit, err := v.Execute(ctx, script, &stdout, &stderr)
	return Result{Stdout: stdout.String(), Stderr: stderr.String(), Exit: exit}, err
}

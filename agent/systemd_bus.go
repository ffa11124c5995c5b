package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/godbus/dbus/v5"
)

// Names of the manager on D-Bus (org.freedesktop.systemd1(5)).
const (
	systemdName    = "org.freedesktop.systemd1"
	managerPath    = dbus.ObjectPath("/org/freedesktop/systemd1")
	managerIface   = "org.freedesktop.systemd1.Manager"
	propertyIface  = "org.freedesktop.DBus.Properties"
	unitPathPrefix = "/org/freedesktop/systemd1/unit/"
)

// systemBus is where the bus listens unless DBUS_SYSTEM_BUS_ADDRESS says otherwise. The library would look for the socket
// first, and could then not say which one is missing.
const systemBus = "unix:path=/run/dbus/system_bus_socket"

// callLimit bounds one message to the manager. A daemon-reload keeps it from answering for as long as its generators
// run, some hundred milliseconds in general.
const callLimit = 20 * time.Second

// How long a lost bus is left alone between two attempts to reach it.
const (
	reconnectMin = 100 * time.Millisecond
	reconnectMax = 5 * time.Second
)

// Bus is systemd by way of the system bus. It uses the real bus and not the manager's private socket, because a unit can
// only be kept loaded (AddRef) by a client of the bus. Everything that belongs to one connection is in a session: when
// the bus goes away, references go with it, and the agent adopts and defines anew.
type Bus struct {
	log     *slog.Logger
	root    string
	address string // of the bus
	dial    func(ctx context.Context, address string) (*dbus.Conn, error)

	close func()
	hints hints

	mu      sync.Mutex
	session *session
	failure error         // of the last attempt to reach the bus; nil while there is a session, and before the first attempt
	changed chan struct{} // closed and replaced whenever session or failure is another
	version string
}

// NewSystemd returns systemd of this machine. It connects, and connects again when the bus went away, until Close.
func NewSystemd(log *slog.Logger) *Bus {
	b := newBus(log, "/", func(ctx context.Context, address string) (*dbus.Conn, error) {
		return dbus.Connect(address, dbus.WithContext(ctx), dbus.WithSignalHandler(dbus.NewSequentialSignalHandler()))
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { b.keep(ctx); close(ended) }()
	b.close = func() { cancel(); <-ended }
	return b
}

// newBus makes a Bus. root is where /etc/systemd and /run/tierd are found: "/", or a tree in tests.
func newBus(log *slog.Logger, root string, dial func(context.Context, string) (*dbus.Conn, error)) *Bus {
	address := cmp.Or(os.Getenv("DBUS_SYSTEM_BUS_ADDRESS"), systemBus)
	return &Bus{log: log, root: root, address: address, dial: dial, changed: make(chan struct{}), hints: newHints()}
}

// Close ends the connection, and with it every reference: systemd forgets the tiers that do not run.
func (b *Bus) Close() { b.close() }

// keep holds the connection until ctx ends.
func (b *Bus) keep(ctx context.Context) {
	wait := reconnectMin
	for ctx.Err() == nil {
		err := b.connected(ctx, func() { wait = reconnectMin })
		if ctx.Err() != nil {
			return
		}
		b.log.Warn("not connected to systemd", "err", err, "again_in", wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
		wait = min(2*wait, reconnectMax)
	}
}

// connected opens a session and serves it until it ends.
func (b *Bus) connected(ctx context.Context, established func()) error {
	conn, s, version, err := b.connect(ctx)
	if err != nil {
		b.note(nil, err)
		return err
	}
	defer conn.Close()
	established()
	b.log.Info("connected to systemd", "version", version)
	b.mu.Lock()
	first := b.version == ""
	b.version = version
	b.mu.Unlock()
	if first {
		b.unblockAll() // before anybody can define
	}
	b.note(s, nil)
	b.hints.give(true)
	defer func() {
		b.note(nil, nil)
		s.end()
		b.hints.give(true)
	}()
	for {
		select {
		case sig, ok := <-s.signals:
			if !ok {
				return ErrDisconnected
			}
			s.take(sig)
		case <-conn.Context().Done():
			return ErrDisconnected
		}
	}
}

// connect reaches the bus, and the manager on it.
func (b *Bus) connect(ctx context.Context) (conn *dbus.Conn, s *session, version string, err error) {
	conn, err = b.dial(ctx, b.address)
	if err != nil {
		return nil, nil, "", b.unreachable(err)
	}
	s = newSession(conn, &b.hints)
	s.signals = make(chan *dbus.Signal, 64)
	conn.Signal(s.signals)
	if err = s.subscribe(ctx); err == nil {
		version, err = s.managerVersion(ctx)
	}
	if err != nil {
		conn.Close()
	}
	return conn, s, version, err
}

// unreachable says which bus cannot be reached, and why.
func (b *Bus) unreachable(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		err = errno // what stands around it repeats the path
	}
	return fmt.Errorf("cannot reach the system bus at %s: %w", strings.TrimPrefix(b.address, "unix:path="), err)
}

// note keeps the session, or why there is none, and wakes those who wait for either.
func (b *Bus) note(s *session, failure error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.session, b.failure = s, failure
	close(b.changed)
	b.changed = make(chan struct{})
}

// open returns the session, and waits for one as long as ctx allows.
func (b *Bus) open(ctx context.Context) (*session, error) { return b.await(ctx, true) }

// openNow returns the session, and waits at most for the attempt to reach the bus that is under way.
func (b *Bus) openNow(ctx context.Context) (*session, error) { return b.await(ctx, false) }

func (b *Bus) await(ctx context.Context, patient bool) (*session, error) {
	for {
		b.mu.Lock()
		s, failure, changed := b.session, b.failure, b.changed
		b.mu.Unlock()
		if s != nil || failure != nil && !patient {
			return s, failure
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if failure == nil {
				failure = b.unreachable(ctx.Err())
			}
			return nil, fmt.Errorf("%w: %w", ErrDisconnected, failure)
		}
	}
}

// Version is the manager's, "" until it was reached.
func (b *Bus) Version() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.version
}

// Changed carries hints; true means that everything may be different.
func (b *Bus) Changed() <-chan bool { return b.hints.ch }

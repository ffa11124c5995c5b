package agent

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
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
	log  *slog.Logger
	root string
	dial func(context.Context) (*dbus.Conn, error)

	close func()
	hints hints

	mu      sync.Mutex
	session *session
	up      chan struct{} // closed while there is a session
	version string
}

// NewSystemd returns systemd of this machine. It connects, and connects again when the bus went away, until Close.
func NewSystemd(log *slog.Logger) *Bus {
	b := newBus(log, "/", func(ctx context.Context) (*dbus.Conn, error) {
		return dbus.ConnectSystemBus(dbus.WithContext(ctx), dbus.WithSignalHandler(dbus.NewSequentialSignalHandler()))
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { b.keep(ctx); close(ended) }()
	b.close = func() { cancel(); <-ended }
	return b
}

// newBus makes a Bus. root is where /etc/systemd and /run/tierd are found: "/", or a tree in tests.
func newBus(log *slog.Logger, root string, dial func(context.Context) (*dbus.Conn, error)) *Bus {
	return &Bus{log: log, root: root, dial: dial, up: make(chan struct{}), hints: newHints()}
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
	conn, err := b.dial(ctx)
	if err != nil {
		return fmt.Errorf("cannot reach the system bus: %w", err)
	}
	defer conn.Close()
	s := newSession(conn, &b.hints)
	signals := make(chan *dbus.Signal, 64)
	conn.Signal(signals)
	if err := s.subscribe(ctx); err != nil {
		return err
	}
	version, err := s.managerVersion(ctx)
	if err != nil {
		return err
	}
	established()
	b.log.Info("connected to systemd", "version", version)
	b.mu.Lock()
	b.session, b.version = s, version
	close(b.up)
	b.mu.Unlock()
	b.hints.give(true)
	defer func() {
		b.mu.Lock()
		b.session, b.up = nil, make(chan struct{})
		b.mu.Unlock()
		s.end()
		b.hints.give(true)
	}()
	for {
		select {
		case sig, ok := <-signals:
			if !ok {
				return ErrDisconnected
			}
			s.take(sig)
		case <-conn.Context().Done():
			return ErrDisconnected
		}
	}
}

// open returns the session, and waits for one as long as ctx allows.
func (b *Bus) open(ctx context.Context) (*session, error) {
	for {
		b.mu.Lock()
		s, up := b.session, b.up
		b.mu.Unlock()
		if s != nil {
			return s, nil
		}
		select {
		case <-up:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ErrDisconnected, ctx.Err())
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

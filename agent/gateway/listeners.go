package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/agent/api"
)

// storePrefix begins the names of listeners in the fd store; the port follows.
const storePrefix = "tier-"

func storeName(port int) string { return storePrefix + strconv.Itoa(port) }

// A port that somebody else holds is tried again after a second, later less often: nothing tells when it gets free.
const (
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
)

// listeners are the ports that are open. Only Run's goroutine calls its methods, but for report.
type listeners struct {
	log   *slog.Logger
	store fdStore
	slots *slots
	over  func(code string) // called for a connection that is one too many
	serve func(limitedListener)
	open  map[int]*net.TCPListener
	stash map[int]*net.TCPListener // inherited, and not asked for by a table yet
	pause time.Duration            // before the next attempt at what failed

	mu    sync.Mutex
	state []api.Listener
}

func newListeners(log *slog.Logger, store fdStore, conns int, over func(string), serve func(limitedListener)) *listeners {
	return &listeners{
		log: log, store: store, slots: newSlots(conns), over: over, serve: serve,
		open: map[int]*net.TCPListener{}, stash: map[int]*net.TCPListener{},
	}
}

// adopt takes the listeners that were inherited. They wait for the first table: a client that connects meanwhile is
// held by the kernel and not turned away.
func (l *listeners) adopt(in *Inherited) {
	for name, fds := range in.rest() {
		for _, fd := range fds {
			tcp, err := listenerFrom(fd, name)
			if err != nil {
				l.log.Warn("dropped an inherited descriptor", "name", name, "err", err)
				if name != "" {
					_ = l.store.drop(name)
				}
				continue
			}
			l.stash[tcp.Addr().(*net.TCPAddr).Port] = tcp
		}
	}
}

// listenerFrom makes a listener of a descriptor and closes the descriptor, of which the listener has its own copy.
func listenerFrom(fd int, name string) (*net.TCPListener, error) {
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	if !strings.HasPrefix(name, storePrefix) {
		return nil, errors.New("its name is not one of the gateway's")
	}
	// A handed-over socket shares its O_NONBLOCK with the predecessor's: both need it.
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, err
	}
	any, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	tcp, ok := any.(*net.TCPListener)
	if !ok {
		any.Close()
		return nil, fmt.Errorf("it listens on %s, not on TCP", any.Addr().Network())
	}
	return tcp, nil
}

// sync opens what the table asks for and closes the rest, and leaves alone what is right already. It tells after what
// time to call it again, 0 when everything is open.
func (l *listeners) sync(host string, want map[int]string) time.Duration {
	for port, tcp := range l.stash {
		delete(l.stash, port)
		if _, wanted := want[port]; wanted && l.open[port] == nil && listensOn(tcp, host) {
			l.start(port, tcp)
			continue
		}
		l.stop(port, tcp)
	}
	for port, tcp := range l.open {
		if _, wanted := want[port]; !wanted || !listensOn(tcp, host) {
			delete(l.open, port)
			l.stop(port, tcp)
		}
	}
	before := l.report()
	state := make([]api.Listener, 0, len(want))
	failed := false
	for port, tier := range want {
		entry := api.Listener{Tier: tier, Port: port}
		if l.open[port] == nil {
			if err := l.listen(host, port); err != nil {
				failed = true
				entry.Error = err.Error()
				if !slices.Contains(before, entry) {
					l.log.Warn("cannot listen", "tier", tier, "port", port, "err", err)
				}
			}
		}
		state = append(state, entry)
	}
	slices.SortFunc(state, func(a, b api.Listener) int { return a.Port - b.Port })
	l.mu.Lock()
	l.state = state
	l.mu.Unlock()
	if !failed {
		l.pause = 0
		return 0
	}
	l.pause = min(max(l.pause*2, firstRetry), lastRetry)
	return l.pause
}

// listen opens a port and puts it into the fd store.
func (l *listeners) listen(host string, port int) error {
	var config net.ListenConfig
	config.SetMultipathTCP(false) // clients are on this machine
	any, err := config.Listen(context.Background(), "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		var errno unix.Errno
		if errors.As(err, &errno) {
			return fmt.Errorf("cannot listen on port %d: %w", port, errno)
		}
		return fmt.Errorf("cannot listen on port %d: %w", port, err)
	}
	tcp := any.(*net.TCPListener)
	l.log.Info("listening", "address", tcp.Addr().String())
	l.start(port, tcp)
	l.keepOne(port, tcp)
	return nil
}

// keep puts every listener into the fd store. What is there already, the service manager knows to be the same.
func (l *listeners) keep() {
	for port, tcp := range l.open {
		l.keepOne(port, tcp)
	}
}

func (l *listeners) keepOne(port int, tcp *net.TCPListener) {
	if err := withFD(tcp, func(fd int) error { return l.store.keep(storeName(port), fd) }); err != nil {
		l.log.Warn("a listener will not outlive this process", "port", port, "err", err)
	}
}

func (l *listeners) start(port int, tcp *net.TCPListener) {
	l.open[port] = tcp
	l.serve(limitedListener{tcp, l.slots, l.over})
}

func (l *listeners) stop(port int, tcp *net.TCPListener) {
	_ = tcp.Close()
	if err := l.store.drop(storeName(port)); err != nil {
		l.log.Warn("cannot drop a listener from the fd store", "port", port, "err", err)
	}
	l.log.Info("stopped listening", "address", tcp.Addr().String())
}

// close stops accepting without taking anything out of the fd store: clients wait there for whoever comes next.
func (l *listeners) close() {
	for _, tcp := range l.open {
		_ = tcp.Close()
	}
	for _, tcp := range l.stash {
		_ = tcp.Close()
	}
}

// connected is the number of clients' connections.
func (l *listeners) connected() int {
	used, _ := l.slots.count()
	return used
}

// report is what tierd is told of the ports.
func (l *listeners) report() []api.Listener {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.state)
}

// listensOn tells whether a listener has the address that the table names. A host that is no address is looked up by
// net.Listen; then only another port makes a difference.
func listensOn(tcp *net.TCPListener, host string) bool {
	ip := net.ParseIP(host)
	at := tcp.Addr().(*net.TCPAddr).IP
	return ip == nil || ip.Equal(at) || ip.IsUnspecified() && at.IsUnspecified()
}

// withFD lends out the descriptor of a listener. File() is no way to it: os.File.Fd may clear O_NONBLOCK, which is
// the socket's and not the descriptor's, and then Accept would block a thread and never hear of Close.
func withFD(tcp *net.TCPListener, use func(fd int) error) error {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return err
	}
	var used error
	if err := raw.Control(func(fd uintptr) { used = use(int(fd)) }); err != nil {
		return err
	}
	return used
}

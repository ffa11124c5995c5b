package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// peer is who connected, as the kernel saw it at connect(2). A process that changes its uid later stays who it was.
type peer struct {
	uid, gid uint32
	pid      int32
	groups   []uint32 // supplementary
	known    bool
}

// peerOf asks the kernel (unix(7), SO_PEERCRED). The groups come by SO_PEERGROUPS (Linux 4.13): those of the process
// itself, so that neither a changed /etc/group nor a name service matters.
func peerOf(c *net.UnixConn) (peer, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return peer{}, err
	}
	var p peer
	var failed error
	err = raw.Control(func(fd uintptr) {
		cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err != nil {
			failed = fmt.Errorf("cannot read the peer's credentials: %w", err)
			return
		}
		p = peer{uid: cred.Uid, gid: cred.Gid, pid: cred.Pid, known: true}
		// No groups means fewer rights, never more, so that failure is not one of the whole.
		if groups, err := peerGroups(fd); err == nil {
			p.groups = groups
		}
	})
	return p, errors.Join(err, failed)
}

// peerGroups reads SO_PEERGROUPS; the kernel answers ERANGE with the size that it needs.
func peerGroups(fd uintptr) ([]uint32, error) {
	const gidSize = unsafe.Sizeof(uint32(0))
	gids := make([]uint32, 32)
	for range 3 { // credentials of a connection never change: the second round has the right size
		size := uint32(uintptr(len(gids)) * gidSize)
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&gids[0])), uintptr(unsafe.Pointer(&size)), 0)
		count := int(uintptr(size) / gidSize)
		switch errno {
		case 0:
			return gids[:count], nil
		case unix.ERANGE:
			gids = make([]uint32, max(count, 2*len(gids)))
		default:
			return nil, errno
		}
	}
	return nil, unix.ERANGE
}

type peerKey struct{}

// withPeer is http.Server's ConnContext: it puts the peer, read at accept, where the handlers find it.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, peerKey{}, peerAt(c))
}

// peerFrom is the zero peer, with the least rights, when nobody knows who asks.
func peerFrom(ctx context.Context) peer {
	p, _ := ctx.Value(peerKey{}).(peer) // missing means unknown
	return p
}

// peerListener reads the peer at accept and bounds how many connections one user may hold.
type peerListener struct {
	net.Listener
	limit int
	log   *slog.Logger

	mu    sync.Mutex
	count map[uint32]int  // open connections by uid
	told  map[uint32]bool // users whose excess is in the journal, until their last connection is closed
}

func newPeerListener(l net.Listener, limit int, log *slog.Logger) *peerListener {
	return &peerListener{Listener: l, limit: limit, log: log, count: map[uint32]int{}, told: map[uint32]bool{}}
}

// Accept closes what is over the limit, so that the others are served.
func (l *peerListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		uc, ok := c.(*net.UnixConn)
		if !ok {
			return c, nil
		}
		p, err := peerOf(uc)
		if err != nil {
			l.log.Warn("cannot tell who connected", "err", err)
		}
		if l.enter(p) {
			return &peerConn{UnixConn: uc, peer: p, left: sync.OnceFunc(func() { l.leave(p) })}, nil
		}
		if l.firstExcess(p) {
			l.log.Warn("refused a connection: too many of one user", "uid", p.uid, "pid", p.pid, "limit", l.limit)
		}
		uc.Close()
	}
}

func (l *peerListener) enter(p peer) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count[p.uid] >= l.limit && !(p.known && p.uid == 0) {
		return false
	}
	l.count[p.uid]++
	return true
}

func (l *peerListener) leave(p peer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count[p.uid]--; l.count[p.uid] == 0 {
		delete(l.count, p.uid)
		delete(l.told, p.uid)
	}
}

// firstExcess keeps a user who connects in a loop from filling the journal.
func (l *peerListener) firstExcess(p peer) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := !l.told[p.uid]
	l.told[p.uid] = true
	return first
}

// serveEach answers each connection in a goroutine of its own until ctx ends, and returns once none is at work any more.
func serveEach(ctx context.Context, l net.Listener, log *slog.Logger, answer func(context.Context, net.Conn)) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	var open sync.WaitGroup
	defer open.Wait()
	for {
		c, err := l.Accept()
		switch {
		case err == nil:
			open.Go(func() { answer(ctx, c) })
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		default: // out of descriptors, most likely: who connects waits in the backlog
			log.Warn("cannot accept a connection", "err", err)
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(time.Second):
			}
		}
	}
}

// peerAt is who is at the other end of a connection, the zero peer when nobody knows.
func peerAt(c net.Conn) peer {
	if pc, ok := c.(*peerConn); ok {
		return pc.peer
	}
	return peer{}
}

// peerConn is a connection with its peer.
type peerConn struct {
	*net.UnixConn
	peer peer
	left func()
}

// Close gives the user's place back.
func (c *peerConn) Close() error {
	c.left()
	return c.UnixConn.Close()
}

package gateway

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/agent/api"
)

// Names of the descriptors that a predecessor hands over beside the listeners and the table.
const (
	readyName = "ready" // the successor writes a byte into it when it serves
	elderName = "elder" // the predecessor writes lines into it: what it still serves, by unit
)

// successorLimit is how long a successor may take until it serves.
const successorLimit = 15 * time.Second

// idleGrace is how long a retiring process leaves idle connections of clients open: a client that just then sends its
// next request gets an answer, with Connection: close, where a closed connection would be an error to it.
const idleGrace = 30 * time.Second

// SpawnFunc starts a fresh process of this program with descriptors from 3 on, and with env added to the environment.
type SpawnFunc func(fds []int, env string) (pid int, err error)

// successor is the process that takes over.
type successor struct {
	pid  int
	pipe *os.File
	last string
}

// news is a line from a predecessor to its successor.
type news struct {
	Main bool           `json:"main"` // the successor is now the unit's main process
	Load map[string]int `json:"load"` // requests that the predecessor serves, by unit
}

// tell writes the news, when they are not what was written last.
func (s *successor) tell(n news) error {
	line, err := json.Marshal(n)
	if err != nil || string(line) == s.last {
		return err
	}
	s.last = string(line)
	_, err = s.pipe.Write(append(line, '\n'))
	return err
}

// promote makes the successor the unit's main process. The service manager must have read it before a word of the
// successor's can reach it, and before this process ends.
func (g *Gateway) promote(s *successor) {
	err := g.cfg.Notify.Send(fmt.Sprintf("MAINPID=%d\nREADY=1", s.pid))
	if err = errors.Join(err, g.cfg.Notify.Barrier(barrierLimit)); err != nil {
		g.log.Warn("cannot name the successor as the main process", "successor", s.pid, "err", err)
	}
}

// handOver starts a successor with every listener and the table, and waits until it serves. While both run both
// accept, so that no client is ever turned away. When it fails nothing has changed.
func (g *Gateway) handOver() (*successor, error) {
	if g.cfg.Spawn == nil {
		return nil, errors.New("this gateway cannot start a successor")
	}
	var ready, load [2]int
	if err := unix.Pipe2(ready[:], unix.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("cannot make a pipe to the successor: %w", err)
	}
	defer unix.Close(ready[0])
	if err := unix.Pipe2(load[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		unix.Close(ready[1])
		return nil, fmt.Errorf("cannot make a pipe to the successor: %w", err)
	}
	next := &successor{pipe: os.NewFile(uintptr(load[1]), elderName)}
	_ = next.tell(news{Load: g.pool.load()}) // a new pipe has room for one line
	names := []string{readyName, elderName, tableName}
	fds := []int{ready[1], load[0], g.memory.fd}
	var err error
	next.pid, err = g.spawnWith(names, fds)
	unix.Close(ready[1])
	unix.Close(load[0])
	if err == nil {
		if err = awaitReady(ready[0], successorLimit); err != nil {
			_ = syscall.Kill(next.pid, syscall.SIGKILL)
		}
	}
	if err != nil {
		next.pipe.Close()
		return nil, err
	}
	return next, nil
}

// spawnWith adds the listeners to what is handed over. Their descriptors are used while they are lent out, since a
// listener has no descriptor that others may keep.
func (g *Gateway) spawnWith(names []string, fds []int) (int, error) {
	for port, tcp := range g.ports.open {
		err := withFD(tcp, func(fd int) error {
			dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, firstFD)
			if err != nil {
				return fmt.Errorf("cannot hand over port %d: %w", port, err)
			}
			names, fds = append(names, storeName(port)), append(fds, dup)
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	defer func() {
		for _, fd := range fds[3:] {
			unix.Close(fd)
		}
	}()
	pid, err := g.cfg.Spawn(fds, handoverEnv+"="+strings.Join(names, ":"))
	if err != nil {
		return 0, fmt.Errorf("cannot start the successor: %w", err)
	}
	return pid, nil
}

// awaitReady waits for the successor's byte; the pipe's end without it means that it has failed.
func awaitReady(fd int, limit time.Duration) error {
	end := time.Now().Add(limit)
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(poll, int(max(time.Until(end), 0).Milliseconds()))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("cannot wait for the successor: %w", err)
		}
		if n == 0 {
			return fmt.Errorf("the successor was not ready within %v", limit)
		}
		var b [1]byte
		if n, err := unix.Read(fd, b[:]); err != nil || n != 1 {
			return errors.New("the successor ended before it was ready; its log says why")
		}
		return nil
	}
}

func sayReady(fd int) error {
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte{1}); err != nil {
		return fmt.Errorf("cannot tell the predecessor that this process is ready: %w", err)
	}
	return nil
}

// stepBack leaves new clients to the successor: whoever waited for the handover finds only that one.
func (g *Gateway) stepBack() {
	g.retiring.Store(true)
	g.pool.setHeir()
	g.hold.setHeir()
	g.ports.close()
	g.page.board.end()
}

// retire serves what is in flight to its end while the successor accepts. It goes on to hear of tables, since a tier
// that has to go must be let go by both, and it tells the successor what it still serves.
func (g *Gateway) retire(ctx context.Context, tables <-chan api.Table, s *successor) error {
	defer s.pipe.Close()
	done := make(chan struct{})
	go func() { g.outlast(ctx); close(done) }()
	for {
		if err := s.tell(news{Main: true, Load: g.pool.load()}); err != nil {
			g.log.Debug("cannot tell the successor what is in flight", "err", err)
		}
		select {
		case table := <-tables:
			g.apply(table)
		case <-g.changed:
		case <-done:
			return nil
		}
	}
}

// outlast returns when no client is connected any more, or no time is left.
func (g *Gateway) outlast(ctx context.Context) {
	grace, cancel := context.WithTimeout(ctx, idleGrace)
	defer cancel()
	for g.ports.connected() > 0 && grace.Err() == nil {
		wait(grace, 100*time.Millisecond)
	}
	bounded, cancel := context.WithTimeout(ctx, g.cfg.RetireBound)
	defer cancel()
	err := g.server.Shutdown(bounded)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		g.hold.stop()
		g.finish(g.cfg.StopBound)
	default:
		g.finish(0)
	}
}

// followElder hears from the predecessor what it still serves, until it has ended: a unit is not free before. The
// first line was written before this process was started.
func (g *Gateway) followElder(fd int, promoted chan<- struct{}) {
	f := os.NewFile(uintptr(fd), elderName)
	lines := bufio.NewScanner(f)
	main := false
	next := func() bool {
		var n news
		if !lines.Scan() || json.Unmarshal(lines.Bytes(), &n) != nil {
			f.Close()
			g.setElder(nil)
			return false
		}
		g.setElder(n.Load)
		if n.Main && !main {
			main = true
			promoted <- struct{}{}
		}
		return true
	}
	if next() {
		go func() {
			for next() {
			}
		}()
	}
}

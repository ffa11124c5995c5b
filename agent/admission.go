package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tierd/tierd/agent/api"
)

const (
	maxAdmitLine  = 4 << 10          // bytes of a shim's line
	admitLineTime = 10 * time.Second // for the shim to send it
	tierSlice     = "/tier.slice/"   // where the cgroups of all tiers are
)

// Admission answers the shims on the admission socket: one line of JSON from the shim, lines that say why it waits, one
// with the answer, then the connection ends. A shim that closes its end first has given up, and the agent's answer is no
// longer waited for.
type Admission struct {
	control Control
	log     *slog.Logger
	root    string
}

// NewAdmission returns a server of the admission socket. Callers are looked up in proc under root, "/" but in tests.
func NewAdmission(control Control, log *slog.Logger, root string) *Admission {
	return &Admission{control: control, log: log, root: root}
}

// Serve answers until ctx ends, and returns once no answer is being written any more.
func (a *Admission) Serve(ctx context.Context, l net.Listener) error {
	return serveEach(ctx, newPeerListener(l, connections, a.log), a.log, a.answer)
}

func (a *Admission) answer(ctx context.Context, c net.Conn) {
	defer c.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p := peerAt(c)
	answer, ok := a.ask(ctx, cancel, c, p)
	if !ok {
		return
	}
	if err := writeLine(c, answer); err != nil {
		a.log.Warn("cannot answer a shim", "pid", p.pid, "err", err)
	}
}

// writeLine writes a value as one line of JSON, to a reader that may not take it for ever.
func writeLine(c net.Conn, line any) error {
	text, err := json.Marshal(line)
	if err != nil {
		return err
	}
	if err := c.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return err
	}
	_, err = c.Write(append(text, '\n'))
	return err
}

// ask reads the shim's line and puts it to the agent. It is not ok when there is nobody left to answer: the shim's own
// ways for a tierd that is not there then hold, which is better than a refusal that only a restart of tierd caused.
func (a *Admission) ask(ctx context.Context, gone func(), c net.Conn, p peer) (answer api.AdmitAnswer, ok bool) {
	lines := bufio.NewReader(io.LimitReader(c, maxAdmitLine))
	if err := c.SetReadDeadline(time.Now().Add(admitLineTime)); err != nil {
		return answer, false
	}
	// tierd's end must not wait for a shim that sends nothing.
	stop := context.AfterFunc(ctx, func() { c.SetReadDeadline(time.Now()) })
	line, err := lines.ReadBytes('\n')
	stop()
	if err != nil {
		return answer, false
	}
	req, err := decode[api.AdmitRequest](line)
	if err == nil && req.Op != "start" && req.Op != "stop" {
		err = badRequest(`unknown op %q; it can be "start", "stop"`, req.Op)
	}
	if err != nil {
		return api.AdmitAnswer{Class: api.ClassConfiguration, Message: err.Error()}, true
	}
	unit, err := unitOf(a.root, p)
	if err != nil {
		a.log.Warn("refused a process that is no tier", "uid", p.uid, "pid", p.pid, "err", err)
		return api.AdmitAnswer{Class: api.ClassRefused, Message: err.Error()}, true
	}
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		return answer, false
	}
	go func() { // ends at the latest when answer closes the connection
		io.Copy(io.Discard, c)
		gone()
	}()
	answer = a.control.Admit(ctx, unit, req.Op, func(reason string) {
		if writeLine(c, api.AdmitAnswer{Wait: reason}) != nil {
			gone()
		}
	})
	return answer, ctx.Err() == nil
}

// unitOf is the tier's unit whose cgroup holds the peer. Only systemd and root can put a process below tier.slice; a
// user's own manager makes units of any name, but elsewhere. The peer waits for its answer, so its pid is its own.
func unitOf(root string, p peer) (string, error) {
	if !p.known || p.pid <= 0 { // 0: of another pid namespace
		return "", errors.New("cannot tell which tier asks: the process is not known here")
	}
	text, err := os.ReadFile(filepath.Join(root, "proc", fmt.Sprint(p.pid), "cgroup"))
	if err != nil {
		return "", fmt.Errorf("cannot tell which tier asks: %w", err)
	}
	unit, ok := parseCgroup(string(text))
	if !ok {
		return "", fmt.Errorf("only a tier's own unit may ask: process %d is in none", p.pid)
	}
	return unit, nil
}

// parseCgroup finds the unit in /proc/PID/cgroup of the unified hierarchy (cgroups(7)): "0::/tier.slice/tier-gpu.slice/
// tier-coder.service", with more below where the unit has cgroups of its own.
func parseCgroup(text string) (unit string, ok bool) {
	for line := range strings.Lines(text) {
		where, unified := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::")
		if !unified || !strings.HasPrefix(where, tierSlice) {
			continue
		}
		for part := range strings.SplitSeq(where, "/") {
			if strings.HasPrefix(part, "tier-") && strings.HasSuffix(part, ".service") {
				return part, true
			}
		}
	}
	return "", false
}

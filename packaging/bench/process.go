package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// tick is what /proc counts processor time in, on every architecture that Linux has today (USER_HZ).
const tick = 10 * time.Millisecond

// cpuTime is the user and system time of processes since their start.
func cpuTime(pids []int) (time.Duration, error) {
	var sum time.Duration
	for _, pid := range pids {
		path := fmt.Sprintf("/proc/%d/stat", pid)
		text, err := os.ReadFile(path)
		if err != nil {
			return 0, err
		}
		// The name, in brackets, may hold anything. utime and stime are fields 14 and 15.
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if len(fields) < 13 {
			return 0, fmt.Errorf("%s has %d fields after the name", path, len(fields))
		}
		for _, field := range fields[11:13] {
			n, err := strconv.ParseInt(field, 10, 64)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", path, err)
			}
			sum += time.Duration(n) * tick
		}
	}
	return sum, nil
}

// resident is VmRSS and VmHWM of a process, in bytes.
func resident(pid int) (now, peak uint64, err error) {
	path := fmt.Sprintf("/proc/%d/status", pid)
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		if name != "VmRSS" && name != "VmHWM" {
			continue
		}
		kib, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("%s: %w", path, err)
		}
		if name == "VmRSS" {
			now = kib << 10
		} else {
			peak = kib << 10
		}
	}
	if now == 0 || peak == 0 {
		return 0, 0, fmt.Errorf("%s tells no VmRSS or no VmHWM", path)
	}
	return now, peak, nil
}

// resetPeak has VmHWM begin anew.
func resetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}

// childrenOf lists the processes that a process has started.
func childrenOf(pid int) ([]int, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for word := range strings.FieldsSeq(string(text)) {
			child, err := strconv.Atoi(word)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			pids = append(pids, child)
		}
	}
	return pids, nil
}

// process is one that this program has started, which ends with it.
type process struct {
	*exec.Cmd
	log string // where its stderr goes
}

// start starts a process with its stderr in a file of dir.
func start(dir, name, path string, args ...string) (*process, error) {
	return startWith(dir, name, exec.Command(path, args...))
}

func startWith(dir, name string, cmd *exec.Cmd) (*process, error) {
	log, err := os.Create(filepath.Join(dir, name+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stderr = log
	// Not SIGKILL: nginx takes its workers with it only when it is asked to end.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", name, err)
	}
	return &process{cmd, log.Name()}, nil
}

func (p *process) pid() int { return p.Process.Pid }

// stop ends it in order. One that is gone already had no reason to be.
func (p *process) stop() error {
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		text, _ := os.ReadFile(p.log)
		return fmt.Errorf("%s ended by itself: %w\n%s", p.Path, err, text)
	}
	kill := time.AfterFunc(10*time.Second, func() { _ = p.Process.Kill() })
	defer kill.Stop()
	if err := p.Wait(); err != nil && !strings.Contains(err.Error(), "terminated") {
		text, _ := os.ReadFile(p.log)
		return fmt.Errorf("%s: %w\n%s", p.Path, err, text)
	}
	return nil
}

// client is the process that asks.
type client struct {
	*process
	jobs    *json.Encoder
	results *json.Decoder
}

func startClient(dir string) (*client, error) {
	cmd := exec.Command("/proc/self/exe", "client")
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p, err := startWith(dir, "client", cmd)
	if err != nil {
		return nil, err
	}
	return &client{p, json.NewEncoder(in), json.NewDecoder(out)}, nil
}

// do has a job done. A wrong answer is an error.
func (c *client) do(j job) (result, error) {
	if err := c.begin(j); err != nil {
		return result{}, err
	}
	return c.end(j)
}

// begin starts a job that lasts; finish ends it.
func (c *client) begin(j job) error {
	if err := c.jobs.Encode(j); err != nil {
		return fmt.Errorf("the client's process: %w", err)
	}
	return nil
}

func (c *client) finish(j job) (result, error) {
	if err := c.begin(job{}); err != nil {
		return result{}, err
	}
	return c.end(j)
}

func (c *client) end(j job) (result, error) {
	var r result
	if err := c.results.Decode(&r); err != nil {
		return r, fmt.Errorf("the client's process: %w", err)
	}
	if r.Fault != "" {
		return r, fmt.Errorf("%s, request %d: %s", j.Kind, r.Done+1, r.Fault)
	}
	if r.Done == 0 {
		return r, fmt.Errorf("%s: no request was done", j.Kind)
	}
	return r, nil
}

// startEngine starts an engine and returns the address of its TCP side.
func startEngine(dir, kind, socket string) (*process, string, error) {
	cmd := exec.Command("/proc/self/exe", "engine", kind, socket)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	p, err := startWith(dir, "engine", cmd)
	if err != nil {
		return nil, "", err
	}
	port, err := bufio.NewReader(out).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) || port == "" {
		return nil, "", fmt.Errorf("the engine tells no port: %w", err)
	}
	return p, "127.0.0.1:" + strings.TrimSpace(port), nil
}

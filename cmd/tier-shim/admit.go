package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// admitRequest and admitAnswer are api.AdmitRequest and api.AdmitAnswer: the shim imports nothing of tierd's, a test
// holds them equal.
type admitRequest struct {
	Op string `json:"op"`
}

type admitAnswer struct {
	Wait    string `json:"wait,omitempty"`
	OK      bool   `json:"ok"`
	Class   string `json:"class,omitempty"`
	Message string `json:"message,omitempty"`
}

// errNoTierd means that nobody listens on the admission socket, as opposed to a tierd that says no.
var errNoTierd = errors.New("tierd does not answer")

// admitWait bounds the wait for the next word of tierd. It decides at once, or says every few seconds why the tier has to
// wait; it is silent for longer only while it is being restarted, when systemd holds its socket and the request waits there.
const admitWait = 30 * time.Second

// admission asks tierd whether this unit may load now. Without a tierd the free memory decides, and the journal says so.
func (s *shim) admission(ctx context.Context) *end {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silence := time.AfterFunc(admitWait, cancel)
	defer silence.Stop()
	answer, err := askTierd(ctx, s.opts.admit, "start", func(why string) {
		silence.Reset(admitWait)
		s.status(capital(why))
		s.note.extend(admitWait + 10*time.Second)
	})
	switch {
	case err == nil && answer.OK:
		return nil
	case err == nil:
		class := answer.Class
		if statusOf[class] == 0 {
			class = classRefused
		}
		return failed(class, "%s", answer.Message)
	}
	s.say("%v; free memory alone decides about the start", err)
	return checkMemory(s.opts.memory)
}

// askTierd sends one request on the admission socket and returns the answer. A connection that breaks is tried again
// until ctx ends, since tierd may be restarting. waits is told why there is no answer yet. The error is errNoTierd, with
// the cause.
func askTierd(ctx context.Context, socket, op string, waits func(why string)) (admitAnswer, error) {
	for {
		answer, err := askOnce(ctx, socket, op, waits)
		if err == nil {
			return answer, nil
		}
		broken := errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
		if !broken {
			return admitAnswer{}, fmt.Errorf("%w (%v)", errNoTierd, err)
		}
		select {
		case <-ctx.Done():
			return admitAnswer{}, fmt.Errorf("%w (%v)", errNoTierd, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func askOnce(ctx context.Context, socket, op string, waits func(why string)) (admitAnswer, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", socket)
	if err != nil {
		return admitAnswer{}, err
	}
	defer conn.Close()
	unhook := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer unhook()
	if err := json.NewEncoder(conn).Encode(admitRequest{Op: op}); err != nil {
		return admitAnswer{}, err
	}
	for lines := bufio.NewReaderSize(conn, 64<<10); ; {
		line, err := lines.ReadSlice('\n')
		if err != nil {
			return admitAnswer{}, err
		}
		var answer admitAnswer
		if err := json.Unmarshal(line, &answer); err != nil {
			return admitAnswer{}, fmt.Errorf("cannot read its answer: %w", err)
		}
		if answer.Wait == "" {
			return answer, nil
		}
		waits(answer.Wait)
	}
}

// checkMemory is the admission of a shim without tierd: what the host has free must hold the whole tier.
func checkMemory(need uint64) *end {
	text, err := os.ReadFile("/proc/meminfo")
	if errors.Is(err, fs.ErrNotExist) || need == 0 {
		return nil
	}
	available, err := memAvailable(string(text))
	if err != nil {
		return failed(classRefused, "Cannot tell how much memory is free: %v", err)
	}
	if available < need {
		return failed(classRefused, "Refused: the tier needs %s and %s are free (tierd does not answer, so nothing can give way)",
			size(need), size(available))
	}
	return nil
}

// memAvailable returns the bytes that can be had without swapping: MemAvailable without the free part of the CMA area,
// which the kernel counts in although an engine cannot have it.
func memAvailable(meminfo string) (uint64, error) {
	fields := map[string]uint64{}
	for line := range strings.Lines(meminfo) {
		name, rest, _ := strings.Cut(line, ":")
		if name != "MemAvailable" && name != "CmaFree" {
			continue
		}
		kib, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 53)
		if err != nil {
			return 0, fmt.Errorf("/proc/meminfo: cannot read %s: %w", name, err)
		}
		fields[name] = kib << 10
	}
	available, found := fields["MemAvailable"]
	if !found {
		return 0, errors.New("/proc/meminfo: no MemAvailable")
	}
	return available - min(available, fields["CmaFree"]), nil
}

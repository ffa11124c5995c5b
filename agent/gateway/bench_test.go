package gateway

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tierd/tierd/agent/api"
)

// engineEnv makes the test binary a scripted engine: its value is the socket's path, or host:port.
const engineEnv = "GATEWAY_TEST_ENGINE"

// scriptedAnswer is what the engine says to any request but a stream: 1 KB, as a short completion.
var scriptedAnswer = fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n%s", strings.Repeat("x", 1000))

// serveScripted answers without parsing or memory, so that what is measured is what lies in between.
func serveScripted(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			buffer := make([]byte, 64<<10)
			for {
				path, ok := swallowRequest(c, buffer)
				if !ok {
					return
				}
				events := streams[path]
				if events == 0 {
					if _, err := c.Write(scriptedAnswer); err != nil {
						return
					}
					continue
				}
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
				for range events {
					time.Sleep(5 * time.Millisecond)
					event := fmt.Sprintf("data: %020d\n\n", time.Now().UnixNano())
					fmt.Fprintf(c, "%x\r\n%s\r\n", len(event), event)
				}
				io.WriteString(c, "0\r\n\r\n")
			}
		}()
	}
}

// streams are paths that are answered by so many events, one every 5 ms.
var streams = map[string]int{"/stream": 100, "/few": 5}

// swallowRequest reads one request with a Content-Length, and gives its path.
func swallowRequest(c net.Conn, buffer []byte) (path string, ok bool) {
	n, want := 0, -1
	for want < 0 {
		m, err := c.Read(buffer[n:])
		if err != nil {
			return "", false
		}
		n += m
		end := bytes.Index(buffer[:n], []byte("\r\n\r\n"))
		if end < 0 {
			continue
		}
		head := buffer[:end+2]
		length := 0
		if i := bytes.Index(head, []byte("\r\nContent-Length: ")); i >= 0 {
			length = digits(head[i+18:])
		}
		line := bytes.Split(head[:bytes.IndexByte(head, '\r')], []byte(" "))
		if len(line) == 3 && streams[string(line[1])] > 0 {
			path = string(line[1])
		}
		want = end + 4 + length - n
	}
	for want > 0 {
		m, err := c.Read(buffer[:min(want, len(buffer))])
		if err != nil {
			return "", false
		}
		want -= m
	}
	return path, true
}

func digits(b []byte) (n int) {
	for _, d := range b {
		if d < '0' || d > '9' {
			break
		}
		n = n*10 + int(d-'0')
	}
	return n
}

// question is what clients of the benchmark send.
func question(path string, body int) []byte {
	text := `{"model":"coder","messages":[{"role":"user","content":"` + strings.Repeat("y", max(body-60, 0)) + `"}]}`
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", path, len(text), text)
}

// askRaw sends a question and reads the answer of known length.
func askRaw(c net.Conn, question, buffer []byte) error {
	if _, err := c.Write(question); err != nil {
		return err
	}
	for n, want := 0, -1; want != n; {
		m, err := c.Read(buffer[n:])
		if err != nil {
			return err
		}
		n += m
		if end := bytes.Index(buffer[:n], []byte("\r\n\r\n")); want < 0 && end >= 0 {
			i := bytes.Index(buffer[:end], []byte("Content-Length: "))
			if i < 0 || !bytes.HasPrefix(buffer, []byte("HTTP/1.1 200")) {
				return fmt.Errorf("got %q", buffer[:n])
			}
			want = end + 4 + digits(buffer[i+16:])
		}
	}
	return nil
}

// askAll has conns clients put n questions between them and returns what each took.
func askAll(tb testing.TB, address string, conns, n int, question []byte) []time.Duration {
	var left atomic.Int64
	left.Store(int64(n))
	all := make([][]time.Duration, conns)
	var clients sync.WaitGroup
	for i := range conns {
		c, err := net.Dial("tcp", address)
		if err != nil {
			tb.Fatal(err)
		}
		defer c.Close()
		all[i] = make([]time.Duration, 0, n)
		clients.Go(func() {
			buffer := make([]byte, 64<<10)
			for left.Add(-1) >= 0 {
				start := time.Now()
				if err := askRaw(c, question, buffer); err != nil {
					tb.Error(err)
					return
				}
				all[i] = append(all[i], time.Since(start))
			}
		})
	}
	clients.Wait()
	return slices.Concat(all...)
}

// streamAll reads streams and returns how long each event was on its way.
func streamAll(tb testing.TB, address, path string, conns int) []time.Duration {
	all := make([][]time.Duration, conns)
	var clients sync.WaitGroup
	for k := range conns {
		clients.Go(func() {
			var err error
			if all[k], err = streamOne(address, path); err != nil {
				tb.Error(err)
			}
		})
	}
	clients.Wait()
	return slices.Concat(all...)
}

func streamOne(address, path string) ([]time.Duration, error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if _, err := c.Write(question(path, 200)); err != nil {
		return nil, err
	}
	events := make([]time.Duration, 0, streams[path])
	buffer := make([]byte, 64<<10)
	for n := 0; ; {
		m, err := c.Read(buffer[n:])
		now := time.Now().UnixNano()
		if err != nil {
			return nil, err
		}
		n += m
		for {
			at := bytes.Index(buffer[:n], []byte("data: "))
			if at < 0 || at+26 > n {
				break
			}
			sent, err := strconv.ParseInt(string(bytes.TrimLeft(buffer[at+6:at+26], "0")), 10, 64)
			if err != nil {
				return nil, err
			}
			events = append(events, time.Duration(now-sent))
			n = copy(buffer, buffer[at+26:n])
		}
		if bytes.HasSuffix(buffer[:n], []byte("0\r\n\r\n")) {
			return events, nil
		}
	}
}

func percentile(all []time.Duration, p float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[min(int(float64(len(all))*p), len(all)-1)]
}

// BenchmarkForward measures requests through a gateway in this process: what they take and what they leave to the garbage
// collector. The engine and the clients leave nothing.
func BenchmarkForward(b *testing.B) {
	dir, err := os.MkdirTemp("", "gw")
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "engine.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go serveScripted(l)
	tierd := newFakeTierd()
	table := api.Table{Listen: "127.0.0.1", Routes: []api.Route{{Tier: "coder", Port: benchPort(b), Names: []string{"coder"}, State: api.Ready, Unit: "tier-coder.service", Socket: socket}}}
	tierd.set(table)
	g := New(Config{Control: tierd, Log: slog.New(slog.DiscardHandler)})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	defer func() { stop(); <-ended }()
	at := address(table.Routes[0].Port)
	awaitPort(b, at)
	for name, c := range map[string]struct{ conns, body int }{"1": {1, 700}, "16": {16, 700}, "5MiB": {1, 5 << 20}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			all := askAll(b, at, c.conns, b.N, question("/v1/chat/completions", c.body))
			b.ReportMetric(float64(percentile(all, 0.5).Nanoseconds())/1000, "µs-p50")
		})
	}
	b.Run("stream", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			b.ReportMetric(float64(percentile(streamAll(b, at, "/stream", 1), 0.5).Nanoseconds())/1000, "µs-p50")
		}
	})
}

func benchPort(b *testing.B) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func awaitPort(b *testing.B, at string) {
	for end := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		c, err := net.Dial("tcp", at)
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(end) {
			b.Fatal(err)
		}
	}
}

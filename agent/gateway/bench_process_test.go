package gateway

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tierd/tierd/agent/api"
)

func runEngine(at string) int {
	network := "unix"
	if strings.Contains(at, ":") {
		network = "tcp"
	}
	l, err := net.Listen(network, at)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	serveScripted(l)
	return 0
}

// child starts the test binary as something else.
func child(b *testing.B, env string) *exec.Cmd {
	path, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(path)
	cmd.Env = append(os.Environ(), env)
	cmd.Stderr = os.Stderr
	start(b, cmd)
	return cmd
}

// start has the process end with this one, however that ends.
func start(b *testing.B, cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
}

// cpuOf is the CPU time of a process and its children's processes, from the scheduler, which counts to the nanosecond.
func cpuOf(pids []int) (sum time.Duration) {
	for _, pid := range pids {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
		for _, task := range tasks {
			text, err := os.ReadFile(task)
			if err != nil {
				continue
			}
			first, _, _ := strings.Cut(string(text), " ")
			ns, _ := strconv.ParseInt(first, 10, 64)
			sum += time.Duration(ns)
		}
	}
	return sum
}

func rssOf(pid int) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			return strings.TrimSpace(rest)
		}
	}
	return "?"
}

// way is one way from the clients to the engine.
type way struct {
	name, at string
	pids     []int
}

// BenchmarkProcesses measures requests directly, through nginx where it is installed, and through a gateway, each a process of
// its own. The ways take turns, and the metrics are medians over the turns:
//
//	go test ./agent/gateway -run '^$' -bench Processes -benchtime 1x
func BenchmarkProcesses(b *testing.B) {
	dir, err := os.MkdirTemp("", "gw")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	socket, tcp := filepath.Join(dir, "engine.sock"), address(benchPort(b))
	child(b, engineEnv+"="+socket)
	child(b, engineEnv+"="+tcp)
	awaitPort(b, tcp)
	ways := []way{{name: "direct", at: tcp}}
	if w, ok := startNginx(b, dir, socket); ok {
		ways = append(ways, w)
	}
	ways = append(ways, startGateway(b, dir, socket))
	for _, w := range ways {
		askAll(b, w.at, 16, 2000, question("/warm", 700))
	}
	b.ResetTimer()
	for range b.N {
		for _, c := range []struct {
			name           string
			conns, n, body int
		}{{"c1", 1, 4000, 700}, {"c16", 16, 16000, 700}, {"5MiB", 1, 60, 5 << 20}} {
			compare(b, ways, c.name, 5, func(w way) (int, []time.Duration) {
				return c.n, askAll(b, w.at, c.conns, c.n, question("/v1/chat/completions", c.body))
			})
		}
		for _, conns := range []int{1, 8} {
			compare(b, ways, fmt.Sprintf("stream%d", conns), 5, func(w way) (int, []time.Duration) {
				all := streamAll(b, w.at, "/stream", conns)
				return len(all), all
			})
		}
	}
}

// BenchmarkMemory tells what a gateway keeps after many requests, and after many streams at the same time.
func BenchmarkMemory(b *testing.B) {
	dir, err := os.MkdirTemp("", "gw")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "engine.sock")
	child(b, engineEnv+"="+socket)
	w := startGateway(b, dir, socket)
	tell := func(when string) { b.Logf("RSS %-32s %s", when, rssOf(w.pids[0])) }
	for range b.N {
		tell("at first")
		askAll(b, w.at, 4, 100_000, question("/v1/chat/completions", 700))
		tell("after 100,000 requests")
		streamAll(b, w.at, "/few", 1000)
		tell("after 1,000 streams at once")
		time.Sleep(10 * time.Second)
		tell("ten seconds later")
	}
}

// compare runs rounds by turns and logs medians.
func compare(b *testing.B, ways []way, name string, rounds int, run func(way) (int, []time.Duration)) {
	type result struct{ p50, p99, wall, cpu []time.Duration }
	results := make([]result, len(ways))
	for range rounds {
		for i, w := range ways {
			cpu, begin := cpuOf(w.pids), time.Now()
			n, all := run(w)
			r := &results[i]
			r.wall = append(r.wall, time.Since(begin)/time.Duration(max(n, 1)))
			r.cpu = append(r.cpu, (cpuOf(w.pids)-cpu)/time.Duration(max(n, 1)))
			r.p50, r.p99 = append(r.p50, percentile(all, 0.5)), append(r.p99, percentile(all, 0.99))
		}
	}
	base := percentile(results[0].p50, 0.5)
	for i, w := range ways {
		r := results[i]
		p50 := percentile(r.p50, 0.5)
		b.Logf("%-8s %-8s p50 %8v (+%v) p99 %8v ratio %.2f cpu %v", name, w.name, p50, p50-base, percentile(r.p99, 0.5),
			float64(percentile(results[0].wall, 0.5))/float64(percentile(r.wall, 0.5)), percentile(r.cpu, 0.5))
	}
}

// startNginx forwards to the socket as nginx's manual says: keep-alive to the engine, nothing buffered.
func startNginx(b *testing.B, dir, socket string) (way, bool) {
	path, err := exec.LookPath("nginx")
	if err != nil {
		return way{}, false
	}
	w := way{name: "nginx", at: address(benchPort(b))}
	config := filepath.Join(dir, "nginx.conf")
	text := fmt.Sprintf(`daemon off; master_process off; pid %[1]s/nginx.pid; error_log %[1]s/error.log;
events { worker_connections 2048; }
http { access_log off; client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  client_max_body_size 64m; keepalive_requests 1000000000; tcp_nodelay on;
  upstream engine { server unix:%[2]s; keepalive 64; keepalive_requests 1000000000; }
  server { listen %[3]s; location / { proxy_pass http://engine; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; proxy_request_buffering off; } } }
`, dir, socket, w.at)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(path, "-c", config, "-e", filepath.Join(dir, "error.log"))
	start(b, cmd)
	awaitPort(b, w.at)
	w.pids = []int{cmd.Process.Pid}
	return w, true
}

// startGateway starts the program itself, since a test's binary is twice as large.
func startGateway(b *testing.B, dir, socket string) way {
	program := filepath.Join(dir, "tier-gateway")
	build := exec.Command("go", "build", "-o", program, "../../cmd/tier-gateway")
	if text, err := build.CombinedOutput(); err != nil {
		b.Fatalf("cannot build the gateway: %v\n%s", err, text)
	}
	tierd := newFakeTierd()
	table := api.Table{Listen: "127.0.0.1", Routes: []api.Route{{Tier: "coder", Port: benchPort(b), Names: []string{"coder"}, State: api.Ready, Unit: "tier-coder.service", Socket: socket}}}
	tierd.set(table)
	cmd := exec.Command(program, "-control", serveControl(b, tierd))
	cmd.Stderr = os.Stderr
	start(b, cmd)
	w := way{name: "gateway", at: address(table.Routes[0].Port), pids: []int{cmd.Process.Pid}}
	awaitPort(b, w.at)
	return w
}

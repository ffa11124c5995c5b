//go:build browser

package browsertest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience bounds every wait of a test; nothing measures time against it.
const patience = 30 * time.Second

var (
	browser  context.Context // one for all tests; each has a tab
	program  string          // tier-gateway
	pictures = filepath.Join("..", "..", "build", "page")
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "page")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		program = filepath.Join(dir, "tier-gateway")
		build := exec.Command("go", "build", "-o", program, "../../cmd/tier-gateway")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "cannot build the gateway: %v\n%s", err, out)
			return 1
		}
		if err := os.MkdirAll(pictures, 0o755); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		// The sandbox needs a user other than root; the other switches keep it from looking for its maker's hosts.
		alloc, stop := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
			chromedp.UserDataDir(filepath.Join(dir, "profile")), chromedp.NoSandbox, chromedp.DisableGPU,
			chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("lang", "en-GB"),
			chromedp.WSURLReadTimeout(patience))...)
		defer stop()
		var quit context.CancelFunc
		browser, quit = chromedp.NewContext(alloc)
		defer quit()
		if err := chromedp.Do(browser); err != nil {
			fmt.Fprintf(os.Stderr, "cannot start a browser (packaging/setup.sh browser installs one): %v\n", err)
			return 1
		}
		return m.Run()
	}())
}

// rig is a gateway that runs as a program, with a tierd that follows a script.
type rig struct {
	*script
	dir       string
	stopTierd func()
	gateway   *exec.Cmd
	log       gatewayLog
}

// gatewayLog is what the gateway says; it may be read while it is written.
type gatewayLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *gatewayLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *gatewayLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func newRig(t *testing.T) *rig {
	t.Helper()
	dir, err := os.MkdirTemp("", "page") // t.TempDir may be too long for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	r := &rig{script: newScene(t), dir: dir}
	r.stopTierd = r.serve(t, r.socket())
	r.startGateway(t)
	return r
}

func (r *rig) socket() string { return filepath.Join(r.dir, "tierd.sock") }

func (r *rig) address() string { return fmt.Sprintf("127.0.0.1:%d", r.table.Port) }

func (r *rig) startGateway(t *testing.T) {
	t.Helper()
	r.gateway = exec.Command(program, "-control", r.socket(), "-runtime", r.dir)
	r.gateway.Stderr = &r.log
	if err := r.gateway.Start(); err != nil {
		t.Fatal(err)
	}
	g := r.gateway
	t.Cleanup(func() { _ = g.Process.Kill(); _ = g.Wait() })
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		c, err := net.Dial("tcp", r.address())
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// handOver has the gateway start its successor, which is a child of this process: a gateway gives it its own parent.
func (r *rig) handOver(t *testing.T) {
	t.Helper()
	if out, err := exec.Command(program, "-reload", "-runtime", r.dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	_, after, found := strings.Cut(r.log.String(), "successor=")
	var pid int
	if _, err := fmt.Sscan(after, &pid); !found || err != nil {
		t.Fatalf("no successor is named in %s", r.log.String())
	}
	t.Cleanup(func() {
		_ = syscall.Kill(pid, syscall.SIGKILL)
		_, _ = syscall.Wait4(pid, nil, 0, nil)
	})
}

// tab is one open page. It collects what a browser complains of.
type tab struct {
	context.Context
	t *testing.T

	mu         sync.Mutex
	complaints []string
}

// open shows the page in a new tab of a desktop's size and waits for the first snapshot.
func open(t *testing.T, r *rig) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	p := &tab{Context: ctx, t: t}
	if err := chromedp.Do(ctx); err != nil { // opens the tab, which lives as long as this call's context
		t.Fatal(err)
	}
	p.run(chromedp.EmulateViewport(1280, 900))
	listen(p, runtime.ConsoleAPICalled, func(e runtime.EventConsoleAPICalled) string { return fmt.Sprintf("console.%s", e.Type) })
	listen(p, runtime.ExceptionThrown, func(e runtime.EventExceptionThrown) string {
		if e.ExceptionDetails.Exception != nil {
			return e.ExceptionDetails.Exception.Description
		}
		return e.ExceptionDetails.Text
	})
	listen(p, log.EntryAdded, func(e log.EventEntryAdded) string { return fmt.Sprintf("%s: %s", e.Entry.Level, e.Entry.Text) })
	listen(p, audits.IssueAdded, func(e audits.EventIssueAdded) string { return fmt.Sprintf("issue %s", e.Issue.Code) })
	call(p, log.Enable, cdp.Empty{})
	call(p, audits.Enable, cdp.Empty{})
	p.run(chromedp.Navigate("http://" + r.address() + "/"))
	p.until("it is live", `document.body.dataset.link === "live" && document.querySelectorAll(".tier").length > 0`)
	return p
}

// listen hears of what a browser complains of: errors on the console, exceptions, loads that failed, what the policy forbade.
func listen[E any](p *tab, event cdp.Event[E], words func(E) string) {
	events := chromedp.Events(p.Context, event)
	go func() {
		for e, err := range events {
			if err != nil {
				return // the tab was closed
			}
			p.mu.Lock()
			p.complaints = append(p.complaints, words(e))
			p.mu.Unlock()
		}
	}()
}

// clean fails when the browser has complained of anything but what is allowed.
func (p *tab) clean(allowed ...string) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.complaints {
		ok := false
		for _, a := range allowed {
			ok = ok || strings.Contains(c, a)
		}
		if !ok {
			p.t.Errorf("the browser says: %s", c)
		}
	}
}

func result[T any](p *tab, action chromedp.Action[T]) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.Context, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, action)
	if err != nil {
		p.t.Fatal(err)
	}
	return v
}

func (p *tab) run(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	result(p, chromedp.Steps(steps...))
}

// call sends a command of the DevTools protocol.
func call[P, R any](p *tab, command cdp.Command[P, R], params P) {
	p.t.Helper()
	p.run(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, command, params)
		return err
	}))
}

// show makes the tab a screen of that width, light or dark.
func (p *tab) show(width int64, scheme string) {
	p.t.Helper()
	p.run(chromedp.EmulateViewport(width, 800))
	call(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
}

// value evaluates an expression. It comes in by the debugger, for which the page's policy does not hold.
func value[T any](p *tab, expression string) T {
	p.t.Helper()
	return result(p, chromedp.Evaluate[T](expression))
}

// until waits for a condition. chromedp.Poll makes a function of its text within the page, which the policy forbids.
func (p *tab) until(what, condition string) {
	p.t.Helper()
	for end := time.Now().Add(patience); !value[bool](p, "Boolean("+condition+")"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("it never came about that %s; the page says:\n%s", what, value[string](p, "document.body.innerText"))
		}
	}
}

// picture keeps what the page looks like.
func (p *tab) picture(name string) {
	p.t.Helper()
	png := result(p, chromedp.FullScreenshot(100))
	if err := os.WriteFile(filepath.Join(pictures, name+".png"), png, 0o644); err != nil {
		p.t.Fatal(err)
	}
}

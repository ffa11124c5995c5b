package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tierd/tierd/agent/api/guardwire"
	"github.com/tierd/tierd/agent/guard"
)

// fakeTierd is tierd's end of the socket.
type fakeTierd struct {
	t      *testing.T
	listen *net.UnixListener
	conn   net.Conn
	words  *bufio.Scanner
}

func serve(t *testing.T, path string) *fakeTierd {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return &fakeTierd{t: t, listen: l}
}

// accept waits for the guard.
func (f *fakeTierd) accept() {
	f.t.Helper()
	if err := f.listen.SetDeadline(time.Now().Add(bound)); err != nil {
		f.t.Fatal(err)
	}
	conn, err := f.listen.Accept()
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { conn.Close() })
	f.conn, f.words = conn, bufio.NewScanner(conn)
	f.words.Buffer(nil, 4<<20)
}

func (f *fakeTierd) say(o guardwire.Order) {
	f.t.Helper()
	line, err := json.Marshal(o)
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := f.conn.Write(append(line, '\n')); err != nil {
		f.t.Fatal(err)
	}
}

// hear returns the next word that is wanted.
func (f *fakeTierd) hear(what string, is func(guardwire.Word) bool) guardwire.Word {
	f.t.Helper()
	if err := f.conn.SetReadDeadline(time.Now().Add(bound)); err != nil {
		f.t.Fatal(err)
	}
	for f.words.Scan() {
		var w guardwire.Word
		if err := json.Unmarshal(f.words.Bytes(), &w); err != nil {
			f.t.Fatal(err)
		}
		if is(w) {
			return w
		}
	}
	f.t.Fatalf("heard nothing of %s: %v", what, f.words.Err())
	return guardwire.Word{}
}

func (f *fakeTierd) state() *guardwire.State {
	f.t.Helper()
	f.say(guardwire.Order{Ask: "state"})
	return f.hear("its state", func(w guardwire.Word) bool { return w.State != nil }).State
}

func ofKind(kinds ...string) func(guardwire.Word) bool {
	return func(w guardwire.Word) bool {
		for _, kind := range kinds {
			if w.Event != nil && w.Event.Kind == kind {
				return true
			}
		}
		return false
	}
}

// logs are what the guard has logged.
type logs struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), text)
}

// guarded runs a whole guard on a fake host of 128 GiB until the test ends.
func guarded(t *testing.T, root string, args ...string) (socket string, log *logs) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(root, "proc/meminfo")); err != nil {
		fakeHost(t, root, 128<<10, 64<<10)
	}
	socket = filepath.Join(t.TempDir(), "guard.sock")
	o, err := parse(append(args, "-root", root, "-socket", socket), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	log = &logs{}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- watch(ctx, o, slog.New(slog.NewTextHandler(log, nil)), &notifier{fd: -1}) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return socket, log
}

func tableOf(tiers ...guardwire.Tier) guardwire.Order {
	l := guard.HostLines(128 << 30)
	return guardwire.Order{Table: &guardwire.Table{Seq: 1, Refuse: l.Refuse, Soft: l.Soft, Hard: l.Hard, Emergency: l.Emergency, Tiers: tiers}}
}

func coder(main int) guardwire.Tier {
	return guardwire.Tier{Tier: "coder", Unit: "tier-coder.service", Cgroup: coderGroup, MainPID: main, Priority: 80, Charge: 2 << 30,
		IdleSince: time.Now().Add(-time.Minute)}
}

func TestTierdHearsWhatTheGuardDoes(t *testing.T) {
	root := t.TempDir()
	main := start(t, "meek")
	fakeUnit(t, root, coderGroup, main.pid())
	fakeHost(t, root, 128<<10, 8400)
	socket, _ := guarded(t, root)
	tierd := serve(t, socket)
	tierd.accept()
	tierd.say(tableOf(coder(main.pid())))
	s := tierd.state()
	if len(s.Order) != 1 || s.Order[0].Tier != "coder" || !strings.Contains(s.Order[0].Why, "idle for") || s.Available != 8400<<20 ||
		s.Soft != 8<<30 || s.Resident == 0 || s.CPU == 0 || s.Looks == 0 || s.Level != "refuse" || !strings.Contains(s.Would, "coder") {
		t.Errorf("%+v", s)
	}
	put(t, root, "proc/meminfo", meminfoOf(128<<10, 8100))
	main.ended(t)
	e := tierd.hear("the stop", ofKind("ask", "stop")).Event
	if e.Tier != "coder" || e.Unit != "tier-coder.service" || e.Available != 8100<<20 || e.Text == "" || e.Time.IsZero() {
		t.Errorf("%+v", e)
	}
	put(t, root, filepath.Join(cgroups, coderGroup, "cgroup.events"), "populated 0\n")
	tierd.hear("the end", ofKind("gone"))
	if s := tierd.state(); s.Stops != 1 || s.Last == nil {
		t.Errorf("%+v", s)
	}
	tierd.say(guardwire.Order{Ask: "trace"})
	w := tierd.hear("the trace", func(w guardwire.Word) bool { return w.Trace != nil })
	var text strings.Builder
	for _, line := range w.Trace {
		text.Write(append(line, '\n'))
	}
	if looks, err := guard.Replay(strings.NewReader(text.String()), nil); err != nil || looks == 0 {
		t.Errorf("the trace has %d looks: %v", looks, err)
	}
}

// TestWithoutTierdTheGuardGoesByWhatItHeardLast: and what it did meanwhile is told as soon as there is somebody.
func TestWithoutTierdTheGuardGoesByWhatItHeardLast(t *testing.T) {
	root := t.TempDir()
	main := start(t, "meek")
	fakeUnit(t, root, coderGroup, main.pid())
	fakeHost(t, root, 128<<10, 8400)
	socket, log := guarded(t, root)
	tierd := serve(t, socket)
	tierd.accept()
	tierd.say(tableOf(coder(main.pid())))
	tierd.state()
	tierd.listen.Close()
	tierd.conn.Close()
	until(t, "it has noticed", func() bool { return log.has("tierd is silent") })
	put(t, root, "proc/meminfo", meminfoOf(128<<10, 8100))
	if s := main.ended(t); s != syscall.SIGTERM {
		t.Errorf("ended by %s", s)
	}
	again := serve(t, socket)
	again.accept()
	if e := again.hear("the stop", ofKind("ask", "stop")).Event; e.Tier != "coder" {
		t.Errorf("%+v", e)
	}
}

// TestAFrozenTierdHoldsNobodyUp: its socket is filled, the guard goes on.
func TestAFrozenTierdHoldsNobodyUp(t *testing.T) {
	l := newLink(filepath.Join(t.TempDir(), "guard.sock"))
	frozen := serve(t, l.path)
	if err := l.dial(); err != nil {
		t.Fatal(err)
	}
	frozen.accept()
	begin := time.Now()
	for l.connected() {
		l.add(guardwire.Event{Kind: "alarm", Text: strings.Repeat("x", 10_000)})
		_ = l.flush()
		if time.Since(begin) > bound {
			t.Fatal("it never gives up")
		}
	}
	if len(l.queue) != 1 {
		t.Errorf("%d events wait", len(l.queue))
	}
}

func TestTheQueueIsBounded(t *testing.T) {
	l := newLink("")
	for i := range maxQueue + 5 {
		l.add(guardwire.Event{Available: uint64(i)})
	}
	if len(l.queue) != maxQueue || l.lost != 5 || l.queue[0].Available != 5 || l.queue[maxQueue-1].Available != maxQueue+4 {
		t.Errorf("%d wait, from %d on, %d are lost", len(l.queue), l.queue[0].Available, l.lost)
	}
}

func TestWhatTierdMayNotSayEndsTheConnection(t *testing.T) {
	for name, line := range map[string]string{
		"no JSON":        "hello\n",
		"an endless one": strings.Repeat("x", maxLine+1),
	} {
		t.Run(name, func(t *testing.T) {
			l := newLink(filepath.Join(t.TempDir(), "guard.sock"))
			tierd := serve(t, l.path)
			if err := l.dial(); err != nil {
				t.Fatal(err)
			}
			tierd.accept()
			go func() { _, _ = tierd.conn.Write([]byte(line)) }()
			if o := <-l.orders; o.err == nil {
				t.Errorf("%+v", o)
			}
			l.hangUp()
		})
	}
}

// TestAGuardThatNobodySpeaksToFindsTheTiers with the priority that the engine's OOM score tells.
func TestAGuardThatNobodySpeaksToFindsTheTiers(t *testing.T) {
	root := t.TempDir()
	fakeUnit(t, root, coderGroup, 1001, 1002)
	put(t, root, "proc/1001/oom_score_adj", "-1000\n")
	put(t, root, "proc/1002/oom_score_adj", "420\n")
	fakeUnit(t, root, "/tier.slice/tier-cpu.slice/tier-utility.service", 1003)
	fakeUnit(t, root, "/tier.slice/tier-cloud.service")
	fakeUnit(t, root, "/tier.slice/other.service", 1004)
	fakeUnit(t, root, "/user.slice/tier-fake.service", 1005)
	got := map[string]found{}
	for _, f := range discover(root) {
		got[f.cgroup] = f
	}
	if len(got) != 3 {
		t.Errorf("found %v", got)
	}
	c := got[coderGroup]
	want := guard.Tier{Name: "coder", Unit: "tier-coder.service", Priority: 80, Busy: true}
	if c.tier != want || !c.gpu {
		t.Errorf("the coder is %+v, want %+v", c, want)
	}
	if u := got["/tier.slice/tier-cpu.slice/tier-utility.service"]; u.tier.Priority != 50 || u.gpu {
		t.Errorf("utility is %+v", u)
	}
}

func TestAGuardAloneWatchesWhatItFinds(t *testing.T) {
	root := t.TempDir()
	main := start(t, "meek")
	fakeUnit(t, root, coderGroup, main.pid())
	fakeHost(t, root, 128<<10, 8100)
	_, log := guarded(t, root)
	until(t, "it watches", func() bool { return log.has("watching") })
	// Below the hard line busy ones go, if it is tiers that have grown.
	mib := 0
	until(t, "it is stopped", func() bool {
		mib = min(mib+10, 7900)
		put(t, root, filepath.Join(cgroups, coderGroup, "memory.stat"), fmt.Sprintf("anon %d\n", (1000+mib)<<20))
		put(t, root, "proc/meminfo", meminfoOf(128<<10, 8100-mib))
		return !main.alive()
	})
}

// TestAUnitThatComesBackIsAnother: its files are opened anew, and those of the one before closed when nobody uses them.
func TestAUnitThatComesBackIsAnother(t *testing.T) {
	root := t.TempDir()
	first, second := start(t, "meek"), start(t, "meek")
	fakeUnit(t, root, coderGroup, first.pid())
	h := fakeHot(t, root, 64<<10)
	k := &keeper{ctx: context.Background(), log: slog.New(slog.DiscardHandler), opts: options{root: root}, total: 128 << 30, hot: h, link: newLink(""),
		notify: &notifier{fd: -1}, proof: newProof(root), table: h.table, complained: map[string]string{}}
	k.obey(order{Order: tableOf(coder(first.pid()))})
	old := k.table.units[0]
	k.rebuild()
	if k.table.units[0] != old || k.table.seq != 2 {
		t.Fatalf("opened anew without need, table %d", k.table.seq)
	}
	if err := os.RemoveAll(filepath.Join(root, cgroups, coderGroup)); err != nil {
		t.Fatal(err)
	}
	k.rebuild()
	if len(k.table.units) != 0 || len(k.retired) != 1 {
		t.Fatalf("%d units, %d retired", len(k.table.units), len(k.retired))
	}
	fakeUnit(t, root, coderGroup, second.pid())
	k.rebuild()
	if len(k.table.units) != 1 || k.table.units[0].main != second.pid() {
		t.Fatalf("%+v", k.table.units)
	}
	k.closeRetired()
	if old.procs < 0 {
		t.Fatal("closed while the hot goroutine may still use it")
	}
	h.round()
	k.closeRetired()
	if old.procs >= 0 || len(k.retired) != 0 {
		t.Error("not closed although nobody uses it")
	}
	main := k.table.units[0]
	k.obey(order{Order: tableOf(coder(second.pid()))})
	if k.table.units[0] == main {
		t.Error("another main process is the same unit")
	}
	k.table.units[0].close()
	main.close()
}

func TestIdlenessIsKeptByAClockThatNobodySets(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	idle := coder(1)
	idle.IdleSince = now.Add(-90 * time.Second)
	busy := guardwire.Tier{Busy: true}
	never := guardwire.Tier{}
	got := heard([]guardwire.Tier{idle, busy, never}, now, int64(time.Hour))
	for i, want := range []time.Duration{time.Hour - 90*time.Second, 0, time.Hour} {
		if got[i].tier.Idle != want {
			t.Errorf("%d is idle since %s, want %s", i, got[i].tier.Idle, want)
		}
	}
}

func TestSamplerReadsTheGPU(t *testing.T) {
	root := t.TempDir()
	put(t, root, "sys/class/drm/card1/device/mem_info_gtt_used", "9663676416\n")
	put(t, root, "proc/77/fdinfo/5", "drm-driver:\tamdgpu\ndrm-pdev:\t0000:c5:00.0\ndrm-client-id:\t3\ndrm-resident-gtt:\t2048 MiB\n")
	fakeUnit(t, root, coderGroup, 77)
	w := opened(t, root, coderGroup, 0)
	w.onGPU = true
	h := fakeHot(t, root, 64<<10, w)
	newSampler(root, h).sample()
	h.round()
	if h.facts.GTT != (guard.Amount{Bytes: 9 << 30, Known: true}) || h.facts.Tiers[0].GPU != (guard.Amount{Bytes: 2 << 30, Known: true}) {
		t.Errorf("%+v", h.facts)
	}
	put(t, root, "sys/class/drm/card1/device/mem_info_gtt_used", "many\n")
	s := newSampler(root, h)
	if _, ok := s.used(); ok {
		t.Error("a malformed number is a number")
	}
}

func TestFreeMemoryIsGivenBackOnlyWhileThereIsEnough(t *testing.T) {
	k := &keeper{hot: &hot{}, table: &table{lines: guard.HostLines(128 << 30)}}
	for available, want := range map[uint64]uint32{64 << 30: 1, 15 << 30: 0, 1 << 30: 0} {
		var before, after runtime.MemStats
		k.hot.counts.available.Store(available)
		k.untidy = make(chan time.Time)
		runtime.ReadMemStats(&before)
		k.tidy()
		runtime.ReadMemStats(&after)
		if n := after.NumForcedGC - before.NumForcedGC; n != want || k.untidy != nil {
			t.Errorf("given back %d times with %d GiB available, want %d", n, available>>30, want)
		}
	}
}

package main

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestMain makes the test binary the engine and the client, too, as the program is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == "engine" || os.Args[1] == "client") {
		os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

func build(t *testing.T, program string, flags ...string) {
	t.Helper()
	args := append([]string{"build", "-o", program}, flags...)
	if out, err := exec.Command("go", append(args, "../../cmd/tier-gateway")...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// testRig is a rig without nginx, on a gateway that is built for it.
func testRig(t *testing.T, kind string) *rig {
	t.Helper()
	program := filepath.Join(t.TempDir(), "tier-gateway")
	build(t, program)
	r, err := startRig(options{gateway: program}, kind)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func TestTheGatewayStandsAbuse(t *testing.T) {
	list, err := measureAbuse(testRig(t, scripted), shortScale)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := abuseTable(&out, list); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + out.String())
	for _, a := range list {
		if a.resident > 256<<20 {
			t.Errorf("%s: the gateway had %d MiB resident", a.name, a.resident>>20)
		}
	}
}

func TestARoundComparesAllWaysAndCountsTheirTime(t *testing.T) {
	r := testRig(t, scripted)
	all, err := measure(r, 2, []phase{
		{"1 connection", job{Kind: smallJob, Conns: 1, Requests: 50}},
		{"16 connections", job{Kind: smallJob, Conns: 16, For: 50 * time.Millisecond}},
		{"8 streams", job{Kind: streamJob, Conns: 2, Requests: 4, Events: 10, Every: time.Millisecond}},
		{"5 MiB body", job{Kind: uploadJob, Conns: 1, Requests: 2}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range all {
		if len(s[direct]) != 2 || len(s[gateway]) != 2 {
			t.Errorf("%s: samples %v", name, s)
		}
		if s.of(gateway, p50) <= 0 || s.of(gateway, rate) <= 0 || s.of(gateway, p99) < s.of(gateway, p50) {
			t.Errorf("%s: p50 %v, p99 %v, rate %v", name, s.of(gateway, p50), s.of(gateway, p99), s.of(gateway, rate))
		}
	}
	var out strings.Builder
	if err := table(&out, r, phases(), all); err != nil || !strings.Contains(out.String(), "gateway") {
		t.Errorf("%v: %s", err, out.String())
	}
}

func TestBothKindsOfEngineGiveTheAnswersThatTheClientChecks(t *testing.T) {
	r := testRig(t, netHTTP)
	all, err := measure(r, 1, []phase{{crowd.name, job{Kind: smallJob, Conns: 16, For: 50 * time.Millisecond}}})
	if err != nil {
		t.Fatal(err)
	}
	if ratio := all[crowd.name].ratio(gateway, direct, rate); ratio <= 0 {
		t.Errorf("ratio %v", ratio)
	}
}

func TestAProfileNeedsAGatewayThatIsBuiltForIt(t *testing.T) {
	program := filepath.Join(t.TempDir(), "tier-gateway")
	build(t, program, "-tags", "profile")
	r, err := startRig(options{gateway: program}, scripted)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	err = profile(io.Discard, r, dir, []phase{{"a few", job{Kind: smallJob, Conns: 1, Requests: 10}}})
	if err := errors.Join(err, r.stop()); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, "a-few.pprof")); err != nil || info.Size() == 0 {
		t.Errorf("%v, %v", info, err)
	}
}

// The scripted engine is what all is compared with, so that the client has to find its every fault.
func TestAWrongAnswerIsFound(t *testing.T) {
	event := func(n int64) string {
		line := append([]byte(nil), event...)
		putNumber(line[eventNumber:][:numberSize], n)
		return string(line) + "\n\n"
	}
	small := string(smallBody[:idAt]) + "000000000001" + string(smallBody[idAt+idLength:])
	closed := "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
	for rule, c := range map[string]struct {
		answer string
		ask    func(net.Conn) asker
		says   string
	}{
		"a small answer":                  {sized(small), smallAsk, ""},
		"another request's answer":        {sized(strings.Replace(small, "01\"", "02\"", 1)), smallAsk, "the answer is wrong"},
		"a status other than 200":         {strings.Replace(sized(small), "200", "503", 1), smallAsk, "status 503"},
		"half an answer":                  {sized(small)[:600], smallAsk, "no whole answer"},
		"two answers":                     {sized(small) + sized(small), smallAsk, "more than one answer"},
		"a whole stream":                  {closed + event(0) + event(1) + lastEvent + "\n\n", streamAsk, ""},
		"a stream without its last event": {closed + event(0) + event(1), streamAsk, "ended after 2 of 2"},
		"a stream that lost an event":     {closed + event(1) + lastEvent + "\n\n", streamAsk, "event 1 came after event -1"},
		"a stream that ends early":        {closed + event(0) + lastEvent + "\n\n", streamAsk, "ended after 1 of 2"},
		"an event with a wrong byte":      {closed + strings.Replace(event(0), "coast", "coasT", 1), streamAsk, "no event of the engine's"},
		"events after the end":            {closed + event(0) + event(1) + lastEvent + "\n\n" + event(2), streamAsk, "goes on after its end"},
		"a large answer":                  {sized(string(pattern) + "aa"), largeAsk, "bytes 65521 to 65523 are wrong"},
		"a large answer that is whole":    {sized(string(pattern) + string(pattern[:2])), largeAsk, ""},
		"a large answer that is short":    {sized(string(pattern)), largeAsk, "got 65521 of 65523"},
		"a body that lost a byte":         {sized(uploadAnswer(5<<20-1, 1)), uploadAsk, "another body"},
	} {
		t.Run(rule, func(t *testing.T) {
			_, err := c.ask(answering(t, c.answer)).ask(nil)
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("got %v, want %q", err, c.says)
			}
		})
	}
}

func sized(body string) string {
	head := strings.TrimSuffix(string(smallAnswer()), string(smallBody))
	return strings.Replace(head, "Content-Length: 1024", "Content-Length: "+strconv.Itoa(len(body)), 1) + body
}

func smallAsk(c net.Conn) asker  { return newSmallAsker(c, 0) }
func streamAsk(c net.Conn) asker { return newStreamAsker(c, 2, 0) }
func largeAsk(c net.Conn) asker  { return newLargeAsker(c, len(pattern)+2) }
func uploadAsk(c net.Conn) asker { return newUploadAsker(c) }

// answering is a connection to one who reads a request's beginning, gives an answer, and goes.
func answering(t *testing.T, answer string) net.Conn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = c.Write([]byte(answer))
		_ = c.(*net.TCPConn).CloseWrite()
		for all := make([]byte, 64<<10); err == nil; {
			_, err = c.Read(all)
		}
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestSeedsOfMutationsAreAnsweredBeforeTheyAreSpoiled(t *testing.T) {
	r := testRig(t, scripted)
	a := &abuser{address: r.tierd.address(), pause: patience}
	for seed := range uint64(40) {
		sent := seedRequest(rand.New(rand.NewPCG(1, seed)))
		got, err := a.exchange(sent)
		if err != nil || len(got) == 0 {
			t.Fatalf("%q: %v, %v", sent, got, err)
		}
		for _, one := range got {
			if one.status != 200 || one.check(sent) != nil {
				t.Fatalf("%q: status %d, %.200q", sent, one.status, one.body)
			}
		}
	}
	if err := silent(r.engine.log); err != nil {
		t.Error(err)
	}
}

func TestAnswersOfAConnectionAreReadWhole(t *testing.T) {
	for rule, c := range map[string]struct {
		all   string
		count int
		ok    bool
	}{
		"nothing":                       {"", 0, true},
		"two answers":                   {sized("a") + sized("bc"), 2, true},
		"what leads to an answer":       {"HTTP/1.1 100 Continue\r\n\r\n" + sized("a"), 1, true},
		"half an answer":                {sized("abc")[:len(sized("abc"))-1], 0, false},
		"an answer with something else": {sized("abc") + "0\r\n", 1, false},
	} {
		got, err := readAnswers([]byte(c.all))
		if len(got) != c.count || (err == nil) != c.ok {
			t.Errorf("%s: %v, %v", rule, got, err)
		}
	}
}

package agent

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// fakeBus is a bus with a service manager on it, as far as the adapter talks to them: real messages over a real socket,
// units in a map. One connection at a time.
type fakeBus struct {
	t        *testing.T
	path     string
	listener net.Listener

	mu       sync.Mutex
	conn     net.Conn
	units    map[string]*busUnit
	calls    []string              // member and first argument
	bodies   map[string][]any      // by member: the arguments of the last call
	fail     map[string]dbus.Error // by "member argument" or by member
	results  map[string]string     // of jobs, by "start UNIT"; done unless it is here
	pinned   map[string]bool       // units that stay loaded although nobody holds them, until a reload
	silent   map[string]bool       // members that get no answer
	lastJob  uint32
	lostJobs bool              // the end of a job is not signalled
	hangsUp  string            // the member after whose answer the connection ends
	before   map[string]func() // by member: what somebody else does just then
}

type busUnit struct {
	load, active, sub string
	fragment          string
	fields            [][]byte
	refs              int
	job               uint32
	slice             string
}

func ourFields(tier string) [][]byte {
	return [][]byte{[]byte("TIERD_TIER=" + tier), []byte("TIERD_HASH=h1")}
}

func newFakeBus(t *testing.T) *fakeBus {
	t.Helper()
	f := &fakeBus{t: t, path: filepath.Join(t.TempDir(), "bus"), units: map[string]*busUnit{}, fail: map[string]dbus.Error{}, bodies: map[string][]any{},
		results: map[string]string{}, pinned: map[string]bool{}, silent: map[string]bool{}}
	var err error
	if f.listener, err = net.Listen("unix", f.path); err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := f.listener.Accept()
			if err != nil {
				return
			}
			f.serve(c)
		}
	}()
	t.Cleanup(func() { f.listener.Close(); f.hangUp() })
	return f
}

// onBus is the adapter on a fake bus, connected.
func onBus(t *testing.T) (*Bus, *fakeBus) {
	t.Helper()
	return onBusIn(t, t.TempDir())
}

// onBusIn is onBus with a root of the test's own.
func onBusIn(t *testing.T, root string) (*Bus, *fakeBus) {
	t.Helper()
	f := newFakeBus(t)
	b := newBus(quiet(), root, func(ctx context.Context, address string) (*dbus.Conn, error) {
		return dbus.Connect(address, dbus.WithContext(ctx), dbus.WithSignalHandler(dbus.NewSequentialSignalHandler()))
	})
	b.address = "unix:path=" + f.path
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { b.keep(ctx); close(ended) }()
	t.Cleanup(func() { cancel(); <-ended })
	if _, err := b.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b, f
}

// hangUp is the end of the bus.
func (f *fakeBus) hangUp() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.conn != nil {
		f.conn.Close()
	}
}

func (f *fakeBus) serve(c net.Conn) {
	f.mu.Lock()
	f.conn = c
	f.mu.Unlock()
	defer c.Close()
	in := bufio.NewReader(c)
	for { // the handshake of the D-Bus specification, "Authentication Protocol"
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		answer := "ERROR"
		switch line = strings.Trim(line, "\x00\r\n"); {
		case line == "AUTH":
			answer = "REJECTED EXTERNAL"
		case line == "AUTH EXTERNAL":
			answer = "DATA"
		case strings.HasPrefix(line, "DATA"):
			answer = "OK 0123456789abcdef0123456789abcdef"
		}
		if line == "BEGIN" {
			break
		}
		fmt.Fprintf(c, "%s\r\n", answer)
	}
	for {
		m, err := dbus.DecodeMessage(in)
		if err != nil {
			return
		}
		f.answer(m)
	}
}

func header(m *dbus.Message, field dbus.HeaderField) string {
	s, _ := m.Headers[field].Value().(string)
	return s
}

func (f *fakeBus) answer(m *dbus.Message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	member, first := header(m, dbus.FieldMember), ""
	if len(m.Body) > 0 {
		first, _ = m.Body[0].(string)
	}
	f.calls = append(f.calls, strings.TrimSpace(member+" "+first))
	f.bodies[member] = m.Body
	if f.silent[member] {
		return
	}
	if f.before[member] != nil {
		f.before[member]()
	}
	reply := &dbus.Message{Type: dbus.TypeMethodReply, Headers: map[dbus.HeaderField]dbus.Variant{}}
	failure, failed := f.fail[member+" "+first]
	if !failed {
		failure, failed = f.fail[member]
	}
	var after func()
	if !failed {
		reply.Body, after, failure = f.handle(m, member, first)
		failed = failure.Name != ""
	}
	if failed {
		reply.Type, reply.Body = dbus.TypeError, failure.Body
		reply.Headers[dbus.FieldErrorName] = dbus.MakeVariant(failure.Name)
	}
	reply.Headers[dbus.FieldReplySerial] = dbus.MakeVariant(m.Serial())
	f.send(reply)
	if after != nil {
		after()
	}
	if f.hangsUp == member {
		f.conn.Close()
	}
}

func (f *fakeBus) send(m *dbus.Message) {
	m.Headers[dbus.FieldSender] = dbus.MakeVariant(systemdName)
	if len(m.Body) > 0 {
		m.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(m.Body...))
	}
	if err := m.EncodeTo(f.conn, binary.LittleEndian); err != nil && f.t.Context().Err() == nil {
		f.t.Logf("cannot send %v: %v", m, err)
	}
}

func (f *fakeBus) signal(path dbus.ObjectPath, iface, member string, body ...any) {
	f.send(&dbus.Message{Type: dbus.TypeSignal, Body: body, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldPath: dbus.MakeVariant(path), dbus.FieldInterface: dbus.MakeVariant(iface), dbus.FieldMember: dbus.MakeVariant(member)}})
}

func busError(name string) dbus.Error { return dbus.Error{Name: name, Body: []any{"the bus said boo"}} }

// handle does what systemd does. after is sent once the reply is.
func (f *fakeBus) handle(m *dbus.Message, member, first string) (body []any, after func(), failure dbus.Error) {
	u := f.units[first]
	switch member {
	case "Hello":
		return []any{":1.1"}, nil, failure
	case "Get":
		return []any{dbus.MakeVariant("262.1")}, nil, failure
	case "GetAll":
		path, _ := m.Headers[dbus.FieldPath].Value().(dbus.ObjectPath)
		return []any{f.properties(path)}, nil, failure
	case "ListUnitsByPatterns":
		list := []listed{}
		for name, u := range f.units {
			list = append(list, listed{Name: name, Load: u.load, Active: u.active, Sub: u.sub, Path: unitPath(name), JobPath: "/"})
		}
		return []any{list}, nil, failure
	case "GetUnit":
		if u == nil {
			return nil, nil, busError(errNoSuchUnit)
		}
		return []any{unitPath(first)}, nil, failure
	case "GetJob":
		return nil, nil, busError(errNoSuchJob)
	case "Reload":
		clear(f.pinned)
		f.collect()
		return nil, func() { f.signal(managerPath, managerIface, "Reloading", false) }, failure
	case "ResetFailedUnit", "RefUnit", "UnrefUnit":
		if u == nil {
			return nil, nil, busError(errNoSuchUnit)
		}
		u.refs += map[string]int{"RefUnit": 1, "UnrefUnit": -1}[member]
		if member == "ResetFailedUnit" && u.active == "failed" {
			u.active, u.sub = "inactive", "dead"
		}
		f.collect()
	case "StartTransientUnit":
		if u != nil {
			return nil, nil, busError(errUnitExists)
		}
		f.units[first] = &busUnit{load: "loaded", active: "inactive", sub: "dead", fields: ourFields("coder"), refs: 1, fragment: "/run/systemd/transient/" + first}
		return f.job("define", first)
	case "StartUnit", "StopUnit":
		if u == nil {
			return nil, nil, busError(errNoSuchUnit)
		}
		u.active = map[string]string{"StartUnit": "active", "StopUnit": "inactive"}[member]
		return f.job(strings.ToLower(strings.TrimSuffix(member, "Unit")), first)
	}
	return nil, nil, failure
}

// job is a job that ends as soon as the reply with its path was sent.
func (f *fakeBus) job(what, unit string) ([]any, func(), dbus.Error) {
	f.lastJob++
	id, result := f.lastJob, "done"
	if r := f.results[what+" "+unit]; r != "" {
		result = r
	}
	path := dbus.ObjectPath(fmt.Sprint("/org/freedesktop/systemd1/job/", id))
	after := func() { f.signal(managerPath, managerIface, "JobRemoved", id, path, unit, result) }
	if f.lostJobs {
		after = nil
	}
	return []any{path}, after, dbus.Error{}
}

// collect drops what does not run and is held by nobody.
func (f *fakeBus) collect() {
	for name, u := range f.units {
		if u.active == "inactive" && u.refs <= 0 && !f.pinned[name] && u.load == "loaded" {
			delete(f.units, name)
		}
	}
}

func (f *fakeBus) properties(path dbus.ObjectPath) map[string]dbus.Variant {
	for name, u := range f.units {
		if unitPath(name) == path {
			return map[string]dbus.Variant{
				"LoadState": dbus.MakeVariant(u.load), "ActiveState": dbus.MakeVariant(u.active), "SubState": dbus.MakeVariant(u.sub),
				"LogExtraFields": dbus.MakeVariant(u.fields), "FragmentPath": dbus.MakeVariant(u.fragment),
				"Slice": dbus.MakeVariant(u.slice),
				"Job": dbus.MakeVariant(struct {
					ID   uint32
					Path dbus.ObjectPath
				}{u.job, "/"}),
			}
		}
	}
	return map[string]dbus.Variant{"LoadState": dbus.MakeVariant("not-found"), "ActiveState": dbus.MakeVariant("inactive")}
}

// with changes what is on the bus, and has the adapter told of a unit that was there before.
func (f *fakeBus) with(name string, change func(u *busUnit)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	u, known := f.units[name]
	if !known {
		u = &busUnit{load: "loaded", active: "inactive", sub: "dead", fields: ourFields("coder")}
		f.units[name] = u
	}
	change(u)
	if !known {
		return // a signal of it would come at any time later
	}
	f.signal(unitPath(name), propertyIface, "PropertiesChanged", "org.freedesktop.systemd1.Unit", map[string]dbus.Variant{}, []string{})
}

// set changes how the bus behaves.
func (f *fakeBus) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// said takes the calls of these members since the last time.
func (f *fakeBus) said(members ...string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []string
	for _, c := range f.calls {
		if member, _, _ := strings.Cut(c, " "); slices.Contains(members, member) {
			list = append(list, c)
		}
	}
	f.calls = nil
	return list
}

// hinted waits for a hint of that size.
func hinted(t *testing.T, b *Bus, all bool) {
	t.Helper()
	limit := time.After(30 * time.Second)
	for {
		select {
		case got := <-b.Changed():
			if got == all || got {
				return
			}
		case <-limit:
			t.Fatalf("no hint (everything: %v) came", all)
		}
	}
}

package gateway

import (
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/tierd/tierd/agent/api"
)

func testMemory(t testing.TB) *tableMemory {
	t.Helper()
	m, err := newTableMemory()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(m.fd) })
	return m
}

func TestTheMemoryGivesBackTheLastTable(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := testMemory(t)
		var last api.Table
		for range rapid.IntRange(1, 6).Draw(rt, "tables") {
			last = api.Table{Seq: rapid.Uint64().Draw(rt, "seq"), Listen: rapid.String().Draw(rt, "listen")}
			for range rapid.IntRange(0, 8).Draw(rt, "routes") {
				last.Routes = append(last.Routes, api.Route{Tier: rapid.StringMatching(`[a-z]{1,20}`).Draw(rt, "tier"), State: api.Ready})
			}
			if err := m.save(last); err != nil {
				rt.Fatal(err)
			}
			if rapid.Bool().Draw(rt, "restart") {
				m = &tableMemory{fd: m.fd}
				if _, err := m.load(); err != nil {
					rt.Fatal(err)
				}
			}
		}
		got, err := (&tableMemory{fd: m.fd}).load()
		if err != nil || got.Seq != last.Seq || len(got.Routes) != len(last.Routes) {
			rt.Fatalf("got %+v, %v; want %+v", got, err, last)
		}
	})
}

func TestATableCutShortLeavesTheOneBefore(t *testing.T) {
	m := testMemory(t)
	first := api.Table{Seq: 1, Listen: "127.0.0.1", Port: 8000}
	second := api.Table{Seq: 2, Listen: "127.0.0.2", Port: 9000}
	for _, table := range []api.Table{first, second} {
		if err := m.save(table); err != nil {
			t.Fatal(err)
		}
	}
	newest := int64(m.count % 2)
	for rule, damage := range map[string]struct {
		at   int64
		data string
	}{
		"in the text":   {slotHeader + 3, "XXXX"},
		"in the sum":    {12, "\x00\x00\x00\x00"},
		"in the length": {8, "\xff\xff\xff\x7f"},
	} {
		kept := make([]byte, slotHeader+64)
		unix.Pread(m.fd, kept, newest*slotSize)
		unix.Pwrite(m.fd, []byte(damage.data), newest*slotSize+damage.at)
		if got, err := (&tableMemory{fd: m.fd}).load(); err != nil || !reflect.DeepEqual(got, first) {
			t.Errorf("%s: got %+v, %v", rule, got, err)
		}
		unix.Pwrite(m.fd, kept, newest*slotSize)
	}
	if got, err := (&tableMemory{fd: m.fd}).load(); err != nil || !reflect.DeepEqual(got, second) {
		t.Errorf("undamaged: got %+v, %v", got, err)
	}
}

func TestAnEmptyMemoryAndATooLargeTable(t *testing.T) {
	m := testMemory(t)
	if table, err := m.load(); err == nil {
		t.Errorf("an empty memory holds %+v", table)
	}
	if err := m.save(api.Table{Listen: strings.Repeat("x", slotSize)}); err == nil {
		t.Error("a table was written over the other slot")
	}
}

func FuzzMemory(f *testing.F) {
	f.Add([]byte(""))
	f.Add([]byte("\x01\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x43\xbf\xa6\xa3{}"))
	m, err := newTableMemory()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		unix.Ftruncate(m.fd, 0)
		unix.Pwrite(m.fd, data, 0)
		(&tableMemory{fd: m.fd}).load() // must neither panic nor take what it does not hold
	})
}

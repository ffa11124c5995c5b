package main

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
)

// query is a DNS query for a name, as a resolver sends it.
func query(name string, kind uint16) []byte {
	packet := []byte{0x12, 0x34, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 1}
	for label := range strings.SplitSeq(name, ".") {
		packet = append(append(packet, byte(len(label))), label...)
	}
	packet = binary.BigEndian.AppendUint16(append(packet, 0), kind)
	packet = append(packet, 0, 1)
	return append(packet, 0, 0, 41, 2, 0, 0, 0, 0, 0, 0, 0) // EDNS: what an additional record says of the sender
}

func TestNamesAreReadAndAnswered(t *testing.T) {
	for _, c := range []struct {
		name    string
		kind    uint16
		answers byte
	}{
		{"packages.example.test", 1, 1},
		{"packages.example.test", 28, 0}, // AAAA: there is none, so that the other address is taken
		{"localhost", 1, 1},
	} {
		packet := query(c.name, c.kind)
		name, end, kind := question(packet)
		if name != c.name || kind != c.kind {
			t.Errorf("%s, %d: read %q, %d", c.name, c.kind, name, kind)
			continue
		}
		out := answer(packet[:end], kind)
		if !bytes.Equal(out[:2], packet[:2]) || out[2] != 0x81 || out[3]&0x0f != 0 {
			t.Errorf("%s: the answer's head is % x", c.name, out[:4])
		}
		if out[5] != 1 || out[7] != c.answers || out[11] != 0 {
			t.Errorf("%s, %d: counts are % x", c.name, c.kind, out[4:12])
		}
		if has := bytes.HasSuffix(out, nobody[:]); has != (c.answers == 1) {
			t.Errorf("%s, %d: has an address: %t", c.name, c.kind, has)
		}
	}
}

func FuzzQuestion(f *testing.F) {
	f.Add(query("a.b", 1))
	f.Add(query("", 28))
	f.Add([]byte("\x00\x00\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01"))
	f.Fuzz(func(t *testing.T, packet []byte) {
		name, end, kind := question(packet)
		if end == 0 {
			return
		}
		if end > len(packet) {
			t.Fatalf("the question of %d bytes ends at %d", len(packet), end)
		}
		again, same, wanted := question(answer(packet[:end], kind))
		if again != name || same != end || wanted != kind {
			t.Errorf("asked for %q, %d; the answer says %q, %d", name, kind, again, wanted)
		}
	})
}

// packet4 is an IPv4 packet with a transport's header behind it.
func packet4(protocol byte, to [4]byte, rest ...byte) []byte {
	packet := make([]byte, 20, 64)
	packet[0], packet[9] = 0x45, protocol
	copy(packet[16:], to[:])
	return append(packet, rest...)
}

func TestOnlyWhatLeavesIsSeen(t *testing.T) {
	tcp := func(flags byte) []byte { return []byte{0x80, 1, 1, 187, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, flags} }
	udp := []byte{0x80, 1, 0, 53, 0, 8, 0, 0}
	six := func(last byte, rest []byte) []byte {
		packet := make([]byte, 40, 64)
		packet[0], packet[6] = 0x60, 6
		packet[24], packet[39] = 0x20, last
		if last == 1 {
			packet[24] = 0
		}
		return append(packet, rest...)
	}
	for name, c := range map[string]struct {
		packet []byte
		want   string
	}{
		"a connection's first packet":     {packet4(6, [4]byte{192, 0, 2, 7}, tcp(0x02)...), "tcp 192.0.2.7:443"},
		"its answer":                      {packet4(6, [4]byte{192, 0, 2, 7}, tcp(0x12)...), ""},
		"its refusal":                     {packet4(6, [4]byte{192, 0, 2, 7}, tcp(0x14)...), ""},
		"a datagram":                      {packet4(17, [4]byte{9, 9, 9, 9}, udp...), "udp 9.9.9.9:53"},
		"a connection within the machine": {packet4(6, [4]byte{127, 0, 0, 53}, tcp(0x02)...), ""},
		"the other protocol":              {six(9, tcp(0x02)), "tcp [2000::9]:443"},
		"the other protocol, within":      {six(1, tcp(0x02)), ""},
		"a control message":               {packet4(1, [4]byte{192, 0, 2, 7}, udp...), ""},
		"a packet that is cut short":      {packet4(6, [4]byte{192, 0, 2, 7}, 1, 2), ""},
		"a header longer than its packet": {append([]byte{0x4f}, packet4(6, [4]byte{192, 0, 2, 7})[1:]...), ""},
		"nothing":                         {nil, ""},
	} {
		if got, ok := destination(c.packet); got != c.want || ok != (c.want != "") {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func FuzzDestination(f *testing.F) {
	f.Add(packet4(6, [4]byte{192, 0, 2, 7}, make([]byte, 20)...))
	f.Add(make([]byte, 60))
	f.Fuzz(func(t *testing.T, packet []byte) {
		if to, ok := destination(packet); ok && (strings.Contains(to, "127.0.0.1:") || strings.Contains(to, "[::1]")) {
			t.Errorf("%s is within the machine", to)
		}
	})
}

package main

import (
	"encoding/binary"
	"encoding/json"
	"flag"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// netwatch sees whatever would leave the bed: it is the name server, which writes down every name that is looked up and
// answers with an address that is nobody's, and it looks at every packet of the loopback interface, onto which the bed's
// routes lead all addresses there are (ip route add local default dev lo). One JSON line for each.
func netwatch(args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("netwatch", flag.ContinueOnError)
	listen := flags.String("listen", "127.0.0.1:53", "where names are asked for")
	if err := flags.Parse(args); err != nil {
		return err
	}
	names, err := net.ListenPacket("udp", *listen)
	if err != nil {
		return err
	}
	// SOCK_DGRAM: without the link's header, so that a packet begins with the one of IP.
	packets, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(htons(unix.ETH_P_ALL)))
	if err != nil {
		return err
	}
	var mu sync.Mutex
	lines := json.NewEncoder(stdout)
	seen := func(s sight) {
		mu.Lock()
		defer mu.Unlock()
		_ = lines.Encode(s)
	}
	failed := make(chan error, 2)
	go func() { failed <- answerNames(names, seen) }()
	go func() { failed <- watchPackets(packets, seen) }()
	return <-failed
}

// sight is one thing seen: a name that was looked up, or an address that something was sent to.
type sight struct {
	Name string `json:",omitempty"`
	To   string `json:",omitempty"` // "tcp 192.0.2.1:443"
}

// nobody is an address of those that documents use (RFC 5737): what is sent there gets a refusal from the bed's own kernel.
var nobody = [4]byte{192, 0, 2, 1}

func answerNames(conn net.PacketConn, seen func(sight)) error {
	buffer := make([]byte, 1500)
	for {
		n, from, err := conn.ReadFrom(buffer)
		if err != nil {
			return err
		}
		name, end, kind := question(buffer[:n])
		if end == 0 {
			continue
		}
		seen(sight{Name: name})
		_, _ = conn.WriteTo(answer(buffer[:end], kind), from)
	}
}

// question reads the first question of a DNS query (RFC 1035, 4.1): its name, where it ends and the kind of record that is
// wanted. end is 0 when it is no query that could be answered.
func question(packet []byte) (name string, end int, kind uint16) {
	const header = 12
	if len(packet) < header || binary.BigEndian.Uint16(packet[4:]) == 0 {
		return "", 0, 0
	}
	var labels []string
	for at := header; at < len(packet); {
		length := int(packet[at])
		at++
		switch {
		case length == 0 && at+4 <= len(packet):
			return strings.Join(labels, "."), at + 4, binary.BigEndian.Uint16(packet[at:])
		case length == 0 || length > 63 || at+length > len(packet): // more than 63: a pointer, which no question has
			return "", 0, 0
		}
		labels = append(labels, string(packet[at:at+length]))
		at += length
	}
	return "", 0, 0
}

// answer is the response to a query that ends with its question: one address for kind A, none for others.
func answer(query []byte, kind uint16) []byte {
	const kindA = 1
	out := append([]byte(nil), query...)
	out[2], out[3] = 0x80|query[2]&0x01, 0x80 // a response; recursion as it was asked for
	for i := 4; i < 12; i++ {
		out[i] = 0
	}
	out[5] = 1 // question
	if kind == kindA {
		out[7] = 1                                                                    // answer
		out = append(out, 0xc0, 12, 0, kindA, 0, 1, 0, 0, 0, 0, 0, byte(len(nobody))) // the question's name, class IN, not to be kept
		out = append(out, nobody[:]...)
	}
	return out
}

func watchPackets(fd int, seen func(sight)) error {
	buffer := make([]byte, 2048)
	for {
		n, from, err := unix.Recvfrom(fd, buffer, 0)
		switch link, ok := from.(*unix.SockaddrLinklayer); {
		case err == syscall.EINTR:
			continue
		case err != nil:
			return err
		case !ok || link.Pkttype != unix.PACKET_HOST: // each packet of the loopback is seen as it goes and as it comes
			continue
		}
		if to, ok := destination(buffer[:n]); ok {
			seen(sight{To: to})
		}
	}
}

// destination tells where a packet wants to go that leaves the machine: the first of a TCP connection, or any of UDP.
func destination(packet []byte) (string, bool) {
	var protocol byte
	var to netip.Addr
	var rest []byte
	switch {
	case len(packet) >= 20 && packet[0]>>4 == 4:
		length := int(packet[0]&0x0f) * 4
		if length < 20 || length > len(packet) {
			return "", false
		}
		protocol, to, rest = packet[9], netip.AddrFrom4([4]byte(packet[16:20])), packet[length:]
	case len(packet) >= 40 && packet[0]>>4 == 6:
		protocol, to, rest = packet[6], netip.AddrFrom16([16]byte(packet[24:40])).Unmap(), packet[40:]
	default:
		return "", false
	}
	if to.IsLoopback() || len(rest) < 4 {
		return "", false
	}
	port := netip.AddrPortFrom(to, binary.BigEndian.Uint16(rest[2:])).String()
	const syn, ack = 0x02, 0x10
	switch {
	case protocol == unix.IPPROTO_UDP:
		return "udp " + port, true
	case protocol == unix.IPPROTO_TCP && len(rest) >= 14 && rest[13]&(syn|ack) == syn:
		return "tcp " + port, true
	}
	return "", false
}

func htons(v uint16) uint16 { return v<<8 | v>>8 } // right on little-endian machines, which all that beds run on are

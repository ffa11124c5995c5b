package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
)

// seedRequest is what mutations begin with: one of some kinds, with an id.
func seedRequest(random *rand.Rand) []byte {
	id := fmt.Sprintf("%0*d", idLength, random.Uint32N(1<<20))
	chat := `{"model":"coder","user":"` + id + `"}`
	const host = " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
	plain := fmt.Sprintf("POST %s%sContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", smallPath, host, len(chat), chat)
	var whole string
	switch random.IntN(5) {
	case 0:
		whole = plain
	case 1:
		whole = fmt.Sprintf("POST %s%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", smallPath, host, 10, chat[:10], len(chat)-10, chat[10:])
	case 2: // two, one behind the other
		whole = "GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n" + plain
	case 3:
		whole = fmt.Sprintf("POST %s%sExpect: 100-continue\r\nContent-Length: %d\r\n\r\n%s", uploadPath, host, len(chat), chat)
	case 4:
		whole = fmt.Sprintf("GET %s?bytes=%s%s\r\n", largePath, id, host)
	}
	return []byte(whole)
}

// lines are what a mutation puts between a request's lines: where parsers have disagreed before.
var lines = []string{
	"Content-Length: 5", "Content-Length: 0", "Content-Length: +5", "Content-Length: 5, 5", "Content-Length: 0x5",
	"Content-Length: -1", "Content-Length: 99999999999999999999", "Content-Length : 5",
	"Transfer-Encoding: chunked", "Transfer-Encoding: xchunked", "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: chunked, identity",
	"Transfer-Encoding:\x0bchunked", "Transfer-Encoding\t: chunked", " Transfer-Encoding: chunked", "X: y\r\n Transfer-Encoding: chunked",
	"Host: other", "Host:", "Connection: upgrade\r\nUpgrade: x", "Connection: content-length", "Expect: 100-continue", "Expect: x",
	"Te: trailers", "Trailer: Content-Length", "X: \x00", "X: \r", "X", ": x", "", "\xff\xfe: x",
}

// pieces are what a mutation puts anywhere.
var pieces = []string{
	"\r\n", "\n", "\r", "\r\n\r\n", "\n\n", "0\r\n\r\n", "0", "-", "ffffffffffffffff\r\n", "5;ext=\"\r\n\"\r\n", "\x00", "%00", "%2e%2e", "//", "?", "#", " ",
	"\t", "http://other/", "HTTP/1.0", "HTTP/2.0", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
}

// mutated spoils a request in one to three places.
func mutated(random *rand.Rand) []byte {
	b := seedRequest(random)
	for range 1 + random.IntN(3) {
		at := random.IntN(len(b) + 1)
		switch random.IntN(6) {
		case 0: // a bit falls over
			if at < len(b) {
				b[at] ^= 1 << random.IntN(8)
			}
		case 1: // a part is missing
			b = append(b[:at:at], b[min(len(b), at+1+random.IntN(16)):]...)
		case 2: // a part comes twice
			part := bytes.Clone(b[at:min(len(b), at+1+random.IntN(64))])
			b = append(b[:at:at], append(part, b[at:]...)...)
		case 3: // it ends here
			b = b[:max(at, 1)]
		case 4:
			b = insert(b, at, pieces[random.IntN(len(pieces))])
		case 5:
			if end := bytes.Index(b[min(at, len(b)):], []byte("\r\n")); end >= 0 {
				b = insert(b, at+end+2, lines[random.IntN(len(lines))]+"\r\n")
			}
		}
		if len(b) == 0 {
			return []byte("\r\n")
		}
	}
	return b
}

func insert(b []byte, at int, piece string) []byte {
	return append(b[:at:at], append([]byte(piece), b[at:]...)...)
}

package wire

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
)

// head is what has to be known of a request's head that http.ReadRequest does not tell.
type head struct {
	size    int  // bytes up to and with the empty line; 0: it is not complete
	host    bool // there is a Host
	strange bool // whose value is none
	length  bool // there is a Content-Length
	folded  bool // a line goes on in the next one
}

// scanHead looks for the end of the head that b begins with.
func scanHead(b []byte) (h head) {
	for pos := 0; ; {
		end := bytes.IndexByte(b[pos:], '\n')
		if end < 0 {
			return head{}
		}
		line := bytes.TrimSuffix(b[pos:pos+end], []byte("\r"))
		first := pos == 0
		pos += end + 1
		switch {
		case len(line) == 0:
			h.size = pos
			return h
		case first:
		case line[0] == ' ' || line[0] == '\t':
			h.folded = true
		case line[0]|0x20 == 'h':
			if value, ok := field(line, "host"); ok {
				h.host, h.strange = true, !validHost(bytes.Trim(value, " \t"))
			}
		case line[0]|0x20 == 'c':
			if _, ok := field(line, "content-length"); ok {
				h.length = true
			}
		}
	}
}

// field is the value of a line whose name is this one; name is in small letters.
func field(line []byte, name string) ([]byte, bool) {
	if len(line) <= len(name) || line[len(name)] != ':' || !strings.EqualFold(string(line[:len(name)]), name) {
		return nil, false
	}
	return line[len(name)+1:], true
}

// refusal is a request that cannot be served, and the status that says so.
type refusal struct {
	status int
	reason string
}

func (r *refusal) Error() string { return r.reason }

var (
	errLargeHead = &refusal{http.StatusRequestHeaderFieldsTooLarge, "The head of the request is larger than 64 KiB. Shorten its path or its headers."}
	errVersion   = &refusal{http.StatusHTTPVersionNotSupported, "Only HTTP/1.0 and HTTP/1.1 are spoken here."}
	errCoding    = &refusal{http.StatusNotImplemented, "The only Transfer-Encoding known here is chunked."}
	errExpect    = &refusal{http.StatusExpectationFailed, "The only Expect known here is 100-continue."}
	errGarbage   = &refusal{http.StatusBadRequest, "This is no HTTP request."}
)

func malformed(reason string) error { return &refusal{http.StatusBadRequest, reason} }

// check refuses what net/http's server refuses after http.ReadRequest, and a little more, each for a reason:
//   - a line that goes on in the next (obs-fold), and Content-Length beside Transfer-Encoding: RFC 9112 lets a server choose,
//     and both are only met where two programs are to read one message in two ways;
//   - PRI, with which HTTP/2 begins: there is none here.
func (h *head) check(r *http.Request) error {
	switch {
	case r.ProtoMajor != 1:
		return errVersion
	case h.folded:
		return malformed("A header goes over more than one line.")
	case h.strange:
		return malformed("The Host header is not valid.")
	case !h.host && r.ProtoAtLeast(1, 1) && r.Method != http.MethodConnect:
		return malformed("There is no Host header.")
	case h.length && len(r.TransferEncoding) > 0:
		return malformed("There is a Content-Length beside a Transfer-Encoding.")
	}
	for name, values := range r.Header {
		if !validName(name) {
			return malformed("The name of a header is not valid.")
		}
		for _, value := range values {
			if !validValue(value) {
				return malformed("The value of a header is not valid.")
			}
		}
	}
	return nil
}

// asRefusal tells what to answer to an error of http.ReadRequest.
func asRefusal(err error) *refusal {
	var r *refusal
	if errors.As(err, &r) {
		return r
	}
	// The error's type is net/http's own; its server looks at the type and says 501 as well.
	if text := err.Error(); strings.HasPrefix(text, "unsupported transfer encoding") || strings.HasPrefix(text, "too many transfer encodings") {
		return errCoding
	}
	return errGarbage
}

// Bytes that may stand in a host and in a name; these are the sets of net/http.
var (
	hostBytes = byteSet("!$%&()*+,-.:;=['" + "]_~")
	nameBytes = byteSet("!#$%&'*+-.^_`|~")
)

func byteSet(others string) (set [256]bool) {
	for b := range set {
		alpha := b|0x20 >= 'a' && b|0x20 <= 'z'
		set[b] = b < 0x80 && (alpha || b >= '0' && b <= '9' || strings.IndexByte(others, byte(b)) >= 0)
	}
	return set
}

func validHost(host []byte) bool {
	for _, b := range host {
		if !hostBytes[b] {
			return false
		}
	}
	return true
}

func validName(name string) bool {
	for i := range len(name) {
		if !nameBytes[name[i]] {
			return false
		}
	}
	return name != ""
}

func validValue(value string) bool {
	for i := range len(value) {
		if b := value[i]; b < ' ' && b != '\t' || b == 0x7f {
			return false
		}
	}
	return true
}

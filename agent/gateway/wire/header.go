package wire

import (
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// begin appends the head of an answer, and decides how its body is framed: with the length when it is known, else in chunks.
// from are an engine's headers; the handler's own give way to them.
func (w *Response) begin(b []byte, status int, length int64, from http.Header) []byte {
	w.begun = true
	if w.c.s.closing.Load() || hasToken(w.header.Get("Connection"), "close") || !w.close && !w.body.settle() {
		w.close = true
	}
	switch {
	case w.method == http.MethodHead || !bodyAllowed(status):
		w.frame = noBody
	case length >= 0:
		w.frame = byLength
	case w.http11:
		w.frame = inChunks
	default:
		w.frame, w.close = toTheEnd, true
	}
	b = appendStatus(b, w.http11, status)
	typed := bodyAllowed(status)
	for name, values := range w.header {
		if from[name] == nil && !HopByHop(name) && name != "Content-Length" && (typed || name != "Content-Type") {
			b = appendValues(b, name, values)
		}
	}
	listed := from["Connection"]
	for name, values := range from {
		if HopByHop(name) || name == "Content-Length" || !typed && name == "Content-Type" || !validName(name) || len(listed) > 0 && Listed(listed, name) {
			continue
		}
		b = appendValues(b, name, values)
	}
	if from["Date"] == nil && w.header["Date"] == nil {
		b = append(b, date()...)
	}
	switch {
	case w.frame == inChunks:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	case length >= 0 && bodyAllowed(status):
		b = append(strconv.AppendInt(append(b, "Content-Length: "...), length, 10), "\r\n"...)
	}
	switch {
	case w.close && w.http11:
		b = append(b, "Connection: close\r\n"...)
	case !w.close && !w.http11:
		b = append(b, "Connection: keep-alive\r\n"...)
	}
	return b
}

func appendStatus(b []byte, http11 bool, status int) []byte {
	if http11 {
		b = append(b, "HTTP/1.1 "...)
	} else {
		b = append(b, "HTTP/1.0 "...)
	}
	b = append(strconv.AppendInt(b, int64(status), 10), ' ')
	if text := http.StatusText(status); text != "" {
		b = append(b, text...)
	} else {
		b = append(append(b, "status code "...), strconv.Itoa(status)...)
	}
	return append(b, "\r\n"...)
}

// HopByHop tells whether a header, canonically written, concerns one connection alone (RFC 9110 section 7.6.1).
func HopByHop(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
		"Proxy-Authenticate", "Proxy-Authorization":
		return true
	}
	return false
}

// Listed tells whether a message's Connection header names a header, which then concerns this connection alone.
func Listed(connection []string, name string) bool {
	for _, line := range connection {
		if hasToken(line, name) {
			return true
		}
	}
	return false
}

// AppendField appends one line of a head. A line break in a value, which no parser lets through, would be another line.
func AppendField(b []byte, name, value string) []byte {
	b = append(append(b, name...), ": "...)
	if strings.IndexByte(value, '\n') >= 0 || strings.IndexByte(value, '\r') >= 0 {
		value = strings.NewReplacer("\r", " ", "\n", " ").Replace(value)
	}
	return append(append(b, value...), "\r\n"...)
}

func appendValues(b []byte, name string, values []string) []byte {
	for _, value := range values {
		b = AppendField(b, name, value)
	}
	return b
}

func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

// today is the Date line of one second.
type today struct {
	second int64
	line   []byte
}

var lastDate atomic.Pointer[today]

func date() []byte {
	now := time.Now()
	if d := lastDate.Load(); d != nil && d.second == now.Unix() {
		return d.line
	}
	d := &today{now.Unix(), now.UTC().AppendFormat([]byte("Date: "), http.TimeFormat+"\r\n")}
	lastDate.Store(d)
	return d.line
}

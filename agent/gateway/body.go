package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"

	"github.com/tierd/tierd/agent/gateway/wire"
)

// firstBuffer is what a body of unknown length begins with.
const firstBuffer = 64 << 10

// readBody reads a request's body to its end. It is read before anything is forwarded: an engine may answer before it has the
// whole body, and a request can be sent once more. The body lies in the block, which the caller frees when it is done with it.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) (*wire.Block, []byte, error) {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return nil, nil, nil
	}
	if r.ContentLength > limit {
		w.Header().Set("Connection", "close") // else the server would read the body to keep the connection
		return nil, nil, tooLarge(limit)
	}
	block, err := wire.NewBlock(int(max(r.ContentLength, 0)))
	if r.ContentLength < 0 {
		block, err = wire.NewBlock(firstBuffer)
	}
	if err != nil {
		return nil, nil, noRoom(err)
	}
	size, err := fillBlock(block, r, limit)
	if err != nil {
		block.Free()
		w.Header().Set("Connection", "close")
		return nil, nil, err
	}
	return block, block.Bytes[:size], nil
}

// fillBlock reads until the body's end. It reads no byte that is not the body's.
func fillBlock(block *wire.Block, r *http.Request, limit int64) (size int, err error) {
	for {
		if size == len(block.Bytes) {
			if int64(size) > limit {
				return size, tooLarge(limit)
			}
			if err := block.Grow(size); err != nil {
				return size, noRoom(err)
			}
		}
		end := min(len(block.Bytes), size+readStep)
		if err := block.Use(end); err != nil {
			return size, noRoom(err)
		}
		n, err := r.Body.Read(block.Bytes[size:end])
		size += n
		switch {
		case int64(size) > limit:
			return size, tooLarge(limit)
		case err == io.EOF || int64(size) == r.ContentLength:
			return size, nil
		case err != nil:
			return size, cutBody(err)
		}
	}
}

// cutBody is the failure of a request whose body did not come to its end. A client that was silent may ask again, which 408
// tells it; what was sent wrongly would be wrong once more.
func cutBody(err error) *failure {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		f := badRequest("Nothing of the request body has come for %v, which is as long as the gateway waits. Ask again.", wire.BodyPause)
		f.status, f.code = http.StatusRequestTimeout, "request_timeout"
		return f
	case errors.Is(err, io.ErrUnexpectedEOF):
		return badRequest("The request body ended before its time: the connection was closed.")
	}
	return badRequest("The request body cannot be read: %v.", err)
}

// readStep is what is read of a body at one time.
const readStep = 1 << 20

func tooLarge(limit int64) *failure {
	return &failure{
		status: http.StatusRequestEntityTooLarge, kind: "invalid_request_error", code: "body_too_large",
		message: fmt.Sprintf("The request body is larger than %.4g MiB, which is what `max_body` in [gateway] of tiers.toml allows.", float64(limit)/(1<<20)),
	}
}

func noRoom(err error) *failure {
	return &failure{
		status: http.StatusServiceUnavailable, kind: "service_unavailable_error", code: "out_of_memory", retryAfter: retryBroken,
		message: fmt.Sprintf("The gateway has no memory for the request: %v.", err),
	}
}

// parts are the pieces of a body in their order, so that a name can be exchanged without a copy of the rest.
type parts [][]byte

func whole(body []byte) parts {
	if len(body) == 0 {
		return nil
	}
	return parts{body}
}

// exchanged is the body with other bytes at one place.
func exchanged(body []byte, at span, with []byte) parts {
	return parts{body[:at.start], with, body[at.end:]}
}

// modelIn finds the model's name in a body: a JSON object's member, or a form field. A body of another type has none.
func modelIn(contentType string, body []byte) (name string, replace func(string) parts, err error) {
	media, params, mediaErr := mime.ParseMediaType(contentType)
	if mediaErr == nil && media == "multipart/form-data" {
		at, ok := findFormField(body, params["boundary"], "model")
		if !ok {
			return "", nil, errNoModel
		}
		replace = func(with string) parts { return exchanged(body, at, []byte(with)) }
		return string(body[at.start:at.end]), replace, nil
	}
	// curl and many scripts send JSON as application/x-www-form-urlencoded, and the engines take it.
	if len(body) == 0 {
		return "", nil, errNoModel
	}
	name, at, err := findModel(body)
	if err != nil {
		return "", nil, err
	}
	return name, func(with string) parts { return replaceModel(body, at, with) }, nil
}

// findFormField tells where the value of a field stands in a multipart body.
func findFormField(body []byte, boundary, field string) (span, bool) {
	if boundary == "" {
		return span{}, false
	}
	line := []byte("\r\n--" + boundary)
	pos := 0
	if bytes.HasPrefix(body, line[2:]) {
		pos = len(line) - 2
	} else if i := bytes.Index(body, line); i >= 0 {
		pos = i + len(line)
	} else {
		return span{}, false
	}
	for {
		eol := bytes.Index(body[pos:], []byte("\r\n"))
		if eol < 0 || bytes.HasPrefix(body[pos:], []byte("--")) {
			return span{}, false
		}
		head := pos + eol
		gap := bytes.Index(body[head:], []byte("\r\n\r\n"))
		if gap < 0 {
			return span{}, false
		}
		start := head + gap + 4
		length := bytes.Index(body[start-2:], line) // an empty value's end shares the gap's last line break
		if length < 0 {
			return span{}, false
		}
		end := max(start-2+length, start)
		if fieldName(string(body[head:head+gap])) == field {
			return span{start, end}, true
		}
		pos = start - 2 + length + len(line)
	}
}

// fieldName reads a part's header.
func fieldName(header string) string {
	for line := range strings.SplitSeq(header, "\r\n") {
		key, value, _ := strings.Cut(line, ":")
		if !strings.EqualFold(strings.TrimSpace(key), "Content-Disposition") {
			continue
		}
		kind, params, err := mime.ParseMediaType(value)
		if err == nil && kind == "form-data" && params["filename"] == "" {
			return params["name"]
		}
	}
	return ""
}

// asFailure turns any error of the way to an engine into what the client gets.
func asFailure(err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	return badRequest("%v.", err)
}

package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"
)

// bodyPause is how long a client may be silent in the middle of its body.
const bodyPause = 30 * time.Second

// firstBuffer bounds what a Content-Length alone can make the gateway allocate.
const firstBuffer = 256 << 10

// readBody reads a request's body to its end. It is read before anything is forwarded: when an engine answers before
// it has the whole body, net/http would close the body under the client, and it lets a request be sent once more.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return nil, nil
	}
	tooLarge := &failure{
		status: http.StatusRequestEntityTooLarge, kind: "invalid_request_error", code: "body_too_large",
		message: fmt.Sprintf("The request body is larger than %d MiB, the gateway's limit.", limit>>20),
	}
	if r.ContentLength > limit {
		w.Header().Set("Connection", "close") // else the server would read the body to keep the connection
		return nil, tooLarge
	}
	deadline := http.NewResponseController(w)
	// A read deadline left behind would later look like a client that went away.
	defer func() { _ = deadline.SetReadDeadline(time.Time{}) }()
	size := min(max(r.ContentLength, 512), firstBuffer)
	body := make([]byte, 0, size)
	for {
		if len(body) == cap(body) {
			body = grow(body, r.ContentLength)
		}
		_ = deadline.SetReadDeadline(time.Now().Add(bodyPause))
		n, err := r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case int64(len(body)) > limit:
			w.Header().Set("Connection", "close")
			return nil, tooLarge
		case err == io.EOF:
			return body, nil
		case err != nil:
			w.Header().Set("Connection", "close")
			return nil, badRequest("The request body ended early: %v.", err)
		case int64(len(body)) == r.ContentLength:
			return body, nil
		}
	}
}

// grow doubles a buffer, but not beyond a known end.
func grow(body []byte, length int64) []byte {
	size := int64(cap(body)) * 2
	if length > 0 {
		size = min(size, length)
	}
	bigger := make([]byte, len(body), max(size, int64(cap(body))+1))
	copy(bigger, body)
	return bigger
}

// modelIn finds the model's name in a body: a JSON object's member, or a form field. A body of another type has none.
func modelIn(contentType string, body []byte) (name string, replace func(string) []byte, err error) {
	media, params, mediaErr := mime.ParseMediaType(contentType)
	if mediaErr == nil && media == "multipart/form-data" {
		at, ok := findFormField(body, params["boundary"], "model")
		if !ok {
			return "", nil, errNoModel
		}
		replace = func(with string) []byte {
			return bytes.Join([][]byte{body[:at.start], []byte(with), body[at.end:]}, nil)
		}
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
	return name, func(with string) []byte { return replaceModel(body, at, with) }, nil
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

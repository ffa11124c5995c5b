package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/tierd/tierd/agent/api"
)

func badRequest(format string, args ...any) error {
	return &api.Error{Kind: api.KindBadRequest, Message: fmt.Sprintf(format, args...)}
}

// readBody reads a request's body within the limits of size and time.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength > maxBody { // before a client that waits for "100 Continue" is told to send it
		return nil, tooLarge()
	}
	rc := http.NewResponseController(w)
	// The server's own ReadTimeout would also end the context of requests that wait long: http.Server reads on in the
	// background to notice that the client went.
	if err := rc.SetReadDeadline(time.Now().Add(bodyTime)); err == nil {
		defer rc.SetReadDeadline(time.Time{})
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if errors.As(err, new(*http.MaxBytesError)) {
		return nil, tooLarge()
	}
	if err != nil {
		return nil, badRequest("cannot read the request: %v", err)
	}
	return text, nil
}

func tooLarge() error {
	return &api.Error{Kind: api.KindTooLarge, Message: fmt.Sprintf("the request is larger than %d bytes", maxBody)}
}

// decode reads exactly one JSON object into T. Unknown fields are refused, since a misspelt one would otherwise be an
// order that is carried out in part.
func decode[T any](text []byte) (T, error) {
	var out T
	if len(bytes.TrimSpace(text)) == 0 {
		return out, badRequest("the request has no body; it takes an object with %s", fieldsOf[T]())
	}
	if first := bytes.TrimSpace(text)[0]; first != '{' && json.Valid(text) {
		return out, badRequest("the request is not an object; it takes one with %s", fieldsOf[T]())
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&out); err != nil {
		return out, explainJSON[T](text, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return out, badRequest("the request goes on after its object, at %s", place(text, dec.InputOffset()))
	}
	return out, nil
}

// explainJSON says in one sentence where and why text is not a T.
func explainJSON[T any](text []byte, err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return badRequest("the request is not JSON, at %s: %v", place(text, syntax.Offset), err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return badRequest("the request is not JSON: it ends at %s, in the middle of its object", place(text, int64(len(text))))
	case errors.As(err, &kind):
		return badRequest("%q in the request cannot be a %s, at %s", kind.Field, kind.Value, place(text, kind.Offset))
	}
	// encoding/json has no type for this one error.
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return badRequest("the request has an unknown field %s; it takes %s", name, fieldsOf[T]())
	}
	return badRequest("cannot read the request: %v", err)
}

// place is where an offset is, as a person counts.
func place(text []byte, offset int64) string {
	before := text[:min(max(offset, 0), int64(len(text)))]
	line := bytes.Count(before, []byte("\n")) + 1
	column := len(before) - bytes.LastIndexByte(before, '\n') - 1
	return fmt.Sprintf("line %d, column %d", line, max(column, 1))
}

// fieldsOf lists T's JSON fields for a message.
func fieldsOf[T any]() string {
	t := reflect.TypeFor[T]()
	var names []string
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		names = append(names, fmt.Sprintf("%q", name))
	}
	return strings.Join(names, ", ")
}

// oneOf checks the action of a request.
func oneOf(action string, known ...string) error {
	for _, k := range known {
		if action == k {
			return nil
		}
	}
	list := `"` + strings.Join(known, `", "`) + `"`
	if action == "" {
		return badRequest(`"action" is missing; it can be %s`, list)
	}
	return badRequest("unknown action %q; it can be %s", action, list)
}

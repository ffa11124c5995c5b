package units

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// modelError is what keeps a model from being summed up, as a part of one sentence.
type modelError struct {
	file   string // of the model, as it is called in its folder; "": the model itself
	reason string
	broken bool // damaged, fetched in part or no model at all: no engine will load it. Else tierd just cannot tell its size
	moment bool // the disk failed or refused: another look may find it well, so it is not kept
}

func (e *modelError) Error() string { return e.of("the model") }

// of is the sentence for a model of that name: "config.json of NAME: ...".
func (e *modelError) of(model string) string {
	if e.file == "" {
		return fmt.Sprintf("%s: %s", model, e.reason)
	}
	return fmt.Sprintf("%s of %s: %s", e.file, model, e.reason)
}

// broken is a fault of a file itself.
func broken(file, format string, args ...any) error {
	return &modelError{file: file, reason: fmt.Sprintf(format, args...), broken: true}
}

// unclear is something about a file that may be right and that tierd does not understand.
func unclear(file, format string, args ...any) error {
	return &modelError{file: file, reason: fmt.Sprintf(format, args...)}
}

// unread is a file that cannot be read. One that is not there will be missed by the engine too.
func unread(file string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return &modelError{file: file, reason: "it is not there; fetch the model again", broken: true, moment: true}
	}
	return &modelError{file: file, reason: "it cannot be read: " + plainError(err), broken: true, moment: true}
}

// plainError is what the system says of a file, without the path: that is one below a root, and the sentence names the file.
func plainError(err error) string {
	var at *fs.PathError
	if errors.As(err, &at) {
		err = at.Err
	}
	return err.Error()
}

// inFile names the file of an error that has none.
func inFile(file string, err error) error {
	var e *modelError
	if errors.As(err, &e) && e.file == "" {
		named := *e
		named.file = file
		return &named
	}
	return err
}

// jsonFault tells a file that ends, one that cannot be read, and one that holds something else.
func jsonFault(what string, err error) error {
	var (
		disk *fs.PathError
		kind *json.UnmarshalTypeError
		text *json.SyntaxError
	)
	switch {
	case errors.As(err, &disk):
		return unread("", err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &text) && text.Error() == "unexpected end of JSON input":
		return broken("", "%s ends in the middle; fetch it again", what)
	case errors.As(err, &kind) && kind.Field != "":
		return broken("", "%s holds a JSON %s as %s", what, oneLine(kind.Value), oneLine(kind.Field))
	case errors.As(err, &kind):
		return broken("", "%s holds a JSON %s where none can be", what, oneLine(kind.Value))
	}
	return broken("", "%s is not understood: %s", what, oneLine(err.Error()))
}

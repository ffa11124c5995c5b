package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"syscall"
)

// unreachable turns a transport error into what a user can act on. The context's end is the caller's doing, so it is
// handed back as it is.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	e := &Error{Kind: KindUnavailable, Hint: "systemctl status tierd.socket tierd.service"}
	absent, dead := errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED)
	switch {
	case absent:
		e.Message = fmt.Sprintf("cannot reach tierd: there is no socket at %s", c.path)
		e.Hint = "sudo systemctl start tierd"
	case dead:
		e.Message = fmt.Sprintf("cannot reach tierd: nothing listens on %s", c.path)
		e.Hint = "sudo systemctl restart tierd.socket"
	case errors.Is(err, fs.ErrPermission):
		e.Message = fmt.Sprintf("cannot reach tierd: you may not open %s", c.path)
		e.Hint = fmt.Sprintf("ls -ld %s", c.path)
	default:
		// The request may have been taken before the connection broke, so nothing is sent twice here.
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // the URL says nothing to a user
		}
		e.Message = fmt.Sprintf("cannot tell what tierd did: the connection to %s broke (%v)", c.path, err)
	}
	if c.path != ControlSocket && (absent || dead) {
		e.Hint = fmt.Sprintf("leave --socket and $TIERD_SOCKET out: tierd's own is %s", ControlSocket)
	}
	return e
}

// foreign says that whatever listens on the socket does not speak as tierd does.
func (c *Client) foreign(what string) error {
	return &Error{
		Kind:    KindInternal,
		Message: fmt.Sprintf("cannot understand what listens on %s: %s", c.path, what),
		Hint:    "tierctl and tierd may be of different versions: systemctl restart tierd.service",
	}
}

// Unavailable tells whether err says that tierd could not be reached, or was ending.
func Unavailable(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind == KindUnavailable
}

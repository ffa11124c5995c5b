package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/godbus/dbus/v5"
)

// The desktop notification interface (specifications.freedesktop.org, "Desktop Notifications").
const (
	notifyName   = "org.freedesktop.Notifications"
	notifyPath   = "/org/freedesktop/Notifications"
	notifyMethod = notifyName + ".Notify"
)

// desktop shows notifications of a user's session.
type desktop struct {
	conn   *dbus.Conn
	last   uint32 // the one that the next takes the place of
	markup *bool  // nil: not asked yet
}

// openDesktop connects to the session bus that is there; none is started.
func openDesktop() (*desktop, error) {
	address := os.Getenv("DBUS_SESSION_BUS_ADDRESS")
	if address == "" {
		socket := filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "bus")
		if !filepath.IsAbs(socket) || !exists(socket) {
			return nil, errors.New("neither $DBUS_SESSION_BUS_ADDRESS nor $XDG_RUNTIME_DIR/bus names one")
		}
		address = "unix:path=" + dbus.EscapeBusAddressValue(socket)
	}
	conn, err := dbus.Connect(address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", address, err)
	}
	return &desktop{conn: conn}, nil
}

func (d *desktop) close() { _ = d.conn.Close() }

// gone is closed when the bus is.
func (d *desktop) gone() <-chan struct{} { return d.conn.Context().Done() }

// show puts a notification in the place of the one before.
func (d *desktop) show(n notice) error {
	server := d.conn.Object(notifyName, notifyPath)
	body := n.body
	if n.remedy != "" {
		body += "\n" + n.remedy
	}
	if d.markup == nil {
		var can []string
		if err := server.Call(notifyName+".GetCapabilities", 0).Store(&can); err != nil {
			return err
		}
		markup := slices.Contains(can, "body-markup")
		d.markup = &markup
	}
	if *d.markup {
		body = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(body)
	}
	urgency := byte(1) // normal: goes by itself
	if n.urgent {
		urgency = 2
	}
	hints := map[string]dbus.Variant{"urgency": dbus.MakeVariant(urgency)}
	const serversChoice = int32(-1) // of how long it is shown
	return server.Call(notifyMethod, 0, "tierd", d.last, "dialog-warning", n.summary, body, []string{}, hints, serversChoice).Store(&d.last)
}

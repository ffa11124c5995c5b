package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/godbus/dbus/v5"

	"github.com/tierd/tierd/packaging/vmtest/wire"
)

// The desktop notification interface (specifications.freedesktop.org, "Desktop Notifications").
const (
	notifyName = "org.freedesktop.Notifications"
	notifyPath = "/org/freedesktop/Notifications"
)

// notifications shows what a desktop would, on the session bus of whoever runs it: a line of JSON for each, until SIGTERM.
func notifications(args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("notifications", flag.ContinueOnError)
	if err := flags.Parse(args); err != nil {
		return err
	}
	conn, err := dbus.ConnectSessionBus()
	if err != nil {
		return err
	}
	defer conn.Close()
	shown := make(chan wire.Notification, 100)
	if err := conn.Export(&notificationServer{shown}, notifyPath, notifyName); err != nil {
		return err
	}
	switch reply, err := conn.RequestName(notifyName, dbus.NameFlagDoNotQueue); {
	case err != nil:
		return err
	case reply != dbus.RequestNameReplyPrimaryOwner:
		return fmt.Errorf("somebody else shows notifications: reply %d", reply)
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, os.Interrupt, syscall.SIGTERM)
	for out := json.NewEncoder(stdout); ; {
		select {
		case n := <-shown:
			if err := out.Encode(n); err != nil {
				return err
			}
		case <-conn.Context().Done():
			return errors.New("the session bus has gone")
		case <-ended:
			return nil
		}
	}
}

type notificationServer struct{ shown chan<- wire.Notification }

func (s *notificationServer) GetCapabilities() ([]string, *dbus.Error) {
	return []string{"body", "body-markup"}, nil
}

func (s *notificationServer) GetServerInformation() (name, vendor, version, spec string, _ *dbus.Error) {
	return "bed", "tierd", "1", "1.2", nil
}

// Notify has one place for all: what comes in replaces what is there.
func (s *notificationServer) Notify(app string, replaces uint32, icon, summary, body string, _ []string, hints map[string]dbus.Variant, _ int32) (uint32, *dbus.Error) {
	urgency, _ := hints["urgency"].Value().(byte)
	s.shown <- wire.Notification{App: app, Replaces: replaces, Summary: summary, Body: body, Urgency: urgency}
	return max(replaces, 1), nil
}

package main

import (
	"fmt"
	"net"
	"os"
	"slices"
	"testing"
	"time"
)

func TestNotifyOverAnAbstractSocket(t *testing.T) {
	name := fmt.Sprintf("@tier-shim-test-%d", os.Getpid())
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	note := dialNotify(name)
	defer note.close()
	note.send("READY=1", "STATUS=Ready")
	note.send("STATUS=Ready")               // known already: not sent
	note.send("WATCHDOG=1", "STATUS=Ready") // the rest is
	note.extend(1500 * time.Millisecond)
	buffer := make([]byte, 100)
	for _, want := range []string{"READY=1\nSTATUS=Ready", "WATCHDOG=1", "EXTEND_TIMEOUT_USEC=1500000"} {
		n, err := conn.Read(buffer)
		if err != nil || string(buffer[:n]) != want {
			t.Errorf("got %q, %v, want %q", buffer[:n], err, want)
		}
	}
}

func TestNotifyIsSilentWithoutASocket(t *testing.T) {
	for _, address := range []string{"", "/nowhere/notify"} {
		note := dialNotify(address)
		note.send("READY=1")
		note.close()
	}
}

func TestTheEngineDoesNotInheritTheNotificationSocket(t *testing.T) {
	env := []string{"A=b", "NOTIFY_SOCKET=/n", "WATCHDOG_USEC=1", "WATCHDOG_PID=2", "LISTEN_FDS=1", "NOTIFY_SOCKET_OF_MINE=x"}
	if got := engineEnv(env); !slices.Equal(got, []string{"A=b", "NOTIFY_SOCKET_OF_MINE=x"}) {
		t.Errorf("the engine gets %q", got)
	}
}

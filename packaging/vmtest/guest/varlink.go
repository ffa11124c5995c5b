package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"time"
)

// managerSocket is where systemd 258 and newer answer by varlink, one JSON object and a zero byte each way
// (https://varlink.org). A question costs systemd much less than a process of systemctl costs the host.
const managerSocket = "/run/systemd/io.systemd.Manager"

// answerTime bounds a question: systemd does not answer while it forks, for example.
const answerTime = 30 * time.Second

// manager asks systemd for the states of units.
type manager struct {
	conn    net.Conn
	replies *bufio.Reader
}

func dialManager(path string) (*manager, error) {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return nil, fmt.Errorf("cannot ask systemd (258 or newer answers there): %w", err)
	}
	return &manager{conn, bufio.NewReader(conn)}, nil
}

// state is the unit's ActiveState.
func (m *manager) state(unit string) (string, error) {
	question, err := json.Marshal(map[string]any{
		"method":     "io.systemd.Unit.List",
		"parameters": map[string]string{"name": unit},
		"more":       true,
	})
	if err != nil {
		return "", err
	}
	if err := m.conn.SetDeadline(time.Now().Add(answerTime)); err != nil {
		return "", err
	}
	if _, err := m.conn.Write(append(question, 0)); err != nil {
		return "", err
	}
	for state := ""; ; {
		raw, err := m.replies.ReadBytes(0)
		if err != nil {
			return "", fmt.Errorf("systemd does not say how %s is: %w", unit, err)
		}
		one, last, err := parseUnitReply(bytes.TrimSuffix(raw, []byte{0}))
		if err != nil {
			return "", fmt.Errorf("%s: %w", unit, err)
		}
		if state == "" {
			state = one
		}
		if last {
			return state, nil
		}
	}
}

// noSuchUnit is varlink's error for a unit that is not loaded, which is how one looks that has just gone.
const noSuchUnit = "io.systemd.Unit.NoSuchUnit"

// parseUnitReply reads the ActiveState from one answer, and whether no other follows.
func parseUnitReply(raw []byte) (state string, last bool, err error) {
	var reply struct {
		Error      string
		Continues  bool
		Parameters struct {
			Runtime struct{ ActiveState string }
		}
	}
	if err := json.Unmarshal(raw, &reply); err != nil {
		return "", false, fmt.Errorf("systemd's answer is no JSON: %w", err)
	}
	switch {
	case reply.Error == noSuchUnit:
		return "inactive", true, nil
	case reply.Error != "":
		return "", false, fmt.Errorf("systemd answers %s", reply.Error)
	case reply.Parameters.Runtime.ActiveState == "":
		return "", false, fmt.Errorf("systemd's answer has no ActiveState: %.200s", raw)
	}
	return reply.Parameters.Runtime.ActiveState, !reply.Continues, nil
}

package gateway

import (
	"errors"
	"net/http"
	"strings"

	"github.com/tierd/tierd/agent/gateway/wire"
)

// upgradeTo is the protocol that a request asks to change to, "" for none.
func upgradeTo(h http.Header) string {
	if wire.Listed(h["Connection"], "Upgrade") {
		return h.Get("Upgrade")
	}
	return ""
}

// upgrade joins the client's connection to the engine's after a 101, until one of them ends or the tier has to go, which
// closes the engine's.
func (g *Gateway) upgrade(w http.ResponseWriter, r *http.Request, l *Lease, e *exchange) error {
	if upgradeTo(r.Header) == "" || !strings.EqualFold(upgradeTo(r.Header), e.res.Header.Get("Upgrade")) {
		return broken(l.Route, errors.New("it changed to a protocol that was not asked for"))
	}
	client, err := wire.Of(w).Takeover(e.res)
	if err != nil {
		wire.Of(w).Abort()
		return nil
	}
	e.conn.Join(client)
	return nil
}

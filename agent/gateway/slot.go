package gateway

import (
	"bytes"
	"strconv"
)

// slotPaths are those where llama-server takes `id_slot` from the body: tried on build 11669. /v1/messages ignores it.
var slotPaths = map[string]bool{
	"/v1/chat/completions": true, "/chat/completions": true, "/v1/completions": true, "/completions": true, "/completion": true, "/infill": true,
	"/v1/responses": true, "/responses": true,
}

var slotKey = []byte(`"id_slot"`)

// slottable tells whether a slot can be named in a body: on such a path, in a JSON object that is not empty and in which
// the client has named none. The text of a message cannot look like the key, since its quotes are escaped; where a key
// deeper in the body does, the engine chooses. Of one that escapes hide the last would win, which is the client's.
func slottable(path string, body []byte) bool {
	if !slotPaths[path] {
		return false
	}
	s := scanner{body: body}
	s.space()
	if !s.take('{') {
		return false
	}
	s.space()
	return s.pos < len(body) && body[s.pos] == '"' && !bytes.Contains(body, slotKey)
}

// withSlot is the body that tells llama-server the lease's slot. Nothing of a large one is copied.
func (l *Lease) withSlot(body parts) parts {
	if l.Slot == 0 {
		return body
	}
	brace := bytes.IndexByte(body[0], '{') + 1
	head := append(make([]byte, 0, len(slotKey)+16), '{')
	head = append(head, slotKey...)
	head = append(head, ':')
	head = strconv.AppendInt(head, int64(l.Slot-1), 10)
	return append(parts{append(head, ','), body[0][brace:]}, body[1:]...)
}

package units

import (
	"encoding/json"
	"errors"
	"io"
)

// members reads one JSON object that may be large, member by member: model files are foreign, and the headers of some
// hold hundreds of thousands of tensors. Memory is bounded by the largest member.
type members struct {
	json *json.Decoder
	from *allowance
}

// maxMember is the most that one member of such an object may take: the longest are remarks about a training.
const maxMember = 16 << 20

var errMember = errors.New("one entry is longer than 16MiB")

// allowance hands out what the decoder may read until the next member. json.Decoder keeps what it reads until it has a whole
// value, and asks for more only when it has none.
type allowance struct {
	from io.Reader
	left int64
}

func (a *allowance) Read(p []byte) (int, error) {
	if a.left <= 0 {
		return 0, errMember
	}
	n, err := a.from.Read(p[:min(int64(len(p)), a.left)])
	a.left -= int64(n)
	return n, err
}

// newMembers begins to read an object.
func newMembers(r io.Reader) (*members, error) {
	from := &allowance{from: r, left: maxMember}
	m := &members{json: json.NewDecoder(from), from: from}
	t, err := m.json.Token()
	if err != nil {
		return nil, err
	}
	if t != json.Delim('{') {
		return nil, errors.New("it does not begin with {")
	}
	return m, nil
}

// next returns the name of the next member, whose value is then to be read by object, value or skip; "" and false at the end.
func (m *members) next() (string, bool, error) {
	m.from.left = maxMember
	if !m.json.More() {
		_, err := m.json.Token() // the closing brace, or what stands in its place
		return "", false, err
	}
	t, err := m.json.Token()
	if err != nil {
		return "", false, err
	}
	name, ok := t.(string)
	if !ok {
		return "", false, errors.New("a name is missing")
	}
	return name, true, nil
}

// value reads the member's value.
func (m *members) value(into any) error { return m.json.Decode(into) }

// skip reads over the member's value.
func (m *members) skip() error {
	var v json.RawMessage
	return m.json.Decode(&v)
}

// enter goes into the member's value, an object: its members are next, and after its end those behind it.
func (m *members) enter() error {
	t, err := m.json.Token()
	if err == nil && t != json.Delim('{') {
		err = errors.New("an object is missing")
	}
	return err
}

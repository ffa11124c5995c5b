package units

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// maxConfig bounds config.json: the largest known, with lists of layers that are not quantised, has less than 1 MiB.
const maxConfig = 4 << 20

// hfConfig is a config.json as Hugging Face's transformers writes it. Nothing in it is trusted: the first value that is no
// such thing is kept as the error, and everything after that is empty.
type hfConfig struct {
	model map[string]json.RawMessage // what describes the language model
	outer map[string]json.RawMessage // the file's top level; the same map where nothing is nested
	err   error
}

// parts are the members in which models of several parts keep the config of their language model.
var parts = []string{"text_config", "language_config", "llm_config", "thinker_config"}

// maxNested is how deep they may lie in one another.
const maxNested = 4

// hfConfig reads the config.json of a folder.
func (h tree) hfConfig(at string) (*hfConfig, error) {
	f, info, err := h.open(at)
	if err != nil {
		return nil, unread("", err)
	}
	defer f.Close()
	if info.Size() > maxConfig {
		return nil, broken("", "it has %s, and more than %s is not read: this is no model's", Bytes(info.Size()), Bytes(maxConfig))
	}
	text, err := io.ReadAll(io.LimitReader(f, maxConfig))
	if err != nil {
		return nil, unread("", err)
	}
	return parseConfig(text)
}

func parseConfig(text []byte) (*hfConfig, error) {
	c := &hfConfig{}
	if err := json.Unmarshal(text, &c.outer); err != nil {
		return nil, jsonFault("it", err)
	}
	if c.outer == nil {
		return nil, broken("", "it is not understood: an object is missing")
	}
	c.model = c.outer
	for depth := 0; ; depth++ {
		part := slices.IndexFunc(parts, func(name string) bool { return kindOf(c.model[name]) == '{' })
		if part < 0 {
			return c, nil
		}
		if depth == maxNested {
			return nil, broken("", "%s is nested more than %d deep", parts[part], maxNested)
		}
		var inner map[string]json.RawMessage
		if err := json.Unmarshal(c.model[parts[part]], &inner); err != nil {
			return nil, jsonFault(parts[part], err)
		}
		c.model = inner
	}
}

// kindOf is the first character of a JSON value: '{', '[', '"', 'n' for null, 't' and 'f', or a digit. 0: it is not there.
func kindOf(v json.RawMessage) byte {
	v = bytes.TrimLeft(v, " \t\r\n")
	if len(v) == 0 {
		return 0
	}
	return v[0]
}

// raw returns the first of the named values that is there and not null. What the language model says of itself comes
// first, a null too: it means that the model has no such thing, whatever the file says elsewhere.
func (c *hfConfig) raw(names ...string) (json.RawMessage, string) {
	for _, name := range names {
		if v := c.model[name]; kindOf(v) != 0 && kindOf(v) != 'n' {
			return v, name
		}
	}
	for _, name := range names {
		if v := c.outer[name]; kindOf(v) != 0 && kindOf(v) != 'n' && c.model[name] == nil {
			return v, name
		}
	}
	return nil, ""
}

func (c *hfConfig) fault(format string, args ...any) {
	if c.err == nil {
		c.err = broken("", format, args...)
	}
}

// number reads a whole number from 0 to most by the first of its names that is there; 0 when none is.
func (c *hfConfig) number(most uint64, names ...string) uint64 {
	v, name := c.raw(names...)
	if v == nil {
		return 0
	}
	return c.whole(name, v, most)
}

func (c *hfConfig) whole(name string, v json.RawMessage, most uint64) uint64 {
	text := strings.TrimSpace(string(v))
	n, err := strconv.ParseFloat(text, 64) // some tools write 128.0
	switch {
	case kindOf(v) == '"':
		c.fault("%s is %s, a text, not a number", name, quote(strings.Trim(text, `"`)))
	case err != nil:
		c.fault("%s is %s, not a number", name, jsonKind(v))
	case n != math.Trunc(n):
		c.fault("%s is %s, not a whole number", name, oneLine(text))
	case n < 0 || n > float64(most):
		c.fault("%s is %s, which no model has", name, oneLine(text))
	default:
		return uint64(n)
	}
	return 0
}

// numbers reads a number, or a list with one for each layer.
func (c *hfConfig) numbers(most uint64, names ...string) []uint64 {
	v, name := c.raw(names...)
	switch {
	case v == nil:
		return nil
	case kindOf(v) != '[':
		return []uint64{c.whole(name, v, most)}
	}
	var list []uint64
	for _, item := range c.items(name, v) {
		if kindOf(item) == 'n' {
			list = append(list, 0)
			continue
		}
		list = append(list, c.whole(name, item, most))
	}
	return list
}

// items are the elements of a list with at most one for each layer.
func (c *hfConfig) items(name string, v json.RawMessage) []json.RawMessage {
	if kindOf(v) != '[' {
		c.fault("%s is %s, not a list", name, jsonKind(v))
		return nil
	}
	var items []json.RawMessage
	if err := json.Unmarshal(v, &items); err != nil {
		c.fault("%s is not understood: %s", name, oneLine(err.Error()))
	}
	if len(items) > maxLayers {
		c.fault("%s has %d entries, and no model has so many layers", name, len(items))
		return nil
	}
	return items
}

// words reads a list of texts.
func (c *hfConfig) words(names ...string) []string {
	v, name := c.raw(names...)
	if v == nil {
		return nil
	}
	var list []string
	for _, item := range c.items(name, v) {
		list = append(list, c.asText(name, item))
	}
	return list
}

// text reads a text; "" when it is not there.
func (c *hfConfig) text(names ...string) string {
	v, name := c.raw(names...)
	if v == nil {
		return ""
	}
	return c.asText(name, v)
}

func (c *hfConfig) asText(name string, v json.RawMessage) string {
	var s string
	if json.Unmarshal(v, &s) != nil {
		c.fault("%s holds %s, not a text", name, jsonKind(v))
	}
	return s
}

// flag reads true or false; otherwise is what is meant when it is not there.
func (c *hfConfig) flag(otherwise bool, names ...string) bool {
	v, name := c.raw(names...)
	if v == nil {
		return otherwise
	}
	b := otherwise
	if json.Unmarshal(v, &b) != nil {
		c.fault("%s is %s, not true or false", name, jsonKind(v))
	}
	return b
}

// object reads an object; an empty one when it is not there.
func (c *hfConfig) object(names ...string) *hfConfig {
	v, name := c.raw(names...)
	inner := &hfConfig{}
	if v != nil && json.Unmarshal(v, &inner.model) != nil {
		c.fault("%s is %s, not an object", name, jsonKind(v))
	}
	return inner
}

// jsonKind names a value without repeating much of it.
func jsonKind(v json.RawMessage) string {
	switch kindOf(v) {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "a text"
	case 'n':
		return "null"
	}
	return oneLine(string(v))
}

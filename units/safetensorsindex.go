package units

import (
	"bufio"
	"io"
	"slices"
	"strings"
)

// index reads which files an index of safetensors names, sorted.
func (h tree) index(at string) ([]string, error) {
	f, info, err := h.open(at)
	if err != nil {
		return nil, unread("", err)
	}
	defer f.Close()
	if info.Size() > maxHeader {
		return nil, broken("", "it has %s, and more than %s is not read", Bytes(info.Size()), Bytes(maxHeader))
	}
	return readIndex(f)
}

func readIndex(r io.Reader) ([]string, error) {
	m, err := newMembers(bufio.NewReader(r))
	if err != nil {
		return nil, indexFault(err)
	}
	found := map[string]bool{}
	inMap := false
	for {
		name, more, err := m.next()
		switch {
		case err != nil:
			return nil, indexFault(err)
		case !more && !inMap:
			return indexed(found)
		case !more:
			inMap = false
			continue
		}
		if !inMap && name == "weight_map" {
			err, inMap = m.enter(), true
		} else if !inMap {
			err = m.skip()
		} else {
			var file string
			if err = m.value(&file); err == nil {
				found[file] = true
			}
		}
		if err != nil {
			return nil, indexFault(err)
		}
		if len(found) > maxFiles {
			return nil, broken("", "it names more than %d files", maxFiles)
		}
	}
}

// indexed checks what an index names: files beside it.
func indexed(found map[string]bool) ([]string, error) {
	if len(found) == 0 {
		return nil, broken("", "it names no file")
	}
	files := make([]string, 0, len(found))
	for name := range found {
		if name == "" || strings.ContainsAny(name, "/\x00") || name == ".." {
			return nil, broken("", "it names %s, which is no file beside it", quote(name))
		}
		files = append(files, name)
	}
	slices.Sort(files)
	return files, nil
}

func indexFault(err error) error { return jsonFault("it", err) }

package units

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"hash/maphash"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
)

// maxHeader bounds the JSON at the beginning of a safetensors file, and an index of them. The largest models have some ten
// MiB; the format's own limit is 100 MB.
const maxHeader = 64 << 20

// Bounds of a whole model, which may have thousands of files.
const (
	maxHeaders = 4 * maxHeader
	maxTensors = 1 << 20 // the largest have 250,000
	maxFiles   = 4096
)

// stored is the bytes of a model's tensors by the type in which they are stored ("BF16", "F8_E4M3").
type stored map[string]Bytes

func (s stored) total() Bytes {
	var sum Bytes
	for _, b := range s {
		sum = capped(sum + b)
	}
	return sum
}

// tensor is what a safetensors header says of one of them.
type tensor struct {
	Type    string   `json:"dtype"`
	Offsets []uint64 `json:"data_offsets"` // begin and end, in what follows the header
}

// readSafetensors reads the header of a file of that size: eight bytes of length, then JSON. It returns how long that is.
func readSafetensors(r io.Reader, size int64, each func(name string, t tensor) error) (Bytes, error) {
	var length uint64
	if err := binary.Read(r, binary.LittleEndian, &length); err != nil || size < 8 {
		return 0, headerFault(cmp.Or(err, io.EOF))
	}
	switch {
	case length > maxHeader:
		return 0, broken("", "its header would be %s long, and more than %s is not read: this is no safetensors file, or a damaged one",
			Bytes(length), Bytes(maxHeader))
	case length > uint64(size)-8:
		return 0, broken("", "it ends within its header of %s; fetch it again", Bytes(length))
	}
	header := io.LimitReader(r, int64(length))
	return Bytes(length), readHeader(header, uint64(size)-8-length, each)
}

// readHeader reads the JSON of a header in front of so many bytes of data.
func readHeader(r io.Reader, data uint64, each func(name string, t tensor) error) error {
	m, err := newMembers(bufio.NewReader(r))
	if err != nil {
		return headerFault(err)
	}
	var sum, most uint64
	for {
		name, more, err := m.next()
		if err != nil {
			return headerFault(err)
		}
		if !more {
			break
		}
		if name == "__metadata__" {
			if err := m.skip(); err != nil {
				return headerFault(err)
			}
			continue
		}
		var t tensor
		if err := m.value(&t); err != nil {
			return headerFault(err)
		}
		if len(t.Offsets) != 2 || t.Type == "" || t.Offsets[0] > t.Offsets[1] {
			return broken("", "its header does not say where tensor %s lies", quote(name))
		}
		most = max(most, t.Offsets[1])
		if sum += t.Offsets[1] - t.Offsets[0]; most <= data && sum > data {
			return broken("", "its tensors lie over each other")
		}
		if most <= data {
			if err := each(name, t); err != nil {
				return err
			}
		}
	}
	if most > data {
		return broken("", "%s follow its header, and its tensors take %s; fetch it again", Bytes(data), Bytes(min(most, maxBytes)))
	}
	return nil
}

func headerFault(err error) error { return jsonFault("its header", err) }

// safetensors sums up the tensors of a folder, of a model with so many layers, and names the files that were read. When an
// index is there it says which files are the model; without one each tensor counts once, in whichever files it is, as an
// engine keeps it once.
//
// The index's own total_size is not asked: of a model that was quantised later it is often that of the original.
func (h tree) safetensors(dir string, names []string, layers int) (tensorSum, []string, error) {
	sum := tensorSum{stored: stored{}, layers: layers, seed: maphash.MakeSeed()}
	files, indexed, err := h.shards(dir, names)
	if err != nil || len(files) == 0 {
		return sum, nil, err
	}
	if !indexed && len(files) > 1 {
		sum.once = map[uint64]Bytes{}
	}
	for _, name := range files {
		if err := h.safetensorsFile(path.Join(dir, name), &sum); err != nil {
			return sum, nil, inFile(name, err)
		}
	}
	return sum, files, nil
}

// tensorSum adds up the tensors of several files.
type tensorSum struct {
	stored  stored
	kinds   [expertTensor + 1]stored
	layers  int
	once    map[uint64]Bytes // by the tensor's name, where one may be in several files; nil: they are all different
	seed    maphash.Seed
	count   int
	headers Bytes
}

func (s *tensorSum) add(name string, t tensor) error {
	if s.count++; s.count > maxTensors {
		return broken("", "the model has more than %d tensors up to here", maxTensors)
	}
	if _, known := s.stored[t.Type]; !known && (len(t.Type) > 16 || len(s.stored) == 64) {
		return broken("", "tensor %s is of type %s, which is none", quote(name), quote(t.Type))
	}
	size := Bytes(t.Offsets[1] - t.Offsets[0])
	if s.once != nil {
		id := maphash.String(s.seed, name)
		if size <= s.once[id] {
			return nil
		}
		size, s.once[id] = size-s.once[id], size
	}
	s.stored[t.Type] = capped(s.stored[t.Type] + size)
	of := &s.kinds[kindOfTensor(name, s.layers)]
	if *of == nil {
		*of = stored{}
	}
	(*of)[t.Type] = capped((*of)[t.Type] + size)
	return nil
}

// passes tells what a token does not read whole. Embeddings are read as the output where there is no other.
func (s *tensorSum) passes() passes {
	p := passes{unread: maps.Clone(s.kinds[unreadTensor]), experts: s.kinds[expertTensor]}
	if s.kinds[headTensor] == nil {
		return p
	}
	for t, size := range s.kinds[tableTensor] {
		if p.unread == nil {
			p.unread = stored{}
		}
		p.unread[t] = capped(p.unread[t] + size)
	}
	return p
}

func (h tree) safetensorsFile(at string, sum *tensorSum) error {
	f, info, err := h.open(at)
	if err != nil {
		return unread("", err)
	}
	defer f.Close()
	header, err := readSafetensors(f, info.Size(), sum.add)
	if err != nil {
		return err
	}
	if sum.headers += header; sum.headers > maxHeaders {
		return broken("", "the headers of the model's files are longer than %s up to here", Bytes(maxHeaders))
	}
	return nil
}

const indexName = "model.safetensors.index.json"

// shards are the files of a folder that hold the model, and whether an index says so.
func (h tree) shards(dir string, names []string) (files []string, indexed bool, err error) {
	if slices.Contains(names, indexName) {
		files, err := h.index(path.Join(dir, indexName))
		if err != nil {
			return nil, true, inFile(indexName, err)
		}
		for _, name := range files {
			if !slices.Contains(names, name) {
				return nil, true, broken(name, "it is not there, and %s names it; fetch the model again", indexName)
			}
		}
		return files, true, nil
	}
	for _, name := range names {
		if strings.HasSuffix(name, ".safetensors") {
			files = append(files, name)
		}
	}
	// Some publishers lay the same weights there a second time, under other names of tensors.
	own := slices.DeleteFunc(slices.Clone(files), func(name string) bool { return strings.HasPrefix(name, "consolidated") })
	if len(own) > 0 {
		files = own
	}
	return files, false, nil
}

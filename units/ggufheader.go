package units

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"math/bits"
	"strings"

	gguf "github.com/gpustack/gguf-parser-go"
)

// gguf-parser-go knows what llama.cpp does with each architecture. Its own reader wants a path, allocates by what the file
// says and reads each string by itself, so the header is read here: from the host's file system, within bounds, and only
// what is asked of it later.

// Bounds of a GGUF header. The longest known has 20 MiB, nearly all of it tokens, and 2,000 tensors.
const (
	maxGGUFHeader  = 256 << 20
	maxGGUFTensors = 1 << 15
	maxGGUFKeys    = 1 << 12
	maxGGUFName    = 1 << 9  // of a tensor or key
	maxGGUFText    = 1 << 10 // longer texts, such as chat templates, are read over
	maxGGUFKept    = 1 << 16 // elements of arrays
)

// ggufReader reads a header from front to back. The first fault ends it: what follows is zero.
type ggufReader struct {
	from *bufio.Reader
	pos  int64
	size int64  // of the whole file
	kept uint64 // elements of arrays up to now
	err  error
}

// readGGUF reads the header of a GGUF file of that size into the library's own form. Of long arrays it keeps the length.
func readGGUF(r io.Reader, size int64) (*gguf.GGUFFile, error) {
	g := &ggufReader{from: bufio.NewReaderSize(r, 1<<16), size: size}
	file := &gguf.GGUFFile{Size: gguf.GGUFBytesScalar(size)}
	file.Header.Magic = gguf.GGUFMagic(g.number(4))
	if g.err == nil && file.Header.Magic != gguf.GGUFMagicGGUFLe {
		return nil, broken("", "it is no GGUF file: it does not begin with the letters GGUF")
	}
	version := g.number(4)
	if g.err == nil && version != 2 && version != 3 {
		return nil, broken("", "it is of GGUF version %d, and llama.cpp reads 2 and 3, of this byte order", version)
	}
	file.Header.Version = gguf.GGUFVersion(version)
	tensors := g.count(maxGGUFTensors, "tensors")
	keys := g.count(maxGGUFKeys, "keys")
	for range keys {
		g.key(&file.Header)
	}
	for range tensors {
		g.tensor(file)
	}
	if g.err != nil {
		return nil, g.err
	}
	return file, g.place(file)
}

// place finds where the tensors' data begins, and whether the file holds it all.
func (g *ggufReader) place(file *gguf.GGUFFile) error {
	align := uint64(32)
	if v, ok := file.Header.MetadataKV.Get("general.alignment"); ok {
		if align, ok = v.Value.(uint64); !ok || align == 0 || align > 1<<20 {
			return broken("", "general.alignment in its header is not a number that can be one")
		}
	}
	start := (uint64(g.pos) + align - 1) / align * align
	var most uint64
	for _, t := range file.TensorInfos {
		size, err := ggufBytes(t)
		if err != nil {
			return err
		}
		if t.Offset > maxBytes {
			most = maxBytes
			continue
		}
		most = max(most, t.Offset+uint64(size))
	}
	if most > 0 && start+most > uint64(g.size) {
		return broken("", "it has %s, and its tensors reach to %s; fetch it again", Bytes(g.size), Bytes(start+most))
	}
	file.TensorDataStartOffset = int64(start)
	file.ModelSize = gguf.GGUFBytesScalar(max(g.size-int64(start), 0))
	return nil
}

// ggufBytes is the size of a tensor's data.
func ggufBytes(t gguf.GGUFTensorInfo) (Bytes, error) {
	trait, ok := t.Type.Trait()
	if !ok || trait.BlockSize == 0 {
		return 0, unclear("", "tensor %s is of type %d, which tierd does not know", quote(t.Name), t.Type)
	}
	n := Bytes(trait.TypeSize)
	for i, d := range t.Dimensions {
		if i == 0 {
			d = (d + trait.BlockSize - 1) / trait.BlockSize
		}
		n = times(n, d)
	}
	return n, nil
}

func (g *ggufReader) fail(err error) {
	if g.err == nil {
		g.err = err
	}
}

// bytes reads the next n bytes, which are valid until the next reading.
func (g *ggufReader) bytes(n int) []byte {
	if g.err != nil {
		return nil
	}
	b, err := g.from.Peek(n)
	if err != nil {
		g.ended(err)
		return nil
	}
	if _, err = g.from.Discard(n); err != nil {
		g.ended(err)
		return nil
	}
	g.pos += int64(n)
	return b
}

// skip reads over n bytes.
func (g *ggufReader) skip(n uint64) {
	switch {
	case g.err != nil:
	case n > uint64(g.size)-uint64(g.pos):
		g.fail(broken("", "it ends within its header; fetch it again"))
	case uint64(g.pos)+n > maxGGUFHeader:
		g.fail(broken("", "its header is longer than %s, and more is not read: this is no GGUF file, or a damaged one", Bytes(maxGGUFHeader)))
	default:
		if _, err := g.from.Discard(int(n)); err != nil {
			g.ended(err)
		}
		g.pos += int64(n)
	}
}

func (g *ggufReader) ended(err error) {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		g.fail(broken("", "it ends within its header; fetch it again"))
		return
	}
	g.fail(unread("", err))
}

// number reads an unsigned number of 1, 2, 4 or 8 bytes.
func (g *ggufReader) number(width int) uint64 {
	var wide [8]byte
	copy(wide[:], g.bytes(width))
	return binary.LittleEndian.Uint64(wide[:])
}

func (g *ggufReader) count(most uint64, what string) uint64 {
	n := g.number(8)
	if g.err == nil && n > most {
		g.fail(broken("", "its header would hold %d %s, and more than %d are not read: this is no GGUF file, or a damaged one", n, what, most))
		return 0
	}
	return n
}

// text reads a text of at most that many bytes. A longer one is read over, and false.
func (g *ggufReader) text(most uint64) (string, bool) {
	n := g.number(8)
	if n > most {
		g.skip(n)
		return "", false
	}
	return string(g.bytes(int(n))), g.err == nil
}

func (g *ggufReader) name(what string) string {
	s, ok := g.text(maxGGUFName)
	if !ok {
		g.fail(broken("", "the name of a %s in its header is longer than %d bytes: this is no GGUF file, or a damaged one", what, maxGGUFName))
	}
	return s
}

// widths are the bytes of each type of value; 0: text or array.
var ggufWidths = [...]int{1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8}

// key reads one key with its value. Whole numbers are kept in 64 bits, whatever they had in the file.
func (g *ggufReader) key(header *gguf.GGUFHeader) {
	kv := gguf.GGUFMetadataKV{Key: g.name("key"), ValueType: g.kind()}
	keep := true
	switch kv.ValueType {
	case gguf.GGUFMetadataValueTypeString:
		kv.Value, keep = g.text(maxGGUFText)
	case gguf.GGUFMetadataValueTypeArray:
		kv.Value = g.array(kv.Key)
	default:
		kv.Value = g.scalar(kv.ValueType)
	}
	if keep && g.err == nil {
		header.MetadataKV = append(header.MetadataKV, kv)
		header.MetadataKVCount++
	}
}

func (g *ggufReader) kind() gguf.GGUFMetadataValueType {
	t := g.number(4)
	if g.err == nil && t >= uint64(len(ggufWidths)) {
		g.fail(broken("", "a value in its header is of type %d, which there is not", t))
		return 0
	}
	return gguf.GGUFMetadataValueType(t)
}

func (g *ggufReader) scalar(kind gguf.GGUFMetadataValueType) any {
	width := ggufWidths[kind]
	n := g.number(width)
	switch kind {
	case gguf.GGUFMetadataValueTypeBool:
		return n != 0
	case gguf.GGUFMetadataValueTypeFloat32:
		return float64(math.Float32frombits(uint32(n)))
	case gguf.GGUFMetadataValueTypeFloat64:
		return math.Float64frombits(n)
	case gguf.GGUFMetadataValueTypeInt8, gguf.GGUFMetadataValueTypeInt16, gguf.GGUFMetadataValueTypeInt32, gguf.GGUFMetadataValueTypeInt64:
		shift := 64 - 8*width
		return int64(n<<shift) >> shift
	}
	return n
}

// array reads an array: its elements when there may be one for each layer, else its length.
func (g *ggufReader) array(key string) gguf.GGUFMetadataKVArrayValue {
	v := gguf.GGUFMetadataKVArrayValue{Type: g.kind(), Len: g.number(8)}
	start := g.pos
	switch width := ggufWidths[v.Type]; {
	case g.err != nil:
	case v.Type == gguf.GGUFMetadataValueTypeArray:
		g.fail(broken("", "%s in its header is an array of arrays, which llama.cpp does not read", quote(key)))
	case v.Type == gguf.GGUFMetadataValueTypeString:
		for i := uint64(0); i < v.Len && g.err == nil; i++ {
			g.skip(g.number(8))
		}
	case v.Len <= maxLayers && g.kept <= maxGGUFKept && !strings.HasPrefix(key, "tokenizer."):
		g.kept += v.Len
		v.Array = make([]any, v.Len)
		for i := range v.Array {
			v.Array[i] = g.scalar(v.Type)
		}
	default:
		hi, n := bits.Mul64(v.Len, uint64(width))
		if hi > 0 {
			n = math.MaxUint64
		}
		g.skip(n)
	}
	v.Size = g.pos - start
	return v
}

// tensor reads where one tensor lies and how large it is.
func (g *ggufReader) tensor(file *gguf.GGUFFile) {
	if g.err != nil {
		return
	}
	t := gguf.GGUFTensorInfo{StartOffset: g.pos, Name: g.name("tensor"), NDimensions: uint32(g.number(4))}
	if g.err == nil && (t.NDimensions == 0 || t.NDimensions > gguf.GGMLMaxDims) {
		g.fail(broken("", "tensor %s in its header has %d dimensions, and 1 to 4 can be", quote(t.Name), t.NDimensions))
		return
	}
	for range t.NDimensions {
		t.Dimensions = append(t.Dimensions, g.number(8))
	}
	t.Type, t.Offset = gguf.GGMLType(g.number(4)), g.number(8)
	file.TensorInfos = append(file.TensorInfos, t)
	file.Header.TensorCount++
}

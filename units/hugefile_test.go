package units

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

// hugeFile is a file of which only the beginning is not zero, as models are when only their headers count.
type hugeFile struct {
	head []byte
	size int64
}

// disk is a file system of small files and huge ones.
type disk struct {
	fstest.MapFS
	huge map[string]hugeFile
}

// newDisk lays huge files over small ones. The small file system has their names, so that folders and links are its.
func newDisk(small fstest.MapFS, huge map[string]hugeFile) disk {
	d := disk{MapFS: fstest.MapFS{}, huge: huge}
	for name, f := range small {
		d.MapFS[name] = f
	}
	for name := range huge {
		d.MapFS[name] = file(0)
	}
	return d
}

func (d disk) Open(name string) (fs.File, error) {
	f, err := d.MapFS.Open(name)
	if h, ok := d.huge[name]; ok && err == nil {
		rest := io.LimitReader(zeros{}, h.size-int64(len(h.head)))
		return hugeOpen{f, h.size, io.MultiReader(bytes.NewReader(h.head), rest)}, nil
	}
	return f, err
}

func (d disk) Lstat(name string) (fs.FileInfo, error) {
	info, err := d.MapFS.Lstat(name)
	if h, ok := d.huge[name]; ok && err == nil {
		return hugeInfo{info, h.size}, nil
	}
	return info, err
}

type hugeOpen struct {
	fs.File
	size int64
	from io.Reader
}

func (h hugeOpen) Read(p []byte) (int, error) { return h.from.Read(p) }
func (h hugeOpen) Stat() (fs.FileInfo, error) {
	info, err := h.File.Stat()
	return hugeInfo{info, h.size}, err
}

type hugeInfo struct {
	fs.FileInfo
	size int64
}

func (h hugeInfo) Size() int64 { return h.size }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// onDisk writes huge files as sparse ones below a folder of a real disk.
func onDisk(t testing.TB, root string, huge map[string]hugeFile) {
	t.Helper()
	for name, h := range huge {
		at := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, h.head, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(at, h.size); err != nil {
			t.Fatal(err)
		}
	}
}

// madeTensor is a tensor of a file that a test makes.
type madeTensor struct {
	name string
	kind string // as safetensors call it, or ggml
	dims []uint64
}

func (m madeTensor) elements() uint64 {
	n := uint64(1)
	for _, d := range m.dims {
		n *= d
	}
	return n
}

// safetensorsOf is a safetensors file of those tensors.
func safetensorsOf(tensors ...madeTensor) hugeFile {
	header := map[string]any{"__metadata__": map[string]string{"format": "pt"}}
	end := uint64(0)
	widths := map[string]uint64{"F64": 8, "F32": 4, "BF16": 2, "F16": 2, "I32": 4, "U8": 1, "F8_E4M3": 1}
	for _, m := range tensors {
		begin := end
		end += m.elements() * widths[m.kind]
		header[m.name] = map[string]any{"dtype": m.kind, "shape": m.dims, "data_offsets": []uint64{begin, end}}
	}
	text, err := json.Marshal(header)
	if err != nil {
		panic(err)
	}
	head := append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...)
	return hugeFile{head, int64(len(head)) + int64(end)}
}

// shardsOf are the tensors as a model of that many files with an index.
func shardsOf(folder string, count int, tensors []madeTensor) map[string]hugeFile {
	files := map[string]hugeFile{}
	where := map[string]string{}
	each := (len(tensors) + count - 1) / count
	for i := range count {
		name := fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, count)
		part := tensors[min(i*each, len(tensors)):min((i+1)*each, len(tensors))]
		for _, m := range part {
			where[m.name] = name
		}
		files[folder+"/"+name] = safetensorsOf(part...)
	}
	text, err := json.Marshal(map[string]any{"metadata": map[string]int64{"total_size": 1}, "weight_map": where})
	if err != nil {
		panic(err)
	}
	files[folder+"/"+indexName] = hugeFile{text, int64(len(text))}
	return files
}

// ggml are the numbers, blocks and bytes of the types of tensors that tests use.
var ggml = map[string]struct{ kind, block, bytes uint64 }{
	"F32": {0, 1, 4}, "F16": {1, 1, 2}, "Q4_0": {2, 32, 18}, "Q8_0": {8, 32, 34}, "Q4_K": {12, 256, 144}, "Q5_K": {13, 256, 176}, "Q6_K": {14, 256, 210},
	"BF16": {30, 1, 2}, "MXFP4": {39, 32, 17},
}

// ggufKey is a key of a GGUF file: a uint32, a string, a bool, a []string, a []uint32 or raw bytes with their type before them.
type ggufKey struct {
	name  string
	value any
}

// ggufOf is a GGUF file.
func ggufOf(keys []ggufKey, tensors ...madeTensor) hugeFile {
	b := []byte("GGUF")
	u32 := func(n uint64) { b = binary.LittleEndian.AppendUint32(b, uint32(n)) }
	u64 := func(n uint64) { b = binary.LittleEndian.AppendUint64(b, n) }
	str := func(s string) { u64(uint64(len(s))); b = append(b, s...) }
	u32(3)
	u64(uint64(len(tensors)))
	u64(uint64(len(keys)))
	for _, k := range keys {
		str(k.name)
		switch v := k.value.(type) {
		case string:
			u32(8)
			str(v)
		case bool:
			u32(7)
			b = append(b, map[bool]byte{true: 1}[v])
		case int:
			u32(4)
			u32(uint64(v))
		case []string:
			u32(9)
			u32(8)
			u64(uint64(len(v)))
			for _, s := range v {
				str(s)
			}
		case []int:
			u32(9)
			u32(4)
			u64(uint64(len(v)))
			for _, n := range v {
				u32(uint64(n))
			}
		case []byte:
			b = append(b, v...)
		default:
			panic(fmt.Sprintf("%T", v))
		}
	}
	end := uint64(0)
	for _, m := range tensors {
		str(m.name)
		u32(uint64(len(m.dims)))
		for _, d := range m.dims {
			u64(d)
		}
		t := ggml[m.kind]
		u32(t.kind)
		u64(end)
		end += (m.elements()/t.block*t.bytes + 31) / 32 * 32
	}
	return hugeFile{b, int64(len(b)+31)/32*32 + int64(end)}
}

// jsonFile is a small text in a folder of huge files.
func jsonFile(text string) hugeFile { return hugeFile{[]byte(text), int64(len(text))} }

// merged are files of several models.
func merged(all ...map[string]hugeFile) map[string]hugeFile {
	sum := map[string]hugeFile{}
	for _, files := range all {
		for name, f := range files {
			sum[name] = f
		}
	}
	return sum
}

// below are the files in a folder.
func below(folder string, files map[string]hugeFile) map[string]hugeFile {
	moved := map[string]hugeFile{}
	for name, f := range files {
		moved[strings.Trim(folder+"/"+name, "/")] = f
	}
	return moved
}

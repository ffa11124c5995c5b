package units

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
)

// headed is a safetensors file with that JSON and so many bytes of data.
func headed(header string, data int64) hugeFile {
	head := append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...)
	return hugeFile{head, int64(len(head)) + data}
}

// claiming is a file whose first eight bytes say that its header is so long.
func claiming(length uint64, size int64) hugeFile {
	return hugeFile{binary.LittleEndian.AppendUint64(nil, length), size}
}

// allocated is how many bytes of memory a function asked for in all.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// weightsOf sums up the tensors of a folder.
func weightsOf(t *testing.T, files map[string]hugeFile) (stored, []string, error) {
	t.Helper()
	h := tree{newDisk(nil, below("m", files))}
	sum, read, err := h.safetensors("/m", h.list("/m"), maxLayers)
	return sum.stored, read, err
}

func TestAFileThatIsNoSafetensorsIsOneClearError(t *testing.T) {
	long := strings.Repeat("x", 2*maxMember)
	for _, row := range []struct {
		rule string
		file hugeFile
		want string
	}{
		{"an empty file", hugeFile{nil, 0}, "its header ends in the middle; fetch it again"},
		{"a file of seven bytes", hugeFile{[]byte("1234567"), 7}, "its header ends in the middle; fetch it again"},
		{"a header of 2 GiB", claiming(2<<30, 3<<30), "its header would be 2GiB long, and more than 64MiB is not read: this is no safetensors file, or a damaged one"},
		{"a header of as much as can be written", claiming(1<<64-1, 1<<40), "its header would be 16777216TiB long, and more than 64MiB is not read: this is no safetensors file, or a damaged one"},
		{"a page of HTML", hugeFile{[]byte("<!DOCTYPE html>"), 1000}, "its header would be 5265748.26TiB long"},
		{"a header behind the end", claiming(4096, 1000), "it ends within its header of 4KiB; fetch it again"},
		{"a header that is no JSON", headed("once upon a time", 10), "its header is not understood: invalid character 'o' looking for beginning of value"},
		{"zeros", claiming(1000, 5000), `its header is not understood: invalid character '\\x00' looking for beginning of value`},
		{"a list", headed(`[1,2]`, 10), "its header is not understood: it does not begin with {"},
		{"a header that ends early", headed(`{"a":{"dtype":"BF16","shape":[1]`, 10), "its header ends in the middle; fetch it again"},
		{"a tensor that is a number", headed(`{"a":7}`, 10), "its header holds a JSON number where none can be"},
		{"offsets that are words", headed(`{"a":{"dtype":"BF16","data_offsets":["x",2]}}`, 10), "its header holds a JSON string as data_offsets"},
		{"negative offsets", headed(`{"a":{"dtype":"BF16","data_offsets":[-1,2]}}`, 10), "its header holds a JSON number -1 as data_offsets"},
		{"one offset", headed(`{"a":{"dtype":"BF16","data_offsets":[1]}}`, 10), `its header does not say where tensor "a" lies`},
		{"an end before its beginning", headed(`{"a":{"dtype":"BF16","data_offsets":[4,2]}}`, 10), `its header does not say where tensor "a" lies`},
		{"no type", headed(`{"a":{"data_offsets":[0,2]}}`, 10), `its header does not say where tensor "a" lies`},
		{"a type that is none", headed(`{"a":{"dtype":"what on earth is this","data_offsets":[0,2]}}`, 10), `tensor "a" is of type "what on earth is this", which is none`},
		{"data that is not all there", headed(`{"a":{"dtype":"BF16","data_offsets":[0,2000]}}`, 1000), "1000B follow its header, and its tensors take 1.95KiB; fetch it again"},
		{"data behind the end of the world", headed(`{"a":{"dtype":"BF16","data_offsets":[0,18446744073709551615]}}`, 1000), "1000B follow its header, and its tensors take 1024TiB; fetch it again"},
		{"tensors over each other", headed(`{"a":{"dtype":"BF16","data_offsets":[0,8]},"b":{"dtype":"BF16","data_offsets":[2,10]}}`, 10), "its tensors lie over each other"},
		{"an entry without end", headed(`{"a":"`+long+`"}`, 10), "its header is not understood: one entry is longer than 16MiB"},
		{"a name without end", headed(`{"`+long+`":1}`, 10), "its header is not understood: one entry is longer than 16MiB"},
	} {
		t.Run(row.rule, func(t *testing.T) {
			var err error
			memory := allocated(func() { _, _, err = weightsOf(t, map[string]hugeFile{"model.safetensors": row.file}) })
			if err == nil || !strings.HasPrefix(err.Error(), "model.safetensors of the model: "+row.want) {
				t.Errorf("got %v\nwant %s", err, row.want)
			}
			if memory > 96<<20 {
				t.Errorf("%s of memory", Bytes(memory))
			}
		})
	}
}

func TestWeightsAreSummedUpByTheirType(t *testing.T) {
	got, files, err := weightsOf(t, map[string]hugeFile{"model.safetensors": safetensorsOf(
		madeTensor{"a", "BF16", []uint64{1000, 1000}}, madeTensor{"b", "F32", []uint64{500}}, madeTensor{"c", "BF16", []uint64{24}}, madeTensor{"d", "U8", nil})})
	if err != nil || got["BF16"] != 2_000_048 || got["F32"] != 2000 || got["U8"] != 1 || got.total() != 2_002_049 || len(files) != 1 {
		t.Errorf("got %v from %v, %v", got, files, err)
	}
	if _, _, err := weightsOf(t, map[string]hugeFile{"model.safetensors": headed("{}", 0)}); err != nil {
		t.Errorf("no tensor at all: %v", err)
	}
}

// Folders often hold the same weights twice: in PyTorch's format, as the publisher's own file, or in parts that the index
// does not name.
func TestNothingIsCountedTwice(t *testing.T) {
	parts := shardsOf("", 3, []madeTensor{{"a", "BF16", []uint64{100}}, {"b", "BF16", []uint64{100}}, {"c", "BF16", []uint64{100}}})
	parts = below("", parts)
	without := func(name string, files map[string]hugeFile) map[string]hugeFile {
		less := merged(files)
		delete(less, name)
		return less
	}
	plus := func(name string, f hugeFile, files map[string]hugeFile) map[string]hugeFile {
		return merged(files, map[string]hugeFile{name: f})
	}
	whole := safetensorsOf(madeTensor{"a", "BF16", []uint64{100}}, madeTensor{"b", "BF16", []uint64{100}}, madeTensor{"c", "BF16", []uint64{100}})
	for _, row := range []struct {
		rule  string
		files map[string]hugeFile
		want  Bytes
	}{
		{"an index and its parts", parts, 600},
		{"a file that the index does not name", plus("other.safetensors", whole, parts), 600},
		{"the whole in one file beside its parts, without an index", plus("model.safetensors", whole, without(indexName, parts)), 600},
		{"parts without an index", without(indexName, parts), 600},
		{"the publisher's own file under other names", plus("consolidated.safetensors", safetensorsOf(madeTensor{"x", "BF16", []uint64{300}}), without(indexName, parts)), 600},
		{"only the publisher's own file", map[string]hugeFile{"consolidated.safetensors": safetensorsOf(madeTensor{"x", "BF16", []uint64{300}})}, 600},
		{"PyTorch's format beside it", plus("pytorch_model.bin", hugeFile{nil, 600}, parts), 600},
		{"a copy in more bits counts as that", plus("model.fp32.safetensors", safetensorsOf(madeTensor{"a", "F32", []uint64{100}}),
			map[string]hugeFile{"model.safetensors": whole}), 800},
	} {
		t.Run(row.rule, func(t *testing.T) {
			if got, _, err := weightsOf(t, row.files); err != nil || got.total() != row.want {
				t.Errorf("%v, %v; want %d", got, err, row.want)
			}
		})
	}
}

func TestAnIndexThatIsNotRightIsOneClearError(t *testing.T) {
	part := safetensorsOf(madeTensor{"a", "BF16", []uint64{100}})
	many := `{"weight_map":{`
	for i := range maxFiles + 1 {
		many += fmt.Sprintf(`"t%d":"f%d",`, i, i)
	}
	for _, row := range []struct {
		rule, index, want string
	}{
		{"a part that is not there", `{"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}}`,
			"model-00002-of-00002.safetensors of the model: it is not there, and model.safetensors.index.json names it; fetch the model again"},
		{"no JSON", "hello", "model.safetensors.index.json of the model: it is not understood: invalid character 'h' looking for beginning of value"},
		{"cut off", `{"metadata":{"total_size":12},"weight_map":{"a":"mod`, "model.safetensors.index.json of the model: it ends in the middle; fetch it again"},
		{"no file", `{"metadata":{}}`, "model.safetensors.index.json of the model: it names no file"},
		{"a map of numbers", `{"weight_map":{"a":7}}`, "model.safetensors.index.json of the model: it holds a JSON number where none can be"},
		{"a map that is a list", `{"weight_map":["a"]}`, "model.safetensors.index.json of the model: it is not understood: an object is missing"},
		{"a file elsewhere", `{"weight_map":{"a":"../../etc/shadow"}}`, `model.safetensors.index.json of the model: it names "../../etc/shadow", which is no file beside it`},
		{"too many files", many + `"z":"z"}}`, "model.safetensors.index.json of the model: it names more than 4096 files"},
	} {
		t.Run(row.rule, func(t *testing.T) {
			_, _, err := weightsOf(t, map[string]hugeFile{indexName: jsonFile(row.index), "model-00001-of-00002.safetensors": part})
			if err == nil || err.Error() != row.want {
				t.Errorf("got %v\nwant %s", err, row.want)
			}
		})
	}
	_, _, err := weightsOf(t, map[string]hugeFile{indexName: {nil, 1 << 40}})
	if err == nil || !strings.Contains(err.Error(), "it has 1TiB, and more than 64MiB is not read") {
		t.Errorf("a huge index: %v", err)
	}
}

func TestAModelOfAbsurdManyTensorsIsRefused(t *testing.T) {
	var s tensorSum
	s.stored, s.count = stored{}, maxTensors
	if err := s.add("a", tensor{Type: "BF16", Offsets: []uint64{0, 2}}); err == nil || !strings.Contains(err.Error(), "more than 1048576 tensors") {
		t.Errorf("got %v", err)
	}
	s = tensorSum{stored: stored{}, headers: maxHeaders}
	h := tree{newDisk(nil, map[string]hugeFile{"f": headed("{}", 0)})}
	if err := h.safetensorsFile("/f", &s); err == nil || !strings.Contains(err.Error(), "longer than 256MiB") {
		t.Errorf("got %v", err)
	}
}

// A root daemon must not be held up by what lies in a folder that others may write.
func TestOddFilesAreNotOpened(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "m"), 0o755); err != nil {
		t.Fatal(err)
	}
	h := tree{os.DirFS(root)}
	fifo := filepath.Join(root, "m/model.safetensors")
	if err := syscall.Mkfifo(fifo, 0o644); err != nil {
		t.Skipf("cannot make a FIFO here: %v", err)
	}
	_, _, err := h.safetensors("/m", h.list("/m"), maxLayers)
	if err == nil || err.Error() != "model.safetensors of the model: it cannot be read: not a plain file" {
		t.Errorf("a FIFO: %v", err)
	}
	if err := os.Remove(fifo); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("model.safetensors", fifo); err != nil {
		t.Fatal(err)
	}
	if _, _, err = h.safetensors("/m", h.list("/m"), maxLayers); err == nil || !strings.Contains(err.Error(), "too many links") {
		t.Errorf("a link to itself: %v", err)
	}
}

func TestADiskThatFailsWhileAHeaderIsReadIsToldAsThat(t *testing.T) {
	f := safetensorsOf(madeTensor{"a", "BF16", []uint64{100}})
	for after := range int64(len(f.head)) {
		_, err := readSafetensors(failing{bytes.NewReader(f.head), after}, f.size, func(string, tensor) error { return nil })
		if err == nil || err.Error() != "the model: it cannot be read: input/output error" {
			t.Fatalf("after %d bytes: %v", after, err)
		}
	}
}

// failing reads so many bytes and then no more.
type failing struct {
	from *bytes.Reader
	left int64
}

func (f failing) Read(p []byte) (int, error) {
	if read := f.from.Size() - int64(f.from.Len()); read >= f.left {
		return 0, &fs.PathError{Op: "read", Path: "f", Err: syscall.EIO}
	}
	return f.from.Read(p[:1])
}

func FuzzSafetensorsHeader(f *testing.F) {
	f.Add(safetensorsOf(madeTensor{"a", "BF16", []uint64{4}}).head, int64(100))
	f.Add(headed(`{"a":{"dtype":"BF16","data_offsets":[0,8]},"b":{"dtype":"F32","data_offsets":[2,10]}}`, 0).head, int64(1000))
	f.Add(claiming(1<<63, 0).head, int64(8))
	f.Add([]byte("GGUF\x03\x00\x00\x00"), int64(0))
	f.Fuzz(func(t *testing.T, head []byte, size int64) {
		sum := tensorSum{stored: stored{}, once: map[uint64]Bytes{}, seed: maphash.MakeSeed()}
		var err error
		memory := allocated(func() { _, err = readSafetensors(bytes.NewReader(head), size, sum.add) })
		if limit := uint64(1<<20 + 64*len(head)); memory > limit {
			t.Errorf("%d bytes of memory for a header of %d", memory, len(head))
		}
		if err == nil && sum.stored.total() > Bytes(size) {
			t.Errorf("%s of tensors in a file of %d", sum.stored.total(), size)
		}
		if err != nil && strings.ContainsAny(err.Error(), "\n\x00") {
			t.Errorf("an error of several lines: %q", err)
		}
	})
}

func TestAFolderOfThousandsOfFilesIsNoModel(t *testing.T) {
	crowd := fstest.MapFS{}
	for i := range 100_000 {
		crowd[fmt.Sprintf("m/mail-%d", i)] = file(0)
	}
	h := tree{crowd}
	_, err := h.modelFiles("/m", KindVLLM)
	if err == nil || err.Error() != "the model: it cannot be read: /m holds more than 10000 files, so it is no model's folder" {
		t.Errorf("got %v", err)
	}
	if h.list("/m") != nil {
		t.Error("its files are listed")
	}
}

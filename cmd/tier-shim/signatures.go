package main

import (
	"bytes"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// signature is a line by which an engine tells why it fails. needle is searched first: it is far cheaper than the
// expression, and the log may be a flood.
type signature struct {
	class    string
	needle   string
	match    *regexp.Regexp // nil: the needle is enough
	sentence string         // for the user; $1 is a group of match, $0 the line's own words
	bytes    bool           // the groups are bytes, and are shown as GiB
	weak     bool           // says that it failed and not why: gives way to any other
}

// signatures come from the engines' measured errors and from the reports on gfx1151; where two kinds fit one line the
// first in the table counts.
var signatures = []signature{
	{class: classDeviceLost, needle: "Memory access fault by GPU node", sentence: "The GPU faulted on a memory access; a kernel or a quantisation format that does not work on this GPU is the likely cause"},
	{class: classDeviceLost, needle: "HW Exception by GPU node", sentence: "The GPU hung and was reset; see the kernel's log"},
	{class: classDeviceLost, needle: "Memory critical error by agent node", sentence: "The ROCm runtime failed while loading; older ROCm versions do so on this GPU"},
	{class: classDeviceLost, needle: "ErrorDeviceLost", sentence: "The GPU was reset under the engine; see the kernel's log"},

	{class: classBudget, needle: "To serve at least one request with the model",
		match:    regexp.MustCompile(`max seq len \((\d+)\), \(?([\d.]+) GiB KV cache is needed, which is larger than the available KV cache memory \(([\d.]+) GiB\).*estimated maximum model length is (\d+)`),
		sentence: "The KV cache is too small for a context of $1: it needs $2 GiB and has $3 GiB, enough for a context of $4"},
	{class: classBudget, needle: "on startup is less than desired",
		match:    regexp.MustCompile(`\(([\d.]+)/([\d.]+) GiB\) on startup is less than desired .*?\(([\d.]+), ([\d.]+) GiB\)`),
		sentence: "The engine wants $4 GiB at its start and $1 of $2 GiB are free"},
	{class: classBudget, needle: "No available memory for the cache blocks", sentence: "The weights left no memory for the KV cache; the tier needs a larger budget"},
	{class: classBudget, needle: "torch.OutOfMemoryError", sentence: "The GPU is out of memory: $0"},
	{class: classBudget, needle: "HIP out of memory", sentence: "The GPU is out of memory: $0"},
	{class: classBudget, needle: "hipErrorOutOfMemory", sentence: "The GPU is out of memory: $0"},
	{class: classBudget, needle: "HSA_STATUS_ERROR_OUT_OF_RESOURCES", sentence: "The ROCm runtime is out of resources: memory is short, or the unit has no right to /dev/kfd"},
	{class: classBudget, needle: "cudaMalloc failed: out of memory",
		match:    regexp.MustCompile(`allocating ([\d.]+) MiB on device (\d+)`),
		sentence: "The GPU is out of memory: a buffer of $1 MiB does not fit on device $2"},
	{class: classBudget, needle: "ggml_vulkan: Device memory allocation of size",
		match: regexp.MustCompile(`of size (\d+) failed`), bytes: true,
		sentence: "The GPU is out of memory: a buffer of $1 does not fit"},
	{class: classBudget, needle: "Requested buffer size exceeds device", sentence: "The Vulkan driver cannot make a buffer that large; use RADV or a smaller context"},
	{class: classBudget, needle: "radv/amdgpu: Failed to allocate a buffer", sentence: "The GPU is out of memory: RADV could not allocate a buffer"},
	{class: classBudget, needle: "failed to allocate buffer for kv cache", sentence: "The KV cache does not fit in memory; the tier needs a smaller context or a larger budget"},
	{class: classBudget, needle: "failed to allocate CPU buffer of size",
		match: regexp.MustCompile(`CPU buffer of size (\d+)`), bytes: true,
		sentence: "Out of memory: a buffer of $1 does not fit"},
	{class: classBudget, needle: "unable to allocate", sentence: "Out of memory: $0"},
	{class: classBudget, needle: "std::bad_alloc", sentence: "Out of memory: $0"},
	{class: classBudget, needle: "Cannot allocate memory", sentence: "Out of memory: $0"},

	{class: classModel, needle: "failed to open GGUF file",
		match:    regexp.MustCompile(`failed to open GGUF file '?([^'()]+)'? ?\(([^)]*)\)`),
		sentence: "Cannot open the model $1: $2"},
	{class: classModel, needle: "expected 'GGUF'", sentence: "The model is not a GGUF file; fetch it again, or name another in `model` of tiers.toml"},
	{class: classModel, needle: "data is not within the file bounds", sentence: "The model file is incomplete or damaged: it ends before its last tensor; fetch it again"},
	{class: classModel, needle: "unknown model architecture", sentence: "This llama-server does not know the model's architecture: $0"},
	{class: classModel, needle: "HFValidationError",
		match:    regexp.MustCompile(`'([^']+)'\.? ?(?:Use .*)?$`),
		sentence: "The model directory $1 is not there (vLLM took it for a name on the hub)"},
	{class: classModel, needle: "is not a valid JSON file", sentence: "vLLM needs a model directory in Hugging Face format, with config.json: $0"},
	{class: classModel, needle: "does not appear to have a file named", sentence: "The model directory is incomplete: $0"},
	{class: classModel, needle: "SafetensorError", sentence: "A weights file is incomplete or damaged: $0"},

	{class: classPort, needle: "couldn't bind HTTP server socket", sentence: "The engine could not bind its socket"},
	{class: classPort, needle: "Address already in use", sentence: "The engine's socket is held by another process"},

	{class: classConfiguration, needle: "unrecognized arguments:", sentence: "The engine does not know a flag: $0"},
	{class: classConfiguration, needle: "error: invalid argument:", sentence: "The engine does not know a flag: $0"},
	{class: classConfiguration, needle: "error while handling argument", sentence: "The engine does not take a flag's value: $0"},
	{class: classConfiguration, needle: "unknown value for --", sentence: "The engine does not take a flag's value: $0"},
	{class: classConfiguration, needle: "vllm: error: ", sentence: "The engine refused its command line: $0"},
	{class: classConfiguration, needle: "vllm serve: error: ", sentence: "The engine refused its command line: $0"},
	{class: classConfiguration, needle: "torch._scaled_mm requires", sentence: "This GPU cannot run the model's FP8 format: $0"},
	{class: classConfiguration, needle: "Value error, ", match: regexp.MustCompile(`Value error, (.*?)(?: \[type=.*)?$`), sentence: "The engine refused its configuration: $1"},
	{class: classConfiguration, needle: "ModuleNotFoundError:", sentence: "The engine's installation is incomplete: $0"},
	{class: classConfiguration, needle: "cannot open shared object file", sentence: "A library that the engine needs is not installed: $0", weak: true},
	{class: classConfiguration, needle: "PackageNotFoundError:", sentence: "The engine's installation is incomplete: $0"},

	{class: classEngineDied, needle: "Error in memory profiling.", sentence: "Another process freed GPU memory while the engine measured it; a second try may do"},
	{class: classEngineDied, needle: "died unexpectedly", match: regexp.MustCompile(`Worker proc (\S+) died`), sentence: "The engine's worker $1 died", weak: true},
	{class: classEngineDied, needle: "EngineCore encountered a fatal error", sentence: "The engine process of vLLM died", weak: true},
	{class: classEngineDied, needle: "EngineDeadError", sentence: "The engine process of vLLM died", weak: true},
	{class: classEngineDied, needle: "Engine core initialization failed", sentence: "vLLM could not start its engine process", weak: true},
	{class: classModel, needle: "error loading model", sentence: "The model could not be loaded: $0", weak: true},
	{class: classModel, needle: "failed to load model", sentence: "The model could not be loaded", weak: true},
}

// needles are the signatures' as bytes, so that a line without one costs no memory.
var needles = func() (all [][]byte) {
	for _, s := range signatures {
		all = append(all, []byte(s.needle))
	}
	return all
}()

// badWords mark a line that is worth quoting when the engine ends and no signature fits.
var badWords = [][]byte{[]byte("rror"), []byte("ERROR"), []byte("xception"), []byte("failed"), []byte("terminate called"), []byte("atal"), []byte("Assertion")}

// finding is what the log told about a failure.
type finding struct {
	class, sentence string
	weak            bool
}

// lastSeen collects, from every line of the log, why the engine may be about to fail.
type lastSeen struct {
	mu    sync.Mutex
	found *finding
	words string // the last line that looks like an error
}

// line looks at one line. The first cause stays: what follows it are its consequences.
func (l *lastSeen) line(text []byte) {
	found := findSignature(text)
	significant := found != nil || looksBad(text)
	if !significant {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.words = bare(text)
	if found != nil && (l.found == nil || l.found.weak && !found.weak) {
		l.found = found
	}
}

// forget drops what was seen while loading: a warning that the engine survived does not explain its later end.
func (l *lastSeen) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.found, l.words = nil, ""
}

func (l *lastSeen) last() (*finding, string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.found, l.words
}

func findSignature(text []byte) *finding {
	for i, s := range signatures {
		if !bytes.Contains(text, needles[i]) {
			continue
		}
		sentence := strings.ReplaceAll(s.sentence, "$0", bare(text))
		if s.match != nil {
			groups := s.match.FindSubmatch(text)
			if groups == nil {
				continue
			}
			for i, group := range groups[1:] {
				text := string(group)
				if n, err := strconv.ParseUint(text, 10, 64); s.bytes && err == nil {
					text = size(n)
				}
				sentence = strings.ReplaceAll(sentence, "$"+string(rune('1'+i)), text)
			}
		}
		return &finding{class: s.class, sentence: oneLine(sentence), weak: s.weak}
	}
	return nil
}

func looksBad(text []byte) bool {
	return slices.ContainsFunc(badWords, func(word []byte) bool { return bytes.Contains(text, word) })
}

var (
	colours = regexp.MustCompile("\x1b\\[[0-9;]*[A-Za-z]")
	prefix  = regexp.MustCompile(`^(?:\d+\.\d\d\.\d{3}\.\d{3} [A-Z] +)?(?:\([^()]*pid=\d+\) )?(?:(?:ERROR|WARNING|INFO|CRITICAL):? +(?:\d\d-\d\d \d\d:\d\d:\d\d +\[[^\]]*\] ?)?)?`)
)

// bare strips what a logger puts before the words: colours, process, level, time and place.
func bare(text []byte) string {
	clean := oneLine(string(colours.ReplaceAll(text, nil)))
	return strings.TrimSpace(clean[len(prefix.FindString(clean)):])
}

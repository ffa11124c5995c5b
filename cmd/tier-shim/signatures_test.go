package main

import (
	"bufio"
	"os"
	"strings"
	"testing"
	"unicode/utf8"
)

func findIn(t *testing.T, text string) *finding {
	t.Helper()
	var seen lastSeen
	for _, line := range linesOf(text) {
		seen.line([]byte(line))
	}
	found, _ := seen.last()
	return found
}

func TestFixtureLogs(t *testing.T) {
	tests := []struct{ file, class, words string }{
		{"llama-oom-rocm.log", classBudget, "61386.27 MiB does not fit on device 0"},
		{"vllm-engine-dead.log", classEngineDied, "engine process of vLLM died"},
		{"vllm-start-gate.log", classBudget, "wants 72.0 GiB at its start and 41.22 of 120.0 GiB are free"},
		{"vllm-start-kvsmall.log", classBudget, "context of 131072: it needs 4.11 GiB and has 4.0 GiB, enough for a context of 127776"},
		{"vllm-start-nokv.log", classBudget, "no memory for the KV cache"},
		{"vllm-start-race.log", classEngineDied, "Another process freed GPU memory"},
		{"vllm-start-ok.log", "", ""},
		{"vllm-cpu-eager.log", "", ""},
		{"llama-start-vulkan.log", "", ""},
		{"llama-start-cpu.log", "", ""},
	}
	for _, test := range tests {
		text, err := os.ReadFile("testdata/logs/" + test.file)
		if err != nil {
			t.Fatal(err)
		}
		found := findIn(t, string(text))
		switch {
		case test.class == "" && found != nil:
			t.Errorf("%s: a good start is said to fail: %s", test.file, found.sentence)
		case test.class != "" && (found == nil || found.class != test.class || !strings.Contains(found.sentence, test.words)):
			t.Errorf("%s: found %+v, want class %s and %q", test.file, found, test.class, test.words)
		}
	}
}

// The lines are those that the real engines printed: vLLM 0.32 and llama-server 0.7.0.
func TestMeasuredLines(t *testing.T) {
	tests := []struct{ line, class, words string }{
		{"vllm: error: unrecognized arguments: --swap-space 4", classConfiguration, "--swap-space 4"},
		{"huggingface_hub.errors.HFValidationError: Repo id must be in the form 'repo_name' or 'namespace/repo_name': '/models/nope'. Use `repo_type` argument if needed.", classModel, "The model directory /models/nope is not there"},
		{"(APIServer pid=7) OSError: [Errno 98] Address already in use", classPort, "held by another process"},
		{"  Value error, Sleep mode is not supported on current platform. [type=value_error, input_value=ArgsKwargs((), {'model'...}), input_type=ArgsKwargs]", classConfiguration, "configuration: Sleep mode is not supported on current platform."},
		{"ValueError: Available memory on node 0 (14.61/22.71 GiB) on startup is less than desired CPU memory utilization (0.99, 22.49 GiB). On the CPU backend", classBudget, "wants 22.49 GiB at its start and 14.61 of 22.71 GiB"},
		{"(EngineCore pid=9) ERROR ValueError: To serve at least one request with the model's max seq len (8192), (0.18 GiB KV cache is needed, which is larger than the available KV cache memory (0.02 GiB). Based on the available memory, the estimated maximum model length is 768. Try", classBudget, "enough for a context of 768"},
		{"OSError: It looks like the config file at '/m.gguf' is not a valid JSON file.", classModel, "Hugging Face format"},
		{"Worker proc VllmWorker-0 died unexpectedly, shutting down executor.", classEngineDied, "worker VllmWorker-0 died"},
		{"0.00.032.846 E gguf_init_from_file: failed to open GGUF file '/nope/model.gguf' (No such file or directory)", classModel, "Cannot open the model /nope/model.gguf: No such file or directory"},
		{"gguf_init_from_file: invalid magic characters: 'XXXX', expected 'GGUF'", classModel, "not a GGUF file"},
		{"gguf_init: tensor 'blk.0' data is not within the file bounds, model is corrupted or incomplete", classModel, "incomplete or damaged"},
		{"0.00.208.644 E ggml_backend_buft_alloc_buffer_n_default: failed to allocate CPU buffer of size 9218949120", classBudget, "a buffer of 8.6 GiB does not fit"},
		{"llama_init_from_model: failed to initialize the context: failed to allocate buffer for kv cache", classBudget, "KV cache does not fit"},
		{"0.00.013.704 E srv         start: couldn't bind HTTP server socket, hostname: /tmp/x.sock, port: 9931", classPort, "could not bind"},
		{"error: invalid argument: --no-mmap", classConfiguration, "error: invalid argument: --no-mmap"},
		{`error while handling argument "--ctx-size": stoi`, classConfiguration, `"--ctx-size"`},
		{"error while loading shared libraries: libggml.so: cannot open shared object file: No such file or directory", classConfiguration, "libggml.so"},
		{"Memory access fault by GPU node-1 (Agent handle: 0x55) on address 0x7fc0. Reason: Unknown.", classDeviceLost, "faulted"},
		{"HW Exception by GPU node-1 (Agent handle: 0x55) reason :GPU Hang", classDeviceLost, "hung"},
		{"terminate called after throwing an instance of 'vk::DeviceLostError' what():  vk::Queue::submit: ErrorDeviceLost", classDeviceLost, "reset"},
		{"torch.OutOfMemoryError: HIP out of memory. Tried to allocate 2.00 GiB.", classBudget, "Tried to allocate 2.00 GiB"},
	}
	for _, test := range tests {
		found := findIn(t, test.line)
		if found == nil || found.class != test.class || !strings.Contains(found.sentence, test.words) {
			t.Errorf("%s\n\tfound %+v, want class %s and %q", test.line, found, test.class, test.words)
		}
	}
}

// Every failure that the table of signatures for unit logs has must be one that the shim knows, apart from those that
// are warnings. The fixture lines are made from the table's own expressions.
func TestTheTableOfSignaturesIsCovered(t *testing.T) {
	file, err := os.Open("testdata/log-signatures.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines, checked := bufio.NewScanner(file), 0
	for lines.Scan() {
		fields := strings.Split(lines.Text(), "\t")
		if fields[1] != "unit" || fields[3] != "error" && fields[3] != "critical" {
			continue
		}
		checked++
		covered := false
		for _, s := range signatures {
			plain := strings.NewReplacer(`\.`, ".", `\`, "").Replace(fields[2])
			covered = covered || strings.Contains(plain, s.needle) || strings.Contains(s.needle, strings.TrimRight(strings.Split(plain, "(")[0], " ")) && len(strings.Split(plain, "(")[0]) > 8
		}
		if !covered {
			t.Errorf("%s is not known: %s", fields[0], fields[2])
		}
	}
	if checked < 15 {
		t.Errorf("only %d signatures were checked", checked)
	}
}

func TestTheFirstCauseStays(t *testing.T) {
	tests := []struct{ name, log, words string }{
		{"a cause before its consequence", "ValueError: No available memory for the cache blocks\nRuntimeError: Engine core initialization failed.\n", "KV cache"},
		{"a cause behind a general word", "E failed to load model\nE failed to open GGUF file '/m' (No such file or directory)\nE failed to load model\n", "/m"},
		{"the first of two causes", "HIP out of memory\nMemory access fault by GPU node-1\n", "out of memory"},
	}
	for _, test := range tests {
		if found := findIn(t, test.log); found == nil || !strings.Contains(found.sentence, test.words) {
			t.Errorf("%s: found %+v, want %q", test.name, found, test.words)
		}
	}
}

func TestBareWords(t *testing.T) {
	for line, want := range map[string]string{
		"(EngineCore pid=5120) ERROR 11-23 04:20:11 [core.py:1136] ValueError: no": "ValueError: no",
		"(APIServer pid=5101) RuntimeError: no":                                    "RuntimeError: no",
		"\x1b[0;36m(EngineCore pid=1)\x1b[0;0m ERROR 11-23 04:20:11 [core.py:1] x": "x",
		"INFO:     Shutting down":                                                  "Shutting down",
		"0.00.032.793 E llama_model_load: failed":                                  "llama_model_load: failed",
		"plain words": "plain words",
	} {
		if got := bare([]byte(line)); got != want {
			t.Errorf("%q gives %q, want %q", line, got, want)
		}
	}
}

func FuzzSignatures(f *testing.F) {
	for _, s := range signatures {
		f.Add([]byte(s.needle))
	}
	f.Add([]byte("of size 99999999999999999999 failed ggml_vulkan: Device memory allocation of size 1 failed"))
	f.Fuzz(func(t *testing.T, line []byte) {
		found := findSignature(line)
		if found == nil {
			return
		}
		if statusOf[found.class] == 0 || found.sentence == "" || !utf8.ValidString(found.sentence) || strings.Contains(found.sentence, "\n") {
			t.Errorf("%q gives %+v", line, found)
		}
	})
}

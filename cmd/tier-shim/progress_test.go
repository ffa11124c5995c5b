package main

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func fixedNow() time.Time { return time.Unix(1_800_000_000, 0) }

// replay feeds a log to a load and returns each status that it went through, once.
func replay(t *testing.T, l *loading, file string) (words []string) {
	t.Helper()
	text, err := os.ReadFile("testdata/logs/" + file)
	if err != nil {
		t.Fatal(err)
	}
	words = append(words, l.words())
	for line := range strings.Lines(string(text)) {
		l.line([]byte(strings.TrimSpace(line)))
		if now := l.words(); now != words[len(words)-1] {
			words = append(words, now)
		}
	}
	return words
}

func TestTheStatusOfALoad(t *testing.T) {
	tests := []struct {
		name, engine, log string
		total             uint64
		want              []string
	}{
		{"vLLM with the size of the model known", "vllm", "vllm-start-ok.log", 57 << 30, []string{
			"Starting the engine", "Starting the engine process", "Loading weights", "Loading weights 0 %, 0.0 of 57 GiB",
			"Loading weights 6 %, 3.4 of 57 GiB", "Loading weights 50 %, 28 of 57 GiB", "Loading weights 100 %, 57 of 57 GiB",
			"Weights are loaded", "Weights are loaded, measuring memory", "Warming up", "Starting the server", "Probing the server",
		}},
		{"vLLM without", "vllm", "vllm-start-ok.log", 0, []string{
			"Starting the engine", "Starting the engine process", "Loading weights", "Loading weights 0 %, shard 0 of 16",
			"Loading weights 6 %, shard 1 of 16", "Loading weights 50 %, shard 8 of 16", "Loading weights 100 %, shard 16 of 16",
			"Weights are loaded", "Weights are loaded, measuring memory", "Warming up", "Starting the server", "Probing the server",
		}},
		{"vLLM that compiles nothing, and says so", "vllm", "vllm-cpu-eager.log", 0, []string{
			"Starting the engine", "Reading the model's configuration", "Starting the engine process", "Loading weights",
			"Loading weights 0 %, shard 0 of 1", "Loading weights 100 %, shard 1 of 1", "Weights are loaded", "Warming up",
			"Starting the server", "Probing the server",
		}},
		{"llama-server", "llama", "llama-start-cpu.log", 98 << 20, []string{
			"Starting the engine", "Loading weights", "Warming up", "Probing the server",
		}},
		{"llama-server of another version", "llama", "llama-start-vulkan.log", 0, []string{
			"Starting the engine", "Probing the server",
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := newLoading(test.engine, test.total, fixedNow)
			if got := replay(t, l, test.log); !slices.Equal(got, test.want) {
				t.Errorf("went through\n%q, want\n%q", got, test.want)
			}
			select {
			case <-l.kick:
			default:
				t.Error("the log said that the server is up, and nobody was told")
			}
		})
	}
}

func TestOnlyStepsForwardAreProgress(t *testing.T) {
	tests := []struct {
		name string
		line string
		want bool
	}{
		{"the next phase", "init engine (profile, create kv cache, warmup model) took 28.02 seconds", true},
		{"a later percentage", "Loading safetensors checkpoint shards:  51% Completed | 9/16 [", true},
		{"the same percentage again", "Loading safetensors checkpoint shards:  50% Completed | 8/16 [", false},
		{"an earlier percentage", "Loading safetensors checkpoint shards:  12% Completed | 2/16 [", false},
		{"a phase gone by", "non-default args: {}", false},
		{"vLLM's word for silence", "No available shared memory broadcast block found in 60 seconds.", false},
		{"any other line", "INFO: hello", false},
		{"a percentage that is none", "Loading: 101% Completed | 2/1", false},
	}
	for _, test := range tests {
		now := fixedNow()
		l := newLoading("vllm", 0, func() time.Time { return now })
		l.line([]byte("Starting to load model x"))
		l.line([]byte("Loading safetensors checkpoint shards:  50% Completed | 8/16 ["))
		now = now.Add(time.Minute)
		l.line([]byte(test.line))
		if got := l.lastMove().Equal(now); got != test.want {
			t.Errorf("%s: progress %v", test.name, got)
		}
	}
}

func TestAQuietLoadShowsItsAge(t *testing.T) {
	now := fixedNow()
	l := newLoading("vllm", 0, func() time.Time { return now })
	for _, step := range []struct {
		after time.Duration
		want  string
	}{
		{time.Second, "Starting the engine"},
		{12 * time.Second, "Starting the engine, 12 s"},
		{125 * time.Second, "Starting the engine, 2 min 5 s"},
	} {
		now = fixedNow().Add(step.after)
		if got := l.words(); got != step.want {
			t.Errorf("after %s: %q, want %q", step.after, got, step.want)
		}
	}
}

func TestBytesReadAreProgressWhereTheLogIsSilent(t *testing.T) {
	now := fixedNow()
	l := newLoading("llama", 40<<30, func() time.Time { return now })
	now = now.Add(time.Minute)
	l.bytesRead(17 << 30)
	if got := l.words(); got != "Loading weights 42 %, 17 of 40 GiB" {
		t.Errorf("status is %q", got)
	}
	if !l.lastMove().Equal(now) {
		t.Error("that was no progress")
	}
	now = now.Add(time.Minute)
	l.bytesRead(17 << 30)
	l.bytesRead(3 << 30)
	if l.lastMove().Equal(now) {
		t.Error("the same bytes again were progress")
	}
	l.bytesRead(400 << 30)
	if got := l.words(); got != "Loading weights 99 %, 40 of 40 GiB" {
		t.Errorf("status is %q", got)
	}
	unknown := newLoading("llama", 0, fixedNow)
	unknown.bytesRead(1 << 30)
	if got := unknown.words(); got != "Starting the engine" {
		t.Errorf("status is %q although the size is not known", got)
	}
}

func TestSizes(t *testing.T) {
	for want, n := range map[string]uint64{"0.0 MiB": 0, "512 MiB": 512 << 20, "1.0 GiB": 1 << 30, "57 GiB": 57 << 30} {
		if got := size(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}

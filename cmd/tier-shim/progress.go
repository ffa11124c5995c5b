package main

import (
	"bytes"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// phase is one step of an engine's start, known by a part of the line that the engine prints when the step begins.
type phase struct {
	needle string
	words  string
	up     bool // the server answers from here on, or very soon: probe at once
}

// phases are the lines of vLLM 0.27 to 0.32 and of llama-server 0.7 in the order in which they come. Where a version has
// other words the phase is passed over, and the elapsed time still shows that something goes on.
var phases = map[string][]phase{
	"vllm": {
		{needle: "non-default args", words: "Reading the model's configuration"},
		{needle: "Initializing a V1 LLM engine", words: "Starting the engine process"},
		{needle: "Starting to load model", words: "Loading weights"},
		{needle: "Loading weights took", words: "Weights are loaded"},
		{needle: "Model loading took", words: "Weights are loaded, measuring memory"},
		{needle: "Warming up model for the compilation", words: "Compiling the model (minutes without output are normal)"},
		{needle: "for vLLM's torch.compile", words: "Compiling the model (minutes without output are normal)"}, // not "disabling torch.compile"
		{needle: "KV cache size:", words: "Warming up"},
		{needle: "Capturing CUDA graph", words: "Capturing graphs"},
		{needle: "init engine (", words: "Starting the server"},
		{needle: "Application startup complete", words: "Probing the server", up: true},
	},
	"llama": {
		{needle: "loading model", words: "Loading weights"},
		{needle: "initializing, n_slots", words: "Warming up"},
		{needle: "model loaded", words: "Probing the server", up: true},
		{needle: "listening on", words: "Probing the server", up: true},
	},
}

// completed stands behind the percentage in tqdm's line.
var completed = []byte("% Completed | ")

// loading is what is known of an engine's start. Log readers write to it, the supervisor reads.
type loading struct {
	phases  []phase
	needles [][]byte // theirs
	total   uint64   // bytes of the model on disk, 0 when unknown
	now     func() time.Time
	kick    chan struct{} // filled when the server seems to be up

	mu      sync.Mutex
	at      int    // index of the phase, -1 before the first
	percent int    // of the weights, -1 when unknown
	shards  string // "7 of 16"
	done    uint64 // bytes of the weights
	since   time.Time
	moved   time.Time
}

func newLoading(engine string, total uint64, now func() time.Time) *loading {
	t := now()
	l := &loading{phases: phases[engine], total: total, now: now, kick: make(chan struct{}, 1),
		at: -1, percent: -1, since: t, moved: t}
	for _, p := range l.phases {
		l.needles = append(l.needles, []byte(p.needle))
	}
	return l
}

// line looks at one line of the log. Only steps forward count as progress: an engine that floods its log or repeats
// itself makes none.
func (l *loading) line(text []byte) {
	if i := bytes.Index(text, completed); i >= 0 {
		l.weights(text[:i], text[i+len(completed):])
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := len(l.phases) - 1; i > l.at; i-- {
		if !bytes.Contains(text, l.needles[i]) {
			continue
		}
		if l.at < 0 || l.phases[l.at].words != l.phases[i].words {
			l.since, l.percent = l.now(), -1
		}
		l.at, l.moved = i, l.now()
		if l.phases[i].up {
			select {
			case l.kick <- struct{}{}:
			default:
			}
		}
		return
	}
}

// weights reads tqdm's "Loading safetensors checkpoint shards:  43% Completed | 7/16 [...".
func (l *loading) weights(before, after []byte) {
	fields := bytes.Fields(before)
	if len(fields) == 0 {
		return
	}
	percent, err := strconv.Atoi(string(fields[len(fields)-1]))
	if err != nil || percent < 0 || percent > 100 {
		return
	}
	shards, _, _ := bytes.Cut(after, []byte(" "))
	l.mu.Lock()
	defer l.mu.Unlock()
	if percent <= l.percent {
		return
	}
	l.percent = percent
	l.shards = string(bytes.Replace(shards[:min(len(shards), 20)], []byte("/"), []byte(" of "), 1))
	l.done = uint64(float64(l.total) * float64(percent) / 100)
	l.since, l.moved = l.now(), l.now()
}

// bytesRead notes how much of the model is in memory, for an engine that prints no percentage.
func (l *loading) bytesRead(done uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total == 0 || done <= l.done {
		return
	}
	l.done = min(done, l.total)
	// The rest of the process counts as well, so the end of the load is known from the log alone.
	percent := min(99, int(l.done/max(1, l.total/100)))
	if percent > l.percent && l.at <= 0 {
		l.percent, l.since, l.moved = percent, l.now(), l.now()
	}
}

// lastMove is when the load last went forward.
func (l *loading) lastMove() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.moved
}

// words is the line for `systemctl status`: the phase, how far it is, and its age once that is worth telling.
func (l *loading) words() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := "Starting the engine"
	if l.at >= 0 {
		text = l.phases[l.at].words
	}
	if l.percent >= 0 {
		text = fmt.Sprintf("Loading weights %d %%", l.percent)
		switch {
		case l.total > 0:
			text += ", " + sizes(l.done, l.total)
		case l.shards != "":
			text += ", shard " + l.shards
		}
	}
	if quiet := l.now().Sub(l.since); quiet >= 5*time.Second {
		text += ", " + elapsed(quiet)
	}
	return text
}

// elapsed writes a duration as a person reads it, to the second.
func elapsed(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%d s", int(d.Seconds()))
	}
	return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
}

// size writes bytes in the largest unit that keeps two digits.
func size(n uint64) string {
	unit, name := unitFor(n)
	return number(n, unit) + " " + name
}

// sizes writes "26 of 57 GiB".
func sizes(done, total uint64) string {
	unit, name := unitFor(total)
	return number(done, unit) + " of " + number(total, unit) + " " + name
}

func unitFor(n uint64) (unit float64, name string) {
	if n >= 1<<30 {
		return 1 << 30, "GiB"
	}
	return 1 << 20, "MiB"
}

func number(n uint64, unit float64) string {
	value := float64(n) / unit
	if value < 10 {
		return strconv.FormatFloat(value, 'f', 1, 64)
	}
	return strconv.FormatFloat(value, 'f', 0, 64)
}

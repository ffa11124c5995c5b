package main

import (
	"io"
	"strings"
	"testing"
	"time"
)

func TestOptions(t *testing.T) {
	o, err := parseOptions(strings.Fields("run --tier=coder --engine=vllm --socket=/s --memory=1024 --served=coder " +
		"--oom-score=660 --load-timeout=20m --stall-timeout=5m --drain=30s --progress-bytes=7 -- vllm serve --port 1"))
	if err != nil {
		t.Fatal(err)
	}
	if o.tier != "coder" || o.engine != "vllm" || o.socket != "/s" || o.memory != 1024 || o.served != "coder" ||
		o.loadTimeout != 20*time.Minute || o.progressBytes != 7 || o.oomScore != 660 || strings.Join(o.argv, " ") != "vllm serve --port 1" ||
		o.admit != "/run/tierd/admit.sock" {
		t.Errorf("read as %+v", o)
	}
}

func TestFaultyOptionsNameTheFault(t *testing.T) {
	tests := []struct{ line, words string }{
		{"", "usage"},
		{"walk --tier=t", "usage"},
		{"run", "--tier"},
		{"run --tier=t --engine=llama -- x", "--socket"},
		{"run --tier=t --socket=s --engine=ollama -- x", "ollama"},
		{"run --tier=t --socket=s --engine=llama", "no engine"},
		{"run --tier=t --socket=s --engine=llama --memory=12GiB -- x", "memory"},
		{"run --tier=t --socket=s --engine=llama --load-timeout=0 -- x", "--load-timeout"},
		{"run --tier=t --socket=s --engine=llama --oom-score=-1000 -- x", "--oom-score"},
		{"run --tier=t --socket=s --engine=llama --blocked=nonsense:x -- x", "blocked"},
		{"run --tier=t --socket=s --engine=llama --url=x -- x", "url"},
		{"remote --tier=t --socket=s --url=https://h", "--model"},
		{"remote --tier=t --socket=s --url=https://h --model=m -- x", `"x"`},
	}
	for _, test := range tests {
		if _, err := parseOptions(strings.Fields(test.line)); err == nil || !strings.Contains(err.Error(), test.words) {
			t.Errorf("%q: error is %v, want %q in it", test.line, err, test.words)
		}
	}
	if status := run([]string{"run"}, io.Discard, io.Discard, nil); status != 78 {
		t.Errorf("exit status %d", status)
	}
}

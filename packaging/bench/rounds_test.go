package main

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"
)

func TestTargetsAreComparedWithinARound(t *testing.T) {
	took := func(micros, done int, cpu time.Duration) sample {
		return sample{result{P50: time.Duration(micros) * time.Microsecond, Done: done, Elapsed: time.Second}, cpu}
	}
	// The machine is three times as slow in the second round.
	s := samples{
		direct:  {took(50, 1000, 0), took(150, 300, 0), took(52, 1000, 0)},
		gateway: {took(110, 500, 30*time.Millisecond), took(215, 150, 10*time.Millisecond), took(110, 490, 20*time.Millisecond)},
	}
	if got := s.over(gateway, direct, p50); got != 60 {
		t.Errorf("added %v", got)
	}
	if got := s.ratio(gateway, direct, rate); got != 0.5 {
		t.Errorf("ratio %v", got)
	}
	if got := s.of(gateway, p50); got != 110 {
		t.Errorf("p50 %v", got)
	}
	if got := s.cpuEach(gateway); got != 60*time.Millisecond/1140 {
		t.Errorf("processor time %v", got)
	}
}

func TestShares(t *testing.T) {
	var r result
	latencies := make([]int64, 101)
	for i := range latencies {
		latencies[i] = int64(100 - i)
	}
	r.summarize(latencies)
	if r.P50 != 50 || r.P99 != 99 || r.Max != 100 {
		t.Errorf("%+v", r)
	}
	var none result
	none.summarize(nil)
	if none != (result{}) {
		t.Errorf("%+v", none)
	}
}

func TestContentLength(t *testing.T) {
	for head, want := range map[string]int{
		"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n":         12,
		"HTTP/1.1 200 OK\r\ncontent-length:7\r\nX: y\r\n":   7,
		"HTTP/1.1 200 OK\r\nX-Content-Length: 12\r\n":       0,
		"HTTP/1.1 200 OK\r\nContent-Type: x\r\nC: 3\r\n":    0,
		"HTTP/1.1 200 OK\r\nCONTENT-LENGTH: 9 \r\nA: b\r\n": 9,
	} {
		if got, err := contentLength([]byte(head)); err != nil || got != want {
			t.Errorf("%q: %d, %v", head, got, err)
		}
	}
	if _, err := contentLength([]byte("HTTP/1.1 200 OK\r\nContent-Length: x\r\n")); err == nil {
		t.Error("a length that is no number is taken")
	}
}

func TestNumbersFillTheirPlace(t *testing.T) {
	place := []byte("xxxxxx")
	putNumber(place, 1234)
	if string(place) != "001234" {
		t.Errorf("%s", place)
	}
	putNumber(place, 0)
	if string(place) != "000000" {
		t.Errorf("%s", place)
	}
}

func TestAMutationCanBeMadeAgain(t *testing.T) {
	differ := 0
	for seed := range uint64(500) {
		one, two := mutated(rand.New(rand.NewPCG(7, seed))), mutated(rand.New(rand.NewPCG(7, seed)))
		if len(one) == 0 || !bytes.Equal(one, two) {
			t.Fatalf("seed %d: %q, %q", seed, one, two)
		}
		if !bytes.Equal(one, seedRequest(rand.New(rand.NewPCG(7, seed)))) {
			differ++
		}
	}
	if differ < 450 {
		t.Errorf("only %d of 500 differ from what they were made of", differ)
	}
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"path/filepath"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tierd/tierd/agent/api"
)

func TestTheAdmissionLinesAreThoseOfTheAPI(t *testing.T) {
	tests := []struct{ ours, theirs any }{
		{admitRequest{}, api.AdmitRequest{}},
		{admitAnswer{}, api.AdmitAnswer{}},
	}
	for _, test := range tests {
		ours, theirs := reflect.TypeOf(test.ours), reflect.TypeOf(test.theirs)
		if ours.NumField() != theirs.NumField() {
			t.Fatalf("%s has %d fields, %s has %d", ours, ours.NumField(), theirs, theirs.NumField())
		}
		for i := range ours.NumField() {
			a, b := ours.Field(i), theirs.Field(i)
			if a.Name != b.Name || a.Type != b.Type || a.Tag != b.Tag {
				t.Errorf("field %d is %v here and %v there", i, a, b)
			}
		}
	}
	for ours, theirs := range map[string]string{
		classRefused: api.ClassRefused, classConfiguration: api.ClassConfiguration, classModel: api.ClassModel,
		classPort: api.ClassPort, classBudget: api.ClassBudget, classDeviceLost: api.ClassDeviceLost,
		classEngineDied: api.ClassEngineDied, classKilled: api.ClassKilled, classTimeout: api.ClassTimeout,
	} {
		if ours != theirs {
			t.Errorf("class %q is called %q there", ours, theirs)
		}
	}
}

func TestAskTierd(t *testing.T) {
	listen := func(t *testing.T, serve func(net.Conn)) string {
		path := filepath.Join(newBed(t).dir, "a.sock")
		listener, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { listener.Close() })
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				serve(conn)
			}
		}()
		return path
	}
	t.Run("nobody there", func(t *testing.T) {
		_, err := askTierd(t.Context(), "/nowhere/admit.sock", "start", func(string) {})
		if !errors.Is(err, errNoTierd) {
			t.Errorf("error is %v", err)
		}
	})
	t.Run("why it has to wait is passed on until the answer comes", func(t *testing.T) {
		path := listen(t, func(conn net.Conn) {
			defer conn.Close()
			send := json.NewEncoder(conn)
			for _, why := range []string{"waits for orch to load", "coder gives way"} {
				send.Encode(admitAnswer{Wait: why})
			}
			send.Encode(admitAnswer{OK: true})
		})
		var heard []string
		answer, err := askTierd(t.Context(), path, "start", func(why string) { heard = append(heard, why) })
		if err != nil || !answer.OK || len(heard) != 2 || capital(heard[0]) != "Waits for orch to load" || heard[1] != "coder gives way" {
			t.Errorf("heard %q, got %+v, %v", heard, answer, err)
		}
	})
	t.Run("a restart in between is waited out", func(t *testing.T) {
		var calls atomic.Int32
		path := listen(t, func(conn net.Conn) {
			defer conn.Close()
			var ask admitRequest
			json.NewDecoder(conn).Decode(&ask)
			if calls.Add(1) > 2 {
				json.NewEncoder(conn).Encode(admitAnswer{OK: true, Message: ask.Op})
			}
		})
		answer, err := askTierd(t.Context(), path, "stop", func(string) {})
		if err != nil || !answer.OK || answer.Message != "stop" || calls.Load() != 3 {
			t.Errorf("%+v, %v after %d calls", answer, err, calls.Load())
		}
	})
	t.Run("a silent one is given up with the context", func(t *testing.T) {
		path := listen(t, func(net.Conn) {})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if _, err := askTierd(ctx, path, "start", func(string) {}); !errors.Is(err, errNoTierd) {
			t.Errorf("error is %v", err)
		}
	})
	t.Run("an answer that is none", func(t *testing.T) {
		path := listen(t, func(conn net.Conn) { conn.Write([]byte("hello\n")) })
		if _, err := askTierd(t.Context(), path, "start", func(string) {}); !errors.Is(err, errNoTierd) {
			t.Errorf("error is %v", err)
		}
	})
}

func TestMemAvailable(t *testing.T) {
	tests := []struct {
		name, text string
		want       uint64
		fails      bool
	}{
		{"without CMA", "MemTotal: 4 kB\nMemAvailable:   2048 kB\n", 2 << 20, false},
		{"the free CMA area is taken off", "MemAvailable: 2048 kB\nCmaTotal: 9 kB\nCmaFree: 1024 kB\n", 1 << 20, false},
		{"never below zero", "MemAvailable: 1 kB\nCmaFree: 1024 kB\n", 0, false},
		{"missing", "MemFree: 1 kB\n", 0, true},
		{"malformed", "MemAvailable: many kB\n", 0, true},
		{"too large to be true", "MemAvailable: 18446744073709551615 kB\n", 0, true},
	}
	for _, test := range tests {
		got, err := memAvailable(test.text)
		if got != test.want || (err != nil) != test.fails {
			t.Errorf("%s: %d, %v", test.name, got, err)
		}
	}
}

func FuzzMemInfo(f *testing.F) {
	f.Add("MemAvailable: 2048 kB\nCmaFree: 1024 kB\n")
	f.Fuzz(func(t *testing.T, text string) {
		if n, err := memAvailable(text); err == nil && n%1024 != 0 {
			t.Errorf("%q gives %d", text, n)
		}
	})
}

package main

import (
	"os"
	"testing"
)

func TestProcFields(t *testing.T) {
	const io = "rchar: 98362432\nwchar: 1\nread_bytes: 0\n"
	const status = "Name:\tllama-server\nVmRSS:\t  227788 kB\nRssFile:\t  113000 kB\n"
	tests := []struct {
		text, name string
		want       uint64
	}{
		{io, "rchar", 98362432},
		{status, "RssFile", 113000},
		{status, "RssShmem", 0},
		{"rchar:\n", "rchar", 0},
		{"rchar: x\n", "rchar", 0},
		{"", "rchar", 0},
	}
	for _, test := range tests {
		if got := procField(test.text, test.name); got != test.want {
			t.Errorf("%s of %q is %d, want %d", test.name, test.text, got, test.want)
		}
	}
	if loadedBytes(os.Getpid()) == 0 {
		t.Error("this process has read and mapped nothing")
	}
	if loadedBytes(1<<30) != 0 {
		t.Error("a process that is not there has read something")
	}
}

func FuzzProcField(f *testing.F) {
	f.Add("rchar: 98362432\n", "rchar")
	f.Fuzz(func(t *testing.T, text, name string) {
		if procField(text, name) > 1<<53 {
			t.Errorf("%q gives more bytes than there are", text)
		}
	})
}

package rocm

import (
	"context"
	"strings"
	"testing"
	"time"
)

const debian = "PRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"13\"\nID=debian\n"

func TestPlatform(t *testing.T) {
	root := t.TempDir()
	write(t, root, "etc/os-release", debian)
	write(t, root, "proc/uptime", "12345.67 98765.43\n")
	var cpus strings.Builder
	for _, core := range []string{"0", "1", "8", "0", "1", "8"} { // two threads each, and a gap in the numbers
		cpus.WriteString("processor\t: 0\nmodel name\t: AMD RYZEN AI MAX+ 395 w/ Radeon 8060S\nphysical id\t: 0\ncore id\t\t: " + core + "\n\n")
	}
	write(t, root, "proc/cpuinfo", cpus.String())
	h := host(root)
	p := h.Snapshot(context.Background()).Platform
	same(t, "uptime", p.Uptime, new(12345670*time.Millisecond))
	p.Uptime = nil
	want := Platform{OS: "Debian GNU/Linux 13 (trixie)", OSID: "debian", Version: "13", CPU: "AMD RYZEN AI MAX+ 395 w/ Radeon 8060S", Cores: 3, Threads: 6}
	if p != want {
		t.Errorf("got %+v", p)
	}
	opened := watch(t, root)
	if p := h.Snapshot(context.Background()).Platform; p.CPU != want.CPU || p.OS != want.OS {
		t.Errorf("the second time: %+v", p)
	}
	for _, f := range opened() {
		if f == "proc/cpuinfo" {
			t.Error("what cannot change is read again")
		}
	}
}

func TestPlatformThatMakesNoSense(t *testing.T) {
	root := t.TempDir()
	write(t, root, "etc/os-release", "Debian 13\n")
	write(t, root, "proc/uptime", "long\n")
	if got := problemsOf(host(root).Snapshot(context.Background())); len(got) != 2 || got[0] != "/etc/os-release" || got[1] != "/proc/uptime" {
		t.Errorf("problems with %q", got)
	}
	for _, text := range []string{"", "-1", "1h", "1m", "1e400", "99999999999999"} {
		if up, err := parseUptime([]byte(text)); err == nil {
			t.Errorf("%q is %s", text, up)
		}
	}
}

func FuzzParseUptime(f *testing.F) {
	f.Add([]byte("12345.67 98765.43\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if up, err := parseUptime(data); up < 0 || err != nil && up != 0 {
			t.Errorf("%s, %v", up, err)
		}
	})
}

func FuzzParseCPUInfo(f *testing.F) {
	f.Add([]byte("processor\t: 0\nmodel name\t: X\nphysical id\t: 0\ncore id\t\t: 0\n"))
	f.Fuzz(func(t *testing.T, data []byte) { parseCPUInfo(data) })
}

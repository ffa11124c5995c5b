package rocm

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// Platform is what the host is besides its GPUs. A field that is not known is empty or 0.
type Platform struct {
	OS      string // as it calls itself: "Fedora Linux 43 (Workstation Edition)"
	OSID    string // "fedora"
	Version string // of the OS: "43"
	CPU     string // "AMD RYZEN AI MAX+ 395 w/ Radeon 8060S"
	Cores   int    // that compute on their own
	Threads int    // that the kernel sees
	Uptime  *time.Duration
}

// platformCache keeps what cannot change while the host runs. The kernel asks every CPU before it writes cpuinfo, which takes
// too long to be done each time.
type platformCache struct {
	mu  sync.Mutex
	cpu *cpuInfo
	os  *map[string]string
}

func (c *platformCache) get() (*cpuInfo, *map[string]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cpu, c.os
}

func (c *platformCache) set(cpu *cpuInfo, os *map[string]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cpu, c.os = cpu, os
}

func (r *reading) platform() Platform {
	g := r.group()
	var p Platform
	if data, ok := g.file("proc/uptime"); ok {
		up, err := parseUptime(data)
		if err != nil {
			g.problem("proc/uptime", err)
		} else {
			p.Uptime = &up
		}
	}
	cpu, os := r.host.platform.get()
	if os == nil {
		os = parsed(g, "etc/os-release", keyValues)
	}
	if cpu == nil {
		if data, ok := g.large("proc/cpuinfo", maxCPUInfo); ok {
			c := parseCPUInfo(data)
			cpu = &c
		}
	}
	r.host.platform.set(cpu, os)
	if os != nil {
		p.OS, p.OSID, p.Version = unquote((*os)["PRETTY_NAME"]), unquote((*os)["ID"]), unquote((*os)["VERSION_ID"])
	}
	if cpu != nil {
		p.CPU, p.Cores, p.Threads = cpu.model, cpu.cores, cpu.threads
	}
	return p
}

// unquote undoes the shell's quotes of os-release(5).
func unquote(s string) string {
	for _, q := range []string{`"`, `'`} {
		if len(s) >= 2 && strings.HasPrefix(s, q) && strings.HasSuffix(s, q) {
			return s[1 : len(s)-1]
		}
	}
	return s
}

type cpuInfo struct {
	model          string
	cores, threads int
}

// parseCPUInfo counts the cores by package and number: those of a CPU are not numbered without gaps.
func parseCPUInfo(data []byte) cpuInfo {
	var c cpuInfo
	var socket string
	cores := map[string]bool{}
	for line := range strings.Lines(string(data)) {
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(key) {
		case "processor":
			c.threads++
		case "model name":
			c.model = value
		case "physical id":
			socket = value
		case "core id":
			cores[socket+"/"+value] = true
		}
	}
	c.cores = len(cores)
	return c
}

// parseUptime reads the first of "12345.67 98765.43", in seconds.
func parseUptime(data []byte) (time.Duration, error) {
	first, _, _ := strings.Cut(strings.TrimSpace(string(data)), " ")
	up, err := time.ParseDuration(first + "s")
	if err != nil || strings.Trim(first, "0123456789.") != "" {
		return 0, fmt.Errorf("%s is not a number of seconds", quote(first))
	}
	return up, nil
}

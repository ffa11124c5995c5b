package rocm

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Client is a process that uses a GPU of AMD's.
type Client struct {
	PID    int
	Comm   string // the process's name, at most 15 bytes; "" when it has ended meanwhile
	Cgroup string // "/tier.slice/tier-gpu.slice/tier-coder.service"
	// Unit is the system's unit that the process is in, UserUnit the user manager's, as in "user@1000.service" and
	// "app-firefox.scope". "" when there is none.
	Unit, UserUnit string
	Memory         []ClientMemory // by PCI address
	// KFD is what ROCm has allocated, in bytes, by the KFD id of the GPU. It is part of Memory, wherever that shows it.
	KFD map[uint32]uint64
}

// ClientMemory is what a client holds of one GPU, in bytes. What several processes share counts for the one with the lowest pid.
type ClientMemory struct {
	PCI       string
	GTT, VRAM uint64
}

const kfdProc = "sys/class/kfd/kfd/proc"

// clients finds the processes that use a GPU. It is complete when every process could be looked into.
func (r *reading) clients() (clients []Client, complete bool) {
	var compute map[int]map[uint32]uint64
	var all sync.WaitGroup
	all.Go(func() { compute = r.kfdProcesses() })
	held, complete := r.drmClients()
	all.Wait()

	byPID := map[int]*Client{}
	get := func(pid int) *Client {
		if byPID[pid] == nil {
			byPID[pid] = &Client{PID: pid}
		}
		return byPID[pid]
	}
	type name struct {
		pci string
		id  uint64
	}
	seen := map[name]bool{}
	slices.SortFunc(held, func(a, b heldClient) int { return cmp.Compare(a.pid, b.pid) })
	for _, h := range held {
		c := get(h.pid)
		m := c.memory(h.pci)
		if n := (name{h.pci, h.id}); !seen[n] {
			seen[n] = true
			m.GTT += h.gtt
			m.VRAM += h.vram
		}
	}
	for pid, bytes := range compute {
		get(pid).KFD = bytes
	}
	for _, c := range byPID {
		clients = append(clients, *c)
	}
	slices.SortFunc(clients, func(a, b Client) int { return cmp.Compare(a.PID, b.PID) })
	for i := range clients {
		r.name(&clients[i])
	}
	return clients, complete
}

// memory is the entry of one GPU.
func (c *Client) memory(pci string) *ClientMemory {
	at, found := slices.BinarySearchFunc(c.Memory, pci, func(m ClientMemory, pci string) int { return strings.Compare(m.PCI, pci) })
	if !found {
		c.Memory = slices.Insert(c.Memory, at, ClientMemory{PCI: pci})
	}
	return &c.Memory[at]
}

// name fills in who a client is.
func (r *reading) name(c *Client) {
	g := r.group()
	base := "proc/" + strconv.Itoa(c.PID) + "/"
	c.Comm = g.text(base + "comm")
	if data, ok := g.file(base + "cgroup"); ok {
		c.Cgroup, c.Unit, c.UserUnit = parseCgroup(data)
	}
}

// heldClient is a DRM client and the process that has it open.
type heldClient struct {
	drmClient
	pid int
}

// drmClients reads the fdinfo of every file that may be a GPU client's, of all processes and cards at the same time, since one
// card may hang.
func (r *reading) drmClients() (held []heldClient, complete bool) {
	list, err := ask(r.ctx, &r.host.calls, "proc", func() ([]process, error) { return r.host.source.processes() })
	if err != nil {
		r.group().ok("proc", err)
		return nil, false
	}
	type key struct{ pid, node string }
	groups := map[key]*fdinfos{}
	var order []*fdinfos
	hidden := 0
	for _, p := range list {
		if p.hidden != nil {
			r.host.note("proc/"+p.pid+"/fd", nil, p.hidden)
			hidden++
			continue
		}
		for _, f := range p.files {
			k := key{p.pid, f.node}
			if groups[k] == nil {
				groups[k] = &fdinfos{group: r.group(), pid: p.pid}
				order = append(order, groups[k])
			}
			groups[k].fds = append(groups[k].fds, f.fd)
		}
	}
	var all sync.WaitGroup
	for _, f := range order {
		all.Go(f.read)
	}
	all.Wait()
	complete = hidden == 0
	if hidden > 0 {
		r.problem("proc", fmt.Errorf("%d processes may not be looked into, so what they hold of the GPUs is not known: "+
			"that takes root, or CAP_SYS_PTRACE and CAP_DAC_OVERRIDE", hidden))
	}
	for _, f := range order {
		held = append(held, f.held...)
		complete = complete && !f.failed
	}
	return held, complete
}

// fdinfos are the files of one process on one card.
type fdinfos struct {
	*group
	pid    string
	fds    []string
	held   []heldClient
	failed bool
}

func (f *fdinfos) read() {
	pid, err := strconv.Atoi(f.pid)
	if err != nil {
		return
	}
	for _, fd := range f.fds {
		path := "proc/" + f.pid + "/fdinfo/" + fd
		data, err := f.try(path, maxFile)
		if !f.ok(path, err) {
			f.failed = f.failed || !missing(err)
			continue
		}
		c, err := parseFdinfo(data)
		if err != nil {
			f.failed = true
			f.problem(path, err)
			continue
		}
		if c != nil && c.driver == "amdgpu" {
			f.held = append(f.held, heldClient{drmClient: *c, pid: pid})
		}
	}
}

// kfdProcesses reads what ROCm has allocated, by process and GPU id. It is there for processes of which fdinfo may not be read,
// too, but says nothing of Vulkan.
func (r *reading) kfdProcesses() map[int]map[uint32]uint64 {
	g := r.group()
	found := map[int]map[uint32]uint64{}
	for _, name := range g.list(kfdProc) {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		for _, file := range g.list(kfdProc + "/" + name) {
			id, ok := strings.CutPrefix(file, "vram_")
			gpu, err := strconv.ParseUint(id, 10, 32)
			if !ok || err != nil {
				continue
			}
			if bytes := g.number(kfdProc + "/" + name + "/" + file); bytes != nil {
				if found[pid] == nil {
					found[pid] = map[uint32]uint64{}
				}
				found[pid][uint32(gpu)] = *bytes
			}
		}
	}
	return found
}

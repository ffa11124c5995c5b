package rocm

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
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

// ClientMemory is what a client holds of one GPU, in bytes. What several processes have open counts
// for the youngest, that is, the one with the highest pid: logind and systemd keep open what they have opened for a desktop.
type ClientMemory struct {
	PCI       string
	GTT, VRAM uint64
}

const kfdProc = "sys/class/kfd/kfd/proc"

// clients finds the processes that use a GPU. It is complete when every process could be looked into.
func (r *reading) clients() (clients []Client, complete bool) {
	n := &names{byPID: map[int]Client{}}
	var compute map[int]map[uint32]uint64
	var all sync.WaitGroup
	all.Go(func() { compute = r.kfdProcesses(n) })
	held, complete := r.drmClients(n)
	all.Wait()
	return merge(held, compute, n.byPID), complete
}

// merge makes one client of all that a process holds.
func merge(held []heldClient, compute map[int]map[uint32]uint64, named map[int]Client) (clients []Client) {
	byPID := map[int]*Client{}
	get := func(pid int) *Client {
		if byPID[pid] == nil {
			c := named[pid]
			c.PID = pid
			byPID[pid] = &c
		}
		return byPID[pid]
	}
	type key struct {
		pci string
		id  uint64
	}
	seen := map[key]bool{}
	slices.SortStableFunc(held, func(a, b heldClient) int { return cmp.Compare(b.pid, a.pid) })
	for _, h := range held {
		m := get(h.pid).memory(h.pci)
		if client := (key{h.pci, h.id}); !seen[client] {
			seen[client] = true
			m.GTT += h.gtt
			m.VRAM += h.vram
		}
	}
	for pid, bytes := range compute {
		get(pid).KFD = bytes
	}
	for _, pid := range slices.Sorted(maps.Keys(byPID)) {
		clients = append(clients, *byPID[pid])
	}
	return clients
}

// memory is the entry of one GPU.
func (c *Client) memory(pci string) *ClientMemory {
	byPCI := func(m ClientMemory, pci string) int { return strings.Compare(m.PCI, pci) }
	at, found := slices.BinarySearchFunc(c.Memory, pci, byPCI)
	if !found {
		c.Memory = slices.Insert(c.Memory, at, ClientMemory{PCI: pci})
	}
	return &c.Memory[at]
}

// names are processes that may be clients, and who they are. That is read along with what they hold, which may hang until
// there is no time for anything else.
type names struct {
	mu    sync.Mutex
	byPID map[int]Client
}

// name reads who a process is.
func (n *names) name(r *reading, pid int) {
	g := r.group()
	base := "proc/" + strconv.Itoa(pid) + "/"
	c := Client{PID: pid, Comm: g.text(base + "comm")}
	if data, ok := g.file(base + "cgroup"); ok {
		c.Cgroup, c.Unit, c.UserUnit = parseCgroup(data)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.byPID[pid] = c
}

// heldClient is a DRM client and the process that has it open.
type heldClient struct {
	drmClient
	pid int
}

// drmClients reads the fdinfo of every file that may be a GPU client's, of all processes and cards at the same time, since
// one card may hang.
func (r *reading) drmClients(n *names) (held []heldClient, complete bool) {
	list, err := ask(r.ctx, &r.host.calls, "proc", func() ([]process, error) { return r.host.source.processes() })
	if err != nil {
		r.host.note("proc", nil, err)
		r.group().ok("proc", err)
		return nil, false
	}
	var all sync.WaitGroup
	var files []*fdinfos
	var hidden int
	var why error
	for _, p := range list {
		pid, err := strconv.Atoi(p.pid)
		switch {
		case err != nil: // no process has such a number
		case p.hidden != nil:
			r.host.note("proc/"+p.pid+"/fd", nil, p.hidden)
			hidden, why = hidden+1, p.hidden
		default:
			all.Go(func() { n.name(r, pid) })
			files = append(files, r.fdinfos(pid, p.files)...)
		}
	}
	for _, f := range files {
		all.Go(f.read)
	}
	all.Wait()
	complete = hidden == 0
	if hidden > 0 {
		r.problem("proc", hiddenError(hidden, why))
	}
	for _, f := range files {
		held = append(held, f.held...)
		complete = complete && !f.failed
	}
	return held, complete
}

// hiddenError is one for all processes that may not be looked into.
func hiddenError(n int, why error) error {
	err := fmt.Errorf("%d processes cannot be looked into (%w), so what they hold of the GPUs is not known", n, why)
	if errors.Is(why, os.ErrPermission) {
		err = fmt.Errorf("%w; that takes root, or CAP_SYS_PTRACE and CAP_DAC_OVERRIDE", err)
	}
	return err
}

// fdinfos sorts the files of a process by card.
func (r *reading) fdinfos(pid int, files []gpuFile) (groups []*fdinfos) {
	byNode := map[string]*fdinfos{}
	for _, file := range files {
		f := byNode[file.node]
		if f == nil {
			f = &fdinfos{group: r.group(), pid: pid}
			byNode[file.node] = f
			groups = append(groups, f)
		}
		f.fds = append(f.fds, file.fd)
	}
	return groups
}

// fdinfos are the files of one process on one card.
type fdinfos struct {
	*group
	pid    int
	fds    []string
	held   []heldClient
	failed bool
}

func (f *fdinfos) read() {
	for _, fd := range f.fds {
		path := "proc/" + strconv.Itoa(f.pid) + "/fdinfo/" + fd
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
			f.held = append(f.held, heldClient{drmClient: *c, pid: f.pid})
		}
	}
}

// kfdProcesses reads what ROCm has allocated, by process and GPU id. That is told of processes, too, that may not be looked
// into, but not of Vulkan's.
func (r *reading) kfdProcesses(n *names) map[int]map[uint32]uint64 {
	g := r.group()
	held := map[int]map[uint32]uint64{}
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
				if held[pid] == nil {
					held[pid] = map[uint32]uint64{}
					n.name(r, pid)
				}
				held[pid][uint32(gpu)] = *bytes
			}
		}
	}
	return held
}

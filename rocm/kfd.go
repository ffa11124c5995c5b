package rocm

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// KFD is a GPU as the compute driver, and so ROCm, sees it.
type KFD struct {
	Node  int     // in sys/class/kfd/kfd/topology/nodes
	GPUID uint32  // in sys/class/kfd/kfd/proc/PID/vram_GPUID
	Gfx   string  // "gfx1151": what code is compiled for
	CUs   int     // compute units: 40 in an 8060S, 32 in an 8050S, with the same PCI id
	Bank  *uint64 // bytes of memory that HIP is told of; nil when there is no bank
	// CWSR tells that the node says how large a wave's saved state is, which kernels before 6.18.4 do not. Without, compute on
	// gfx1151 hangs sooner or later.
	CWSR bool

	pci    string
	render string
}

const topology = "sys/class/kfd/kfd/topology/nodes"

// kfd reads the nodes of all GPUs, by PCI address.
func (r *reading) kfd() map[string]*KFD {
	g := r.group()
	nodes := map[string]*KFD{}
	for _, name := range g.list(topology) {
		if number, err := parseNumber(name, 31); err == nil {
			if node := g.kfdNode(int(number)); node != nil {
				nodes[node.pci] = node
			}
		}
	}
	return nodes
}

// kfdNode is nil for a CPU, and for a GPU that this process is not to know of.
func (g *group) kfdNode(number int) *KFD {
	base := fmt.Sprintf("%s/%d/", topology, number)
	props := g.properties(base + "properties")
	if props == nil || props["simd_count"] == 0 {
		return nil
	}
	node, err := newKFD(number, props)
	if err != nil {
		g.problem(base+"properties", err)
		return nil
	}
	id := parsed(g, base+"gpu_id", func(data []byte) (uint64, error) { return parseNumber(string(data), 32) })
	if id != nil {
		node.GPUID = uint32(*id)
	}
	for _, bank := range g.list(base + "mem_banks") {
		// The GPU's own memory is in the banks of heap types 1 and 2: what the CPU can see of it and what it cannot.
		props := g.properties(base + "mem_banks/" + bank + "/properties")
		if size, ok := props["size_in_bytes"]; ok && (props["heap_type"] == 1 || props["heap_type"] == 2) {
			if node.Bank != nil {
				size += *node.Bank
			}
			node.Bank = &size
		}
	}
	return node
}

// properties reads a file of "key value" lines.
func (g *group) properties(path string) map[string]uint64 {
	data, err := g.try(path, maxFile)
	if errors.Is(err, unix.EPERM) {
		// kfd_topology.c asks the device cgroup of the reader, as if it were about to open the render node.
		err = fmt.Errorf("%w: KFD hides a GPU from a process that may not open it; the unit needs DeviceAllow=char-drm rw", err)
	}
	if !g.ok(path, err) {
		return nil
	}
	props, err := parseProperties(data)
	if err != nil {
		g.problem(path, err)
		return nil
	}
	return props
}

func parseProperties(data []byte) (map[string]uint64, error) {
	props := map[string]uint64{}
	for line := range strings.Lines(string(data)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, err := parseNumber(value, 64)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		props[key] = n
	}
	return props, nil
}

// newKFD makes a node of its properties.
func newKFD(number int, props map[string]uint64) (*KFD, error) {
	simds, perCU := props["simd_count"], props["simd_per_cu"]
	if perCU == 0 || simds > 1<<20 {
		return nil, fmt.Errorf("%d SIMDs, %d per compute unit, cannot be", simds, perCU)
	}
	version := props["gfx_target_version"]
	if version == 0 || version > 999999 {
		return nil, fmt.Errorf("gfx_target_version %d is no version", version)
	}
	_, cwsr := props["cwsr_size"]
	render := ""
	if minor := props["drm_render_minor"]; minor != 0 {
		render = fmt.Sprintf("renderD%d", minor)
	}
	where := props["location_id"]
	return &KFD{
		Node: number,
		// 110501 is 11.5.1, and written gfx1151; 90010 is gfx90a.
		Gfx:    fmt.Sprintf("gfx%d%x%x", version/10000, version/100%100, version%100),
		CUs:    int(simds / perCU),
		CWSR:   cwsr,
		pci:    fmt.Sprintf("%04x:%02x:%02x.%x", props["domain"], where>>8&0xff, where>>3&0x1f, where&7),
		render: render,
	}, nil
}

package rocm

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// GPU is one graphics card, of whatever make. Of one that is not AMD's, only the first fields are filled. A pointer is nil
// where the kernel offers nothing or a read failed, which then is among the problems.
type GPU struct {
	Card   string // "card1"
	PCI    string // address: "0000:c5:00.0"; "" when it is not on PCI
	ID     string // PCI vendor and device: "1002:1586"
	Driver string // "amdgpu"
	AMD    bool
	APU    bool   // shares the host's memory
	Render string // "renderD128"; "" when not known
	KFD    *KFD   // nil: ROCm cannot use it
	MES    string // version of the firmware that schedules compute: "0x83"; "" when not known

	VRAMTotal, VRAMUsed               *uint64 // bytes; of an APU what the BIOS carved out of the host's memory
	VisibleVRAMTotal, VisibleVRAMUsed *uint64 // bytes that the CPU can reach
	GTTTotal, GTTUsed                 *uint64 // bytes of the host's memory that the GPU may map, and does

	// Pool is where the memory of ROCm and Vulkan goes, PoolSize what can really be had of it, in bytes.
	Pool               Pool
	PoolSize, PoolUsed *uint64

	CarveOut  *CarveOut
	Suspended bool // powered down; it is not asked for the values below then, which would wake it up
	Sensors
	Metrics *Metrics
}

// Gfx is what code has to be compiled for, "" when KFD does not say.
func (g GPU) Gfx() string {
	if g.KFD == nil {
		return ""
	}
	return g.KFD.Gfx
}

const drmClass = "sys/class/drm"

// gpus reads every card at the same time, so that one that hangs keeps none waiting.
func (r *reading) gpus() []GPU {
	g := r.group()
	names := g.list(drmClass)
	cards := make([]*GPU, len(names))
	var kfd map[string]*KFD
	renders := map[string]string{}
	var all sync.WaitGroup
	all.Go(func() { kfd = r.kfd() })
	all.Go(func() { r.renderNodes(names, renders) })
	for i, name := range names {
		if number, ok := strings.CutPrefix(name, "card"); ok && isNumber(number) { // card1-DP-1 is a socket of card1
			all.Go(func() { cards[i] = r.group().card(name) })
		}
	}
	all.Wait()
	var found []GPU
	for _, c := range cards {
		if c == nil {
			continue
		}
		c.KFD, c.Render = kfd[c.PCI], renders[c.PCI]
		if c.KFD != nil && c.Render == "" {
			c.Render = c.KFD.render
		}
		found = append(found, *c)
	}
	// card10 is after card2.
	slices.SortStableFunc(found, func(a, b GPU) int { return len(a.Card) - len(b.Card) })
	return found
}

// renderNodes finds render nodes by PCI address. Links lead to the card, but not in a recorded tree.
func (r *reading) renderNodes(names []string, found map[string]string) {
	g := r.group()
	for _, name := range names {
		if !strings.HasPrefix(name, "renderD") {
			continue
		}
		if event := parsed(g, drmClass+"/"+name+"/device/uevent", parseUevent); event != nil && event.slot != "" {
			found[event.slot] = name
		}
	}
}

// card reads what can never hang first: of a card that hangs the memory is still known.
func (g *group) card(name string) *GPU {
	device := drmClass + "/" + name + "/device/"
	event := parsed(g, device+"uevent", parseUevent)
	if event == nil {
		return nil
	}
	c := &GPU{Card: name, PCI: event.slot, ID: event.id, Driver: event.driver}
	c.AMD = strings.HasPrefix(c.ID, "1002:")
	if !c.AMD {
		return c
	}
	c.VRAMTotal, c.VRAMUsed = g.number(device+"mem_info_vram_total"), g.number(device+"mem_info_vram_used")
	c.VisibleVRAMTotal, c.VisibleVRAMUsed = g.number(device+"mem_info_vis_vram_total"), g.number(device+"mem_info_vis_vram_used")
	c.GTTTotal, c.GTTUsed = g.number(device+"mem_info_gtt_total"), g.number(device+"mem_info_gtt_used")
	c.APU = !g.discrete(device)
	c.CarveOut = g.carveOut(device)
	c.MES = g.mes(c)
	if c.Suspended = g.text(device+"power/runtime_status") == "suspended"; !c.Suspended {
		c.Sensors = g.sensors(device)
		c.Metrics = parsed(g, device+"gpu_metrics", parseMetrics)
	}
	return c
}

// discrete tells a card with memory chips of its own by two signs: it names their maker, which for an APU is "unknown", or
// has a board_info, which an APU never has (amdgpu_device.c) and kernels before 6.8 have not either.
func (g *group) discrete(device string) bool {
	if vendor := g.text(device + "mem_info_vram_vendor"); vendor != "" && vendor != "unknown" {
		return true
	}
	if g.hung {
		return false
	}
	_, err := g.try(device+"board_info", maxFile)
	if errors.Is(err, ErrHung) {
		g.ok(device+"board_info", err)
	}
	return !missing(err) // what cannot be read is there all the same
}

// uevent is what tells a device from others.
type uevent struct {
	driver, id, slot string
}

func parseUevent(data []byte) (uevent, error) {
	values, err := keyValues(data)
	if err != nil {
		return uevent{}, err
	}
	e := uevent{driver: values["DRIVER"], id: values["PCI_ID"], slot: values["PCI_SLOT_NAME"]}
	if e.slot != "" && !isPCI(e.slot) {
		return uevent{}, fmt.Errorf("%s is not a PCI address", quote(e.slot))
	}
	return e, nil
}

// isPCI tells an address with its domain: "0000:c5:00.0".
func isPCI(s string) bool {
	var domain, bus, dev, fn uint32
	n, err := fmt.Sscanf(s, "%x:%x:%x.%x", &domain, &bus, &dev, &fn)
	return err == nil && n == 4 && s == fmt.Sprintf("%04x:%02x:%02x.%x", domain, bus, dev, fn)
}

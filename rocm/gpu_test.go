package rocm

import (
	"context"
	"os"
	"testing"

	"github.com/tierd/tierd/rocm/rocmtest"
)

// removed is for replace, when nothing shall be there.
func removed(string, os.FileMode) error { return nil }

func TestIsPCI(t *testing.T) {
	for s, want := range map[string]bool{
		"0000:c5:00.0": true, "0001:00:1f.7": true, "10000:e1:00.0": true, "c5:00.0": false, "0000:C5:00.0": false, "0000:c5:00.0 ": false, "": false, "0000:c5:00": false,
	} {
		if got := isPCI(s); got != want {
			t.Errorf("%q: %v", s, got)
		}
	}
}

func TestWhichCardsAreDiscrete(t *testing.T) {
	for name, c := range map[string]struct {
		change func(root, device string)
		apu    bool
	}{
		"as recorded":                      {func(string, string) {}, true},
		"with a board_info":                {func(root, device string) { write(t, root, device+"board_info", "type : oam\n") }, false},
		"with a board_info that fails":     {func(root, device string) { replace(t, root, device+"board_info", os.Mkdir) }, false},
		"with memory of some maker":        {func(root, device string) { write(t, root, device+"mem_info_vram_vendor", "micron\n") }, false},
		"with memory of nobody knows whom": {func(root, device string) { write(t, root, device+"mem_info_vram_vendor", "unknown\n") }, true},
	} {
		root := rocmtest.Unpack(t, "gtt120-idle")
		c.change(root, drmClass+"/card1/device/")
		s := host(root).Snapshot(context.Background())
		want := PoolVRAM
		if c.apu {
			want = PoolGTT
		}
		if g := s.GPUs[0]; g.APU != c.apu || g.Pool != want || len(s.Problems) > 0 {
			t.Errorf("%s: APU %v, pool %s, problems %v", name, g.APU, g.Pool, s.Problems)
		}
	}
}

// TestASleepingCardIsLeftAsleep: reading a sensor would wake it up. Its memory can be read all the same.
func TestASleepingCardIsLeftAsleep(t *testing.T) {
	root := rocmtest.Unpack(t, "gtt120-idle")
	write(t, root, drmClass+"/card1/device/power/runtime_status", "suspended\n")
	opened := watch(t, root)
	g := host(root).Snapshot(context.Background()).GPUs[0]
	if !g.Suspended || g.Sensors != (Sensors{}) || g.Metrics != nil || g.GTTUsed == nil {
		t.Errorf("got %s", show(&g))
	}
	for _, file := range opened() {
		if file == drmClass+"/card1/device/gpu_busy_percent" || file == drmClass+"/card1/device/hwmon/hwmon5/temp1_input" {
			t.Errorf("%s was read", file)
		}
	}
}

func TestCardsAreInTheOrderOfTheirNumbers(t *testing.T) {
	root := t.TempDir()
	for _, card := range []string{"card10", "card2", "card1", "card1-DP-1", "cardX", "version"} {
		write(t, root, drmClass+"/"+card+"/device/uevent", "DRIVER=simple-framebuffer\n")
	}
	s := host(root).Snapshot(context.Background())
	if len(s.GPUs) != 3 || s.GPUs[0].Card != "card1" || s.GPUs[1].Card != "card2" || s.GPUs[2].Card != "card10" {
		t.Errorf("got %s", show(&s.GPUs))
	}
	if g := s.GPUs[0]; g.AMD || g.PCI != "" || g.Pool != "" {
		t.Errorf("a frame buffer is %s", show(&g))
	}
	if s.GPU("") != nil {
		t.Error("a card without an address is found by none")
	}
}

package rocm

import (
	"context"
	"maps"
	"strings"
	"testing"

	"github.com/tierd/tierd/rocm/rocmtest"
)

// firmware is a part of an amdgpu_firmware_info of a Strix Halo, as it was posted to ROCm/legacy-rocm-build#5724.
const firmware = `VCE feature version: 0, firmware version: 0x00000000
SDMA0 feature version: 60, firmware version: 0x0000000e
MES_KIQ feature version: 6, firmware version: 0x0000006f
MES feature version: 1, firmware version: 0x00000083
VPE feature version: 0, firmware version: 0x00000000
`

func TestTheSchedulersFirmwareIsReadWhereTheKernelHasIt(t *testing.T) {
	for _, at := range []string{"0000:c5:00.0", "1"} {
		root := rocmtest.Unpack(t, "gtt120")
		write(t, root, "sys/kernel/debug/dri/"+at+"/amdgpu_firmware_info", firmware)
		s := Open(root).Snapshot(context.Background())
		gpu, _ := s.TierGPU("")
		if gpu == nil || gpu.MES != "0x83" || len(s.Problems) > 0 {
			t.Errorf("under %s: %+v, %v", at, gpu, s.Problems)
		}
	}
	s := Open(rocmtest.Unpack(t, "gtt120")).Snapshot(context.Background())
	if gpu, _ := s.TierGPU(""); gpu == nil || gpu.MES != "" || len(s.Problems) > 0 {
		t.Errorf("without debugfs: %+v, %v", gpu, s.Problems)
	}
}

func TestVersionsOfTheSchedulersFirmware(t *testing.T) {
	for text, want := range map[string]string{
		firmware: "0x83",
		strings.Replace(firmware, "0x00000083", "0x00000000", 1):                                                  "",
		strings.Replace(firmware, "MES feature", "MESS feature", 1):                                               "",
		"MES_KIQ feature version: 6, firmware version: 0x6c\nMES feature version: 1, firmware version: 0x84 \r\n": "0x84",
		"MES feature version: x, firmware version: 0x1\nMES feature version: 1, firmware version: 0x2":            "0x2",
		"": "", "MES feature version: 1, firmware version: 0x": "", "MES feature version: 1, firmware version: 0x1ffffffff\n": "",
	} {
		if got := parseMES([]byte(text)); got != want {
			t.Errorf("got %q, want %q of %q", got, want, text)
		}
	}
}

func TestEveryBootParameterOfAModule(t *testing.T) {
	k := Kernel{CommandLine: `BOOT_IMAGE=/vmlinuz quiet amdgpu.gtt-size=1 ttm.pages_limit=31457280 amdgpu.noretry=1 amdgpu.noretry=0 x.y="a b" amdgpu.dc -- z.z=1`}
	want := map[string]string{"amdgpu.gtt_size": "1", "ttm.pages_limit": "31457280", "amdgpu.noretry": "0", "x.y": "a b", "amdgpu.dc": ""}
	if got := k.BootParameters(); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

package rocm

import (
	"context"
	"reflect"
	"strings"
	"testing"
)

const swapsHead = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"

func TestSwaps(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []Swap
	}{
		"no swap": {swapsHead, nil},
		"zram is no partition": {swapsHead + "/dev/zram0                              partition\t8388604\t\t12\t\t100\n",
			[]Swap{{Name: "/dev/zram0", Kind: SwapZram, Size: 8388604 << 10, Used: 12 << 10, Priority: 100}}},
		"several": {swapsHead + "/dev/dm-1 partition 1024 0 -2\n/swapfile file 2048 1024 -3\n",
			[]Swap{{Name: "/dev/dm-1", Kind: SwapPartition, Size: 1 << 20, Priority: -2}, {Name: "/swapfile", Kind: SwapFile, Size: 2 << 20, Used: 1 << 20, Priority: -3}}},
		"a name with a blank": {swapsHead + `/my\040swap file 1024 0 -2` + "\n", []Swap{{Name: "/my swap", Kind: SwapFile, Size: 1 << 20, Priority: -2}}},
		"a file that was removed": {swapsHead + `/swap\040(deleted) file 1024 0 -2` + "\n" + `/b (deleted) file 1024 0 -3`,
			[]Swap{{Name: "/swap (deleted)", Kind: SwapFile, Size: 1 << 20, Priority: -2}, {Name: "/b", Kind: SwapFile, Size: 1 << 20, Priority: -3}}},
	} {
		if got, err := parseSwaps([]byte(c.text)); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
	for name, text := range map[string]string{
		"nothing":      "",
		"no heading":   "/dev/sda1 partition 1 1 1\n",
		"too short":    swapsHead + "/dev/sda1 partition 1024\n",
		"no such type": swapsHead + "/dev/sda1 floppy 1024 0 -2\n",
		"no size":      swapsHead + "/dev/sda1 partition big 0 -2\n",
		"no use":       swapsHead + "/dev/sda1 partition 1024 -1 -2\n",
		"no priority":  swapsHead + "/dev/sda1 partition 1024 0 high\n",
	} {
		if got, err := parseSwaps([]byte(text)); err == nil {
			t.Errorf("%s: is %+v", name, got)
		}
	}
}

const mounts = `22 1 0:20 / /proc rw - proc proc rw
25 1 0:32 /root / rw,relatime shared:1 - btrfs /dev/nvme0n1p3 rw,subvol=/root
41 25 0:32 /home /home rw,relatime shared:20 - btrfs /dev/nvme0n1p3 rw,subvol=/home
60 25 253:0 / /var/swap rw - xfs /dev/mapper/luks-1234 rw
61 25 8:1 / /mnt/old\040disk rw - ext4 /dev/sdb1 rw
62 25 0:50 / /mnt/net rw - nfs4 server:/export rw
`

// TestWhetherADiskRotates has a swap area on every kind of device. What has no disk in sys/block is not known.
func TestWhetherADiskRotates(t *testing.T) {
	yes, no := true, false
	root := t.TempDir()
	for disk, rotates := range map[string]string{"sda": "1", "sdb": "1", "nvme0n1": "0", "zram0": "0", "dm-0": "0", "dm-1": "1", "sdc": "fast"} {
		write(t, root, "sys/block/"+disk+"/queue/rotational", rotates+"\n")
	}
	write(t, root, "sys/block/dm-0/dm/name", "luks-1234\n")
	write(t, root, "sys/block/dm-1/dm/name", "vg-swap\n")
	write(t, root, "proc/self/mountinfo", mounts)
	for name, c := range map[string]struct {
		area string
		want *bool
	}{
		"compressed memory":                   {"/dev/zram0 partition", &no},
		"a partition":                         {"/dev/sda2 partition", &yes},
		"a whole disk":                        {"/dev/sda partition", &yes},
		"a partition of NVMe":                 {"/dev/nvme0n1p2 partition", &no},
		"a mapped device by number":           {"/dev/dm-1 partition", &yes},
		"a mapped device by name":             {"/dev/mapper/vg-swap partition", &yes},
		"a disk whose name begins alike":      {"/dev/sdab1 partition", nil},
		"a namespace is no partition":         {"/dev/nvme0n12 partition", nil},
		"a file on the root file system":      {"/swapfile file", &no},
		"a file on an encrypted disk":         {"/var/swap/file file", &no},
		"a folder that only begins alike":     {"/var/swapfile file", &no},
		"a file on a mount with a blank":      {`/mnt/old\040disk/swap file`, &yes},
		"a file on another machine":           {"/mnt/net/swap file", nil},
		"a disk that says neither yes nor no": {"/dev/sdc1 partition", nil},
	} {
		write(t, root, "proc/swaps", swapsHead+c.area+" 1024 0 -2\n")
		s := host(root).Snapshot(context.Background())
		if len(s.Swaps) != 1 {
			t.Fatalf("%s: %v", name, s.Problems)
		}
		same(t, name, s.Swaps[0].Rotational, c.want)
		if bad := strings.Contains(c.area, "sdc"); bad != (len(s.Problems) > 0) || bad && s.Problems[0].File != "/sys/block/sdc/queue/rotational" {
			t.Errorf("%s: problems %v", name, s.Problems)
		}
	}
}

func FuzzParseSwaps(f *testing.F) {
	f.Add([]byte(swapsHead + "/dev/zram0 partition 8388604 0 100\n"))
	f.Add([]byte(swapsHead + `/a\040b (deleted) file 1 1 -1`))
	f.Fuzz(func(t *testing.T, data []byte) {
		swaps, err := parseSwaps(data)
		for _, s := range swaps {
			if err != nil || s.Name == "" || s.Kind != SwapZram && s.Kind != SwapPartition && s.Kind != SwapFile {
				t.Errorf("%+v, %v", s, err)
			}
		}
	})
}

func FuzzParseMounts(f *testing.F) {
	f.Add([]byte(mounts), "/swapfile")
	f.Add([]byte("1 2 3 4 /a - b /dev/c"), "/a/b")
	f.Fuzz(func(t *testing.T, data []byte, file string) { parseMounts(data, file) })
}

package rocm

import (
	"context"
	"testing"

	"github.com/tierd/tierd/rocm/rocmtest"
)

// TestHeldGTTIsWhatTheSnapshotSays: of each process alone, which shares its clients with no other one in these recordings.
func TestHeldGTTIsWhatTheSnapshotSays(t *testing.T) {
	for _, tree := range []string{"gtt120", "carve96", "gtt120-idle"} {
		root := rocmtest.Unpack(t, tree)
		var pids []int
		var all uint64
		for _, c := range host(root).Snapshot(context.Background()).Clients {
			pids = append(pids, c.PID)
			for _, m := range c.Memory {
				all += m.GTT
			}
		}
		held, err := HeldGTT(root, pids)
		if err != nil || held != all {
			t.Errorf("%s: %d, %v; the snapshot says %d", tree, held, err, all)
		}
		if again, err := HeldGTT(root, append(pids, pids...)); err != nil || again != all {
			t.Errorf("%s: what is open twice counts twice: %d, %v", tree, again, err)
		}
	}
}

func TestHeldGTTOfNobodyAndOfTheDead(t *testing.T) {
	if held, err := HeldGTT(t.TempDir(), nil); held != 0 || err != nil {
		t.Errorf("nobody holds %d, %v", held, err)
	}
	if held, err := HeldGTT(t.TempDir(), []int{42}); held != 0 || err != nil {
		t.Errorf("one that has ended holds %d, %v", held, err)
	}
}

func TestHeldGTTNamesAMalformedFile(t *testing.T) {
	root := t.TempDir()
	write(t, root, "proc/42/fdinfo/7", "drm-driver:\tamdgpu\ndrm-client-id:\tmany\n")
	if _, err := HeldGTT(root, []int{42}); err == nil {
		t.Error("a malformed file is no error")
	}
}

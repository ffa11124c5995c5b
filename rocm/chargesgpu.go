package rocm

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// ChargesGPU tells whether the kernel charges the memory that GPUs have of the host to cgroups. None up to 7.2 does; the
// patches that do it (ttm and memcg, on amd-gfx) show it by a line in memory.stat. It is false when nothing is known.
func ChargesGPU(root string) (bool, error) {
	data, err := os.ReadFile(filepath.Join(root, "sys/fs/cgroup/memory.stat"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return bytes.HasPrefix(data, []byte("gpu_active ")) || bytes.Contains(data, []byte("\ngpu_active ")), nil
}

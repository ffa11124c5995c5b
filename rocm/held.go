package rocm

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// HeldGTT is what some processes hold of the host's memory through AMD GPUs, in bytes; what several of them have open counts
// once. A process that has ended holds nothing. It is for a caller that wants these processes alone and often: it looks into no
// other, keeps nothing, and hangs as long as the kernel does.
func HeldGTT(root string, pids []int) (uint64, error) {
	type key struct {
		pci string
		id  uint64
	}
	seen := map[key]bool{}
	var room []string
	var held uint64
	for _, pid := range pids {
		var p process
		p, room = dir(root).process(strconv.Itoa(pid), room[:0])
		if p.hidden != nil {
			return 0, hiddenError(1, p.hidden)
		}
		for _, file := range p.files {
			path := "proc/" + p.pid + "/fdinfo/" + file.fd
			data, err := dir(root).read(path, maxFile)
			if missing(err) {
				continue
			}
			if err != nil {
				return 0, &os.PathError{Op: "read", Path: filepath.Join(root, path), Err: err}
			}
			c, err := parseFdinfo(data)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", filepath.Join(root, path), err)
			}
			if c == nil || c.driver != "amdgpu" || seen[key{c.pci, c.id}] {
				continue
			}
			seen[key{c.pci, c.id}] = true
			held += c.gtt
		}
	}
	return held, nil
}

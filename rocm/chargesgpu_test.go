package rocm

import "testing"

func TestAKernelThatChargesGPUsShowsIt(t *testing.T) {
	for text, want := range map[string]bool{
		"anon 1\nfile 2\n":                  false,
		"anon 1\ngpu_active 5\nfile 2\n":    true,
		"gpu_active 0\n":                    true,
		"anon 1\nmy_gpu_active 5\nfile 2\n": false,
	} {
		root := t.TempDir()
		write(t, root, "sys/fs/cgroup/memory.stat", text)
		if got, err := ChargesGPU(root); got != want || err != nil {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	if got, err := ChargesGPU(t.TempDir()); got || err != nil {
		t.Errorf("without a controller: %v, %v", got, err)
	}
}

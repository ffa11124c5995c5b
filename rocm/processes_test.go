package rocm

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// node opens what looks like a node of a GPU, in this very process.
func node(t *testing.T, name string) *os.File {
	t.Helper()
	root := t.TempDir()
	write(t, root, "dri/"+name, "")
	f, err := os.Open(filepath.Join(root, "dri", name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// ours are the GPU files that this process is found to have open.
func ours(t *testing.T, source *tree) []gpuFile {
	t.Helper()
	list, err := source.processes()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range list {
		if p.pid == fmt.Sprint(os.Getpid()) {
			return p.files
		}
	}
	return nil
}

func TestGPUFilesInTheRealProc(t *testing.T) {
	source := newTree("/")
	for range 2 {
		if files := ours(t, source); files != nil {
			t.Fatalf("at first: %+v", files)
		}
	}
	render, card := node(t, "renderD128"), node(t, "card1")
	for range 8 { // a program opens more than its nodes; and as this one looks, it has some folders of others open, now more, now fewer
		node(t, "by-path")
	}
	want := []gpuFile{{"renderD128", fmt.Sprint(render.Fd())}, {"card1", fmt.Sprint(card.Fd())}}
	for range 2 {
		files := ours(t, source)
		slices.SortFunc(files, func(a, b gpuFile) int { return len(b.node) - len(a.node) })
		if !reflect.DeepEqual(files, want) {
			t.Errorf("got %+v, want %+v", files, want)
		}
	}
	card.Close()
	if files := ours(t, source); !reflect.DeepEqual(files, want[:1]) {
		t.Errorf("after one was closed: %+v", files)
	}
	render.Close()
	if files := ours(t, source); files != nil {
		t.Errorf("after both were closed: %+v", files)
	}
}

// TestAnIdleProcessIsRememberedForAWhile swaps a file for another, which leaves their number as it was.
func TestAnIdleProcessIsRememberedForAWhile(t *testing.T) {
	source := newTree("/")
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if files := ours(t, source); files != nil {
		t.Fatalf("at first: %+v", files)
	}
	if me, ok := source.idle[fmt.Sprint(os.Getpid())]; !ok {
		t.Skip("this kernel does not say how many files a process has open, as 6.2 and later do")
	} else if me.open < 4 {
		t.Errorf("remembered is %+v", me)
	}
	render := node(t, "renderD128")
	if err := unix.Dup3(int(render.Fd()), int(null.Fd()), unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	render.Close()
	// Now it is time to look again, whatever the number of files says.
	for pid, g := range source.idle {
		g.until = g.until.Add(-source.again)
		source.idle[pid] = g
	}
	if files, want := ours(t, source), []gpuFile{{"renderD128", fmt.Sprint(null.Fd())}}; !reflect.DeepEqual(files, want) {
		t.Errorf("got %+v, want %+v", files, want)
	}
}

func TestWhichLinksLeadToAGPU(t *testing.T) {
	for link, want := range map[string]string{
		"/dev/dri/renderD128": "renderD128", "/dev/dri/card1": "card1", "/var/lib/machines/c/dev/dri/renderD129": "renderD129",
		"/dev/dri/by-path": "", "/dev/kfd": "", "/home/me/renderD128": "", "socket:[1]": "", "anon_inode:/dri/card1": "", "": "", "/": "",
	} {
		if got, ok := driNode([]byte(link)); ok != (want != "") || ok && got != want {
			t.Errorf("%q is %q, %v", link, got, ok)
		}
	}
}

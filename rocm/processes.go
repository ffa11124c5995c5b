package rocm

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// tree is a tree on disk, and what is remembered of its processes if it is a live one.
type tree struct {
	dir
	// idle are the processes that had no GPU file open when they were last looked into.
	idle map[string]glance // by pid
	// again is how long it takes at most until each is looked into once more.
	again time.Duration
}

func newTree(root string) *tree {
	return &tree{dir: dir(root), idle: map[string]glance{}, again: 10 * time.Second}
}

// glance is what one stat(2) of proc/PID/fd tells: which process it is, and how many files it has open (from 6.2 on).
type glance struct {
	inode   uint64
	created unix.Timespec
	open    int64
	until   time.Time
}

func (g glance) same(other glance) bool {
	return g.inode == other.inode && g.created == other.created && g.open == other.open
}

// processes looks at the links in proc/PID/fd and keeps those to a node in /dev/dri: opening every fdinfo of a host takes
// several times as long as reading every link. Even that is 40 ms of CPU time on a host with 500 processes, so one without
// a GPU file is not looked into again before the number of its open files has changed or some seconds have passed. A
// program that uses the GPU opens more files than it closes, so it is seen at once; ROCm's are in any case, by KFD.
//
// One call at a time, which ask sees to.
func (t *tree) processes() ([]process, error) {
	names, err := t.list("proc")
	if err != nil {
		return nil, err
	}
	pids := slices.DeleteFunc(names, func(s string) bool { return !isNumber(s) })
	var fs unix.Statfs_t
	live := unix.Statfs(t.at("proc"), &fs) == nil && fs.Type == unix.PROC_SUPER_MAGIC
	// Nearly all of the time goes into system calls, and they run side by side.
	const workers = 4
	var looks [workers][]look
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() { looks[w] = t.look(pids[len(pids)*w/workers:len(pids)*(w+1)/workers], live) })
	}
	all.Wait()
	maps.DeleteFunc(t.idle, func(pid string, _ glance) bool {
		_, there := slices.BinarySearch(pids, pid)
		return !there
	})
	var found []process
	for _, l := range slices.Concat(looks[:]...) {
		delete(t.idle, l.pid)
		if len(l.files) > 0 || l.hidden != nil {
			found = append(found, l.process)
		} else {
			t.idle[l.pid] = l.glance
		}
	}
	return found, nil
}

// look is what came of looking into a process.
type look struct {
	process
	glance
	known bool // the glance
}

// look leaves out the processes that need not be looked into again. It changes nothing.
func (t *tree) look(pids []string, live bool) (looks []look) {
	var room []string
	for _, pid := range pids {
		var l look
		l.glance, l.known = t.glance(pid, live)
		if before, ok := t.idle[pid]; ok && l.known && before.same(l.glance) && time.Now().Before(before.until) {
			continue
		}
		l.process, room = t.process(pid, room[:0])
		l.until = time.Now().Add(t.again/2 + rand.N(t.again/2+1)) // so that their turns spread
		if len(l.files) > 0 || l.hidden != nil || l.known {
			looks = append(looks, l)
		}
	}
	return looks
}

// glance is not known where the kernel does not say how many files are open.
func (t *tree) glance(pid string, live bool) (g glance, known bool) {
	var st unix.Stat_t
	if !live || unix.Stat(t.at("proc/"+pid+"/fd"), &st) != nil || st.Size == 0 {
		return glance{}, false
	}
	return glance{inode: st.Ino, created: st.Mtim, open: st.Size}, true
}

// process uses room for the names of the process's descriptors and returns it.
func (d dir) process(pid string, room []string) (process, []string) {
	p := process{pid: pid}
	fd, err := open(d.at("proc/"+pid+"/fd"), unix.O_DIRECTORY)
	if err != nil {
		// A recorded tree has no links. Nor are they shown to one with CAP_SYS_PTRACE alone, which fdinfo is.
		return d.allFiles(p, room)
	}
	defer unix.Close(fd)
	if room, err = entries(fd, room); err != nil {
		return p.hide(err), room
	}
	var link [256]byte
	for _, name := range room {
		n, err := unix.Readlinkat(fd, name, link[:])
		if err != nil {
			if p = p.hide(err); p.hidden != nil {
				return p, room
			}
			continue
		}
		if node, ok := driNode(link[:n]); ok {
			p.files = append(p.files, gpuFile{node: node, fd: name})
		}
	}
	return p, room
}

// allFiles is for a process whose descriptors are not shown: each may be a GPU client's.
func (d dir) allFiles(p process, room []string) (process, []string) {
	fd, err := open(d.at("proc/"+p.pid+"/fdinfo"), unix.O_DIRECTORY)
	if err != nil {
		return p.hide(err), room
	}
	defer unix.Close(fd)
	if room, err = entries(fd, room); err != nil {
		return p.hide(err), room
	}
	for _, name := range room {
		p.files = append(p.files, gpuFile{fd: name})
	}
	return p, room
}

// hide notes why the process may not be looked into, unless it is just gone.
func (p process) hide(err error) process {
	if !missing(err) {
		p.files, p.hidden = nil, err
	}
	return p
}

// driNode finds the node in what a descriptor leads to: "/dev/dri/renderD128", wherever a container has its /dev.
func driNode(link []byte) (string, bool) {
	// Most links are short names of sockets and pipes: they cost one look.
	if len(link) == 0 || link[0] != '/' {
		return "", false
	}
	_, node, ok := strings.Cut(string(link), "/dri/")
	return node, ok && (strings.HasPrefix(node, "renderD") || strings.HasPrefix(node, "card"))
}

func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

package agent

import (
	"bufio"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// Who may do what, beside root. sudo (Debian) and wheel (Fedora) may become root anyway.
var operatorGroups = []string{"tierd", "sudo", "wheel"}

const gatewayUser = "tier-gateway"

// access is the column of the route table that says who may call a route. The zero value allows nobody.
type access int

const (
	anyLocal access = iota + 1 // whoever can open the socket
	operator                   // root, and members of operatorGroups
	gateway                    // root, and gatewayUser
)

// accounts knows the numbers of the groups and of the user that rights hang on.
type accounts struct{ groups, users *idFile }

func newAccounts(root string, log *slog.Logger) *accounts {
	return &accounts{
		groups: &idFile{path: filepath.Join(root, "etc/group"), log: log},
		users:  &idFile{path: filepath.Join(root, "etc/passwd"), log: log},
	}
}

// allows decides. A peer that nobody knows may do what anybody may.
func (a *accounts) allows(p peer, need access) bool {
	switch {
	case need == anyLocal:
		return true
	case !p.known:
		return false
	case p.uid == 0:
		return need == operator || need == gateway
	case need == operator:
		return slices.ContainsFunc(a.groups.of(operatorGroups), func(gid uint32) bool {
			return gid == p.gid || slices.Contains(p.groups, gid)
		})
	case need == gateway:
		return slices.Contains(a.users.of([]string{gatewayUser}), p.uid)
	}
	return false
}

// idFile reads ids from a file of the form of group(5) and passwd(5), and again when the file has changed: packages
// make their users while tierd runs.
type idFile struct {
	path string
	log  *slog.Logger

	mu    sync.Mutex
	stamp idStamp
	ids   map[string]uint32
}

// idStamp tells one version of a file from another. Account tools write a new file and rename it.
type idStamp struct {
	inode uint64
	size  int64
	mtime syscall.Timespec
}

// of returns the ids of those names that exist.
func (f *idFile) of(names []string) []uint32 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refresh()
	var ids []uint32
	for _, name := range names {
		if id, ok := f.ids[name]; ok {
			ids = append(ids, id)
		}
	}
	return ids
}

// refresh forgets the ids when the file cannot be read: least rights.
func (f *idFile) refresh() {
	var st syscall.Stat_t
	if err := syscall.Stat(f.path, &st); err != nil {
		f.stamp, f.ids = idStamp{}, nil
		return
	}
	stamp := idStamp{inode: st.Ino, size: st.Size, mtime: st.Mtim}
	if stamp == f.stamp {
		return
	}
	file, err := os.Open(f.path)
	if err != nil {
		f.log.Warn("cannot tell who may change tiers", "err", err)
		f.stamp, f.ids = idStamp{}, nil
		return
	}
	defer file.Close()
	f.stamp, f.ids = stamp, parseIDs(file)
}

// parseIDs reads name and number of each line, the first and the third of its fields. Of a name that is there twice the
// first counts, as in getgrnam(3); lines that make no sense are passed over.
func parseIDs(r io.Reader) map[string]uint32 {
	ids := map[string]uint32{}
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if fields := strings.Split(strings.TrimSuffix(line, "\n"), ":"); len(fields) >= 3 && fields[0] != "" {
			id, bad := strconv.ParseUint(fields[2], 10, 32)
			if _, twice := ids[fields[0]]; bad == nil && !twice {
				ids[fields[0]] = uint32(id)
			}
		}
		if err != nil {
			return ids
		}
	}
}

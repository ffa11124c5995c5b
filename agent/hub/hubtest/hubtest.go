// Package hubtest is a hub for tests: what huggingface.co does for a download, with the files of a folder, a second host
// for their content, and whatever goes wrong with such servers.
package hubtest

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Repo is a repository at its newest commit.
type Repo struct {
	Files map[string][]byte
	Gated bool // only with the hub's token
}

// Hub answers for repositories. Its fields are not to be changed while it serves, but by Change.
type Hub struct {
	mu     sync.Mutex
	Repos  map[string]*Repo
	Token  string                                                 // wanted for gated repositories
	CDN    string                                                 // base URL of the second host, "": the hub itself has the content of large files
	Large  int                                                    // size from which a file is in LFS, and its content on the second host
	Fault  func(host string, w http.ResponseWriter, r *Trip) bool // true: it has answered
	Seen   []Trip
	Listed func(text []byte) []byte // changes a listing on its way
}

// Trip is one request as it came.
type Trip struct {
	Host          string // "hub" or "cdn"
	Path, Range   string
	Authorization string
	Request       *http.Request `json:"-"`
	Data          []byte        `json:"-"` // of the file that is asked for
}

// Read takes the folders DIR/ORG/NAME for repositories.
func Read(dir string) (map[string]*Repo, error) {
	repos := map[string]*Repo{}
	err := filepath.WalkDir(dir, func(at string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, at)
		parts := strings.SplitN(rel, "/", 3)
		if err != nil || len(parts) < 3 {
			return fmt.Errorf("%s is not of the form ORG/NAME/FILE", rel)
		}
		name := parts[0] + "/" + parts[1]
		if repos[name] == nil {
			repos[name] = &Repo{Files: map[string][]byte{}}
		}
		repos[name].Files[parts[2]], err = os.ReadFile(at)
		return err
	})
	return repos, err
}

// Change does something while nothing is answered.
func (h *Hub) Change(do func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	do()
}

// Trips are all requests so far.
func (h *Hub) Trips() []Trip {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]Trip(nil), h.Seen...)
}

// Commit is the hash that a repository's content stands for.
func (r *Repo) Commit() string {
	sum := sha1.New()
	for _, name := range slices.Sorted(maps.Keys(r.Files)) {
		fmt.Fprintf(sum, "%s %x\n", name, sha256.Sum256(r.Files[name]))
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// ServeHTTP is the hub's own host.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.EscapedPath(), "/")
	path = strings.TrimPrefix(path, "api/models/")
	parts := strings.SplitN(path, "/", 5)
	h.mu.Lock()
	trip := Trip{Host: "hub", Path: r.URL.Path, Range: r.Header.Get("Range"), Authorization: r.Header.Get("Authorization"), Request: r}
	var repo *Repo
	if len(parts) >= 2 {
		repo = h.Repos[parts[0]+"/"+parts[1]]
	}
	if repo != nil && len(parts) == 5 {
		trip.Data = repo.Files[strings.TrimPrefix(r.URL.Path, "/"+strings.Join(parts[:4], "/")+"/")]
	}
	h.Seen = append(h.Seen, trip)
	fault := h.Fault
	h.mu.Unlock()
	if fault != nil && fault("hub", w, &trip) {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case repo == nil:
		refuse(w, http.StatusUnauthorized, "RepoNotFound")
	case len(parts) < 4 && strings.HasPrefix(r.URL.Path, "/api/"):
		h.list(w, parts[0]+"/"+parts[1], repo)
	case strings.HasPrefix(r.URL.Path, "/api/") && parts[2] == "revision":
		if parts[3] != "main" && parts[3] != repo.Commit() {
			refuse(w, http.StatusNotFound, "RevisionNotFound")
			return
		}
		h.list(w, parts[0]+"/"+parts[1], repo)
	case strings.HasPrefix(r.URL.Path, "/api/") && len(parts) == 4 && parts[2] == "tree":
		h.tree(w, repo)
	case len(parts) == 5 && parts[2] == "resolve":
		h.resolve(w, r, repo, parts[3], trip.Data)
	default:
		refuse(w, http.StatusNotFound, "")
	}
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("X-Error-Code", code)
	http.Error(w, "refused", status)
}

func (h *Hub) list(w http.ResponseWriter, id string, repo *Repo) {
	type lfs struct {
		SHA256 string `json:"sha256"`
		Size   int    `json:"size"`
	}
	type sibling struct {
		Name string `json:"rfilename"`
		Size int    `json:"size"`
		Blob string `json:"blobId"`
		LFS  *lfs   `json:"lfs,omitempty"`
	}
	siblings := []sibling{}
	for name, data := range repo.Files {
		s := sibling{Name: name, Size: len(data), Blob: GitSum(data)}
		if len(data) >= h.Large {
			s.LFS = &lfs{SHA256: fmt.Sprintf("%x", sha256.Sum256(data)), Size: len(data)}
		}
		siblings = append(siblings, s)
	}
	text, _ := json.Marshal(map[string]any{"id": id, "modelId": id, "sha": repo.Commit(), "siblings": siblings, "gated": repo.Gated, "tags": []string{}})
	if h.Listed != nil {
		text = h.Listed(text)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(text)
}

// tree is the listing that hf asks for.
func (h *Hub) tree(w http.ResponseWriter, repo *Repo) {
	entries := []map[string]any{}
	for name, data := range repo.Files {
		e := map[string]any{"type": "file", "path": name, "size": len(data), "oid": GitSum(data)}
		if len(data) >= h.Large {
			e["lfs"] = map[string]any{"oid": fmt.Sprintf("%x", sha256.Sum256(data)), "size": len(data), "pointerSize": 130}
		}
		entries = append(entries, e)
	}
	text, _ := json.Marshal(entries)
	w.Header().Set("Content-Type", "application/json")
	w.Write(text)
}

// GitSum is the name that git gives a file's content.
func GitSum(data []byte) string {
	sum := sha1.Sum(append(fmt.Appendf(nil, "blob %d\x00", len(data)), data...))
	return hex.EncodeToString(sum[:])
}

func (h *Hub) resolve(w http.ResponseWriter, r *http.Request, repo *Repo, commit string, data []byte) {
	switch {
	case commit != repo.Commit() && commit != "main":
		refuse(w, http.StatusNotFound, "RevisionNotFound")
		return
	case data == nil:
		refuse(w, http.StatusNotFound, "EntryNotFound")
		return
	case repo.Gated && (h.Token == "" || r.Header.Get("Authorization") != "Bearer "+h.Token):
		refuse(w, http.StatusUnauthorized, "GatedRepo")
		return
	}
	w.Header().Set("X-Repo-Commit", repo.Commit())
	w.Header().Set("ETag", strconv.Quote(GitSum(data)))
	if len(data) < h.Large {
		Serve(w, r, data)
		return
	}
	sum := fmt.Sprintf("%x", sha256.Sum256(data))
	w.Header().Set("X-Linked-Size", strconv.Itoa(len(data)))
	w.Header().Set("X-Linked-ETag", strconv.Quote(sum))
	w.Header().Set("ETag", strconv.Quote(sum))
	if h.CDN == "" {
		Serve(w, r, data)
		return
	}
	http.Redirect(w, r, h.CDN+"/"+sum+"?Signature=secret", http.StatusFound)
}

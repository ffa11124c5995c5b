package units

import (
	"errors"
	"fmt"
	"strings"
	"sync"
)

// ModelCache keeps what was read from models' files until these change: a plan is made often, and some headers take a while.
// The zero value is ready, and several plans may be made with one at the same time.
type ModelCache struct {
	mu   sync.Mutex
	kept map[string]keptModel
	uses uint64
}

// keptModel is what one reading came to: the same files would give the same fault again.
type keptModel struct {
	facts *modelFacts
	err   error
	used  uint64
}

// maxKept is more models than a file of tiers names; each takes some 100 KiB.
const maxKept = 64

// facts reads a model's files, or tells what was read from them before.
func (c *ModelCache) facts(h tree, at, kind string) (*modelFacts, error) {
	files, err := h.modelFiles(at, kind)
	if err != nil {
		return nil, err
	}
	if c == nil {
		return h.facts(at, kind, files)
	}
	key := identity(kind, at, files)
	if kept, ok := c.get(key); ok {
		return kept.facts, kept.err
	}
	facts, err := h.facts(at, kind, files)
	var fault *modelError
	if errors.As(err, &fault) && fault.moment {
		return nil, err
	}
	c.put(key, keptModel{facts: facts, err: err})
	return facts, err
}

func (c *ModelCache) get(key string) (keptModel, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept, ok := c.kept[key]
	if ok {
		c.uses++
		kept.used = c.uses
		c.kept[key] = kept
	}
	return kept, ok
}

// put keeps one more, and lets go of the one that was not asked for the longest.
func (c *ModelCache) put(key string, kept keptModel) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept == nil {
		c.kept = map[string]keptModel{}
	}
	c.uses++
	kept.used = c.uses
	c.kept[key] = kept
	if len(c.kept) <= maxKept {
		return
	}
	oldest := key
	for k, m := range c.kept {
		if m.used < c.kept[oldest].used {
			oldest = k
		}
	}
	delete(c.kept, oldest)
}

// identity is the same for the same files.
func identity(kind, at string, files []ModelFile) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %q\n", kind, at)
	for _, f := range files {
		fmt.Fprintf(&b, "%q %d %d %d\n", f.Path, f.Size, f.ModTime.UnixNano(), f.Inode)
	}
	return b.String()
}

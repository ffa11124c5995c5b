package rocm

import "sync"

// notes are what was read, for a recording.
type notes struct {
	mu     sync.Mutex
	files  map[string][]byte
	errors map[string]error
}

func (h *Host) note(path string, data []byte, err error) {
	if h.notes == nil {
		return
	}
	h.notes.mu.Lock()
	defer h.notes.mu.Unlock()
	switch {
	case err == nil:
		h.notes.files[path] = data
	case !missing(err):
		h.notes.errors[path] = err
	}
}

package gateway

import (
	"errors"
	"net/http"
	"time"
)

// beat is how often a watcher with nothing new is written to: the page takes a longer silence for a broken connection,
// and the gateway finds out that a browser is gone. It is an event, since a script does not see the stream's comments.
const beat = 15 * time.Second

// watcherPause is how long a browser may take no byte before it is dropped; it connects again when it wakes up.
const watcherPause = 10 * time.Second

// serveEvents answers with a stream of server-sent events: the whole snapshot at once, then again when it has changed.
func (p *page) serveEvents(w http.ResponseWriter, r *http.Request) error {
	guard(w.Header())
	// An <img> of another page names no Origin, and could hold all the watchers' places.
	if site := r.Header.Get("Sec-Fetch-Site"); site == "cross-site" || site == "same-site" {
		return forbidden("Only the gateway's own page may follow its events.")
	}
	if r.Method == http.MethodHead {
		eventHeader(w.Header())
		w.WriteHeader(http.StatusOK)
		return nil
	}
	frames, leave, err := p.board.join()
	if err != nil {
		return err
	}
	defer leave()
	eventHeader(w.Header())
	w.WriteHeader(http.StatusOK)
	_ = follow(w, r, frames) // an error means that the browser is gone, or has stopped reading
	return nil
}

func eventHeader(h http.Header) {
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // a proxy such as nginx would gather the events
	// After a handover the browser must not ask the process that retires once more.
	h.Set("Connection", "close")
}

// follow writes frames until they end or the browser does.
func follow(w http.ResponseWriter, r *http.Request, frames <-chan []byte) error {
	control := http.NewResponseController(w)
	pulse := time.NewTicker(beat)
	defer pulse.Stop()
	for {
		var text []byte
		select {
		case <-r.Context().Done():
			return nil
		case frame, open := <-frames:
			if !open {
				return nil
			}
			text = frame
			pulse.Reset(beat)
		case <-pulse.C:
			text = []byte("event: beat\ndata:\n\n")
		}
		if err := control.SetWriteDeadline(time.Now().Add(watcherPause)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
		if _, err := w.Write(text); err != nil {
			return err
		}
		if err := control.Flush(); err != nil {
			return err
		}
	}
}

// dataFrame makes an event of a line of JSON, which holds no line break.
func dataFrame(json []byte) []byte {
	return append(append([]byte("data: "), json...), "\n\n"...)
}

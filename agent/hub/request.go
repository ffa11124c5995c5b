package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Watcher is told how a pull comes along, by several goroutines at once.
type Watcher interface {
	Got(bytes int64)  // that came, negative: that have to come again
	Note(text string) // that a person should know: a wait, a fresh start
}

// List asks for the files of a repository at a revision: a branch, a tag or a commit; "": main.
func (h *Hub) List(ctx context.Context, repo, revision string, w Watcher) (Listing, error) {
	if revision == "" {
		revision = "main"
	}
	if err := checkRevision(revision); err != nil {
		return Listing{}, err
	}
	var list Listing
	at := h.endpoint.String() + "/api/models/" + repo + "/revision/" + url.PathEscape(revision) + "?blobs=true"
	err := h.persist(ctx, w, repo, func(ctx context.Context) (int64, error) {
		res, err := h.get(ctx, at, 0, repo, "model "+repo)
		if err != nil {
			return 0, err
		}
		defer res.Body.Close()
		text, err := io.ReadAll(io.LimitReader(res.Body, maxListing+1))
		if err != nil {
			return 0, &transient{err: fmt.Errorf("the hub's answer broke off: %w", plain(err))}
		}
		if len(text) > maxListing {
			return 0, fmt.Errorf("the hub's list of %s is larger than %d bytes", repo, maxListing)
		}
		list, err = parseListing(repo, text)
		return 0, err
	})
	if err != nil {
		return Listing{}, fmt.Errorf("cannot list %s: %w", repo, err)
	}
	return list, nil
}

// get asks once, for the bytes of an answer from an offset on. The error of what another try may change is a transient.
func (h *Hub) get(ctx context.Context, at string, from int64, repo, what string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, plain(err)
	}
	req.Header.Set("User-Agent", "tierctl")
	req.Header.Set("Accept-Encoding", "identity")
	if from > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
	}
	res, err := h.client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, &transient{err: plain(err)}
	}
	if err := h.judge(res, repo, what); err != nil {
		res.Body.Close()
		return nil, err
	}
	if coding := res.Header.Get("Content-Encoding"); coding != "" && coding != "identity" {
		res.Body.Close()
		return nil, fmt.Errorf("%s sends %s encoded as %q, which was not asked for", res.Request.URL.Host, what, coding)
	}
	return res, nil
}

// content asks for a file from an offset on, and tells at which one the answer begins: at 0 when the server knows no ranges.
func (h *Hub) content(ctx context.Context, l Listing, f File, from int64) (io.ReadCloser, int64, error) {
	at := h.endpoint.String() + "/" + l.Repo + "/resolve/" + l.Commit + "/" + escapePath(f.Path)
	res, err := h.get(ctx, at, from, l.Repo, "file "+l.Repo+"/"+f.Path)
	if err != nil {
		return nil, 0, err
	}
	start, size := int64(0), res.ContentLength
	if res.StatusCode == http.StatusPartialContent {
		start, size, err = contentRange(res.Header.Get("Content-Range"))
		if err == nil && start != from {
			err = fmt.Errorf("%s was asked for the bytes from %d on, and sends those from %d on", res.Request.URL.Host, from, start)
		}
	}
	if err == nil && size >= 0 && size != f.Size {
		err = fmt.Errorf("%s sends %s with %d bytes, and the hub's list says %d", res.Request.URL.Host, f.Path, size, f.Size)
	}
	if err != nil {
		res.Body.Close()
		return nil, 0, err
	}
	return res.Body, start, nil
}

// contentRange reads "bytes 100-199/200"; the size is -1 for "*".
func contentRange(text string) (start, size int64, err error) {
	var end int64
	size = -1
	head, total, _ := strings.Cut(text, "/")
	if _, err = fmt.Sscanf(head, "bytes %d-%d", &start, &end); err == nil && total != "*" {
		_, err = fmt.Sscanf(total, "%d", &size)
	}
	if err != nil || start < 0 || end < start || total != "*" && size <= end {
		return 0, 0, fmt.Errorf("the server sends a part of a file and does not say which (Content-Range %q)", text)
	}
	return start, size, nil
}

func escapePath(name string) string {
	parts := strings.Split(name, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return strings.Join(parts, "/")
}

// progress that makes a further try free.
const progress = 1 << 20

// persist repeats a request until it is done, refused, or was tried often enough. try tells how many bytes it brought.
func (h *Hub) persist(ctx context.Context, w Watcher, what string, try func(context.Context) (int64, error)) error {
	failed, came := 0, int64(0)
	for {
		n, err := try(ctx)
		var again *transient
		if err == nil || !errors.As(err, &again) {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if came += n; came >= progress {
			failed, came = 0, 0
		}
		if failed++; failed >= h.patience.Tries {
			return fmt.Errorf("%w; it was tried %d times", err, failed)
		}
		pause := h.pause(failed)
		if again.after > 0 {
			if again.after > h.patience.Longest {
				return fmt.Errorf("%w, and wants to be asked again in %s", err, again.after)
			}
			pause = max(pause, again.after)
		}
		w.Note(fmt.Sprintf("%s: %v; next try in %s", what, err, pause.Round(100*time.Millisecond)))
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

// pause doubles with each failure, and differs, so that a server that comes back is not asked by everybody at once.
func (h *Hub) pause(failed int) time.Duration {
	pause := min(h.patience.Pause<<(failed-1), 30*h.patience.Pause)
	return pause/2 + rand.N(pause/2+1)
}

package hub

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"time"
)

// download is one file on its way.
type download struct {
	hub  *Hub
	list Listing
	file File
	part *os.File // open for reading and writing, its offset at its end
	have int64    // bytes in part, all of them in sum
	sum  hash.Hash
}

// ErrWrongSum: all bytes came, and they are not those of the file.
var ErrWrongSum = errors.New("its checksum is not the one that the hub names")

// take reads what an earlier run left in the part, so that its bytes are in the sum as well.
func (d *download) take(ctx context.Context) error {
	d.sum = d.file.Sum.hash(d.file.Size)
	info, err := d.part.Stat()
	if err != nil {
		return err
	}
	if info.Size() > d.file.Size {
		return d.restart()
	}
	if _, err := d.part.Seek(0, io.SeekStart); err != nil {
		return err
	}
	d.have, err = io.Copy(d.sum, &stoppable{ctx, d.part})
	return err
}

// stoppable ends a long read of a disk with its context.
type stoppable struct {
	ctx context.Context
	r   io.Reader
}

func (s *stoppable) Read(p []byte) (int, error) {
	if s.ctx.Err() != nil {
		return 0, context.Cause(s.ctx)
	}
	return s.r.Read(p)
}

func (d *download) restart() error {
	d.have, d.sum = 0, d.file.Sum.hash(d.file.Size)
	if err := d.part.Truncate(0); err != nil {
		return err
	}
	_, err := d.part.Seek(0, io.SeekStart)
	return err
}

// run brings what is missing and compares the checksum. On any error the part holds what came, for the next run, unless it
// is ErrWrongSum.
func (d *download) run(ctx context.Context, w Watcher) error {
	if d.have < d.file.Size {
		err := d.hub.persist(ctx, w, d.file.Path, func(ctx context.Context) (int64, error) { return d.try(ctx, w) })
		if err != nil {
			return err
		}
	}
	if !d.file.Sum.is(d.sum) {
		return ErrWrongSum
	}
	return d.part.Sync() // before it is renamed: a power failure must not leave a whole name on half a file
}

// errSilent ends a connection on which nothing comes.
var errSilent = errors.New("nothing more came")

// try asks once for the rest.
func (d *download) try(ctx context.Context, w Watcher) (came int64, err error) {
	ctx, give := context.WithCancelCause(ctx)
	defer give(nil)
	silence := d.hub.patience.Silence
	watch := time.AfterFunc(silence, func() { give(errSilent) })
	defer watch.Stop()

	body, start, err := d.hub.content(ctx, d.list, d.file, d.have)
	if errors.Is(err, errRange) {
		w.Got(-d.have)
		return 0, errors.Join(err, d.restart())
	}
	if err != nil {
		return 0, silent(err)
	}
	defer body.Close()
	if start != d.have {
		w.Note(fmt.Sprintf("%s: the server knows no ranges, so it begins anew", d.file.Path))
		w.Got(-d.have)
		if err := d.restart(); err != nil {
			return 0, err
		}
	}
	buffer := make([]byte, 256<<10)
	for d.have < d.file.Size {
		n, readErr := body.Read(buffer[:min(int64(len(buffer)), d.file.Size-d.have)])
		watch.Reset(silence)
		if n > 0 {
			if _, err := d.part.Write(buffer[:n]); err != nil {
				return came, err
			}
			d.sum.Write(buffer[:n])
			d.have += int64(n)
			came += int64(n)
			w.Got(int64(n))
		}
		if readErr != nil && d.have < d.file.Size {
			return came, broke(ctx, readErr, d.file.Size-d.have)
		}
	}
	return came, nil
}

// broke words the end of an answer that is not its end.
func broke(ctx context.Context, err error, missing int64) error {
	if ctx.Err() != nil {
		return silent(context.Cause(ctx))
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &transient{err: fmt.Errorf("the answer ended with %d bytes missing", missing)}
	}
	return &transient{err: fmt.Errorf("the answer broke off: %w", plain(err))}
}

// silent makes the end of a silent connection one that is tried again; a user's Ctrl-C is none.
func silent(err error) error {
	if errors.Is(err, errSilent) {
		return &transient{err: err}
	}
	return err
}

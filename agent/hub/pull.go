package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"sync"
)

// Want is what is wanted of one repository.
type Want struct {
	Names []Name
	List  Listing
	Files []File // each once
}

// Look asks the hub for what names mean: one Want a repository, in the order in which they are named first.
func (h *Hub) Look(ctx context.Context, names []Name, revision string, include []string, w Watcher) ([]Want, error) {
	var wants []Want
	for _, n := range names {
		i := slices.IndexFunc(wants, func(w Want) bool { return w.List.Repo == n.Repo })
		if i < 0 {
			list, err := h.List(ctx, n.Repo, revision, w)
			if err != nil {
				return nil, err
			}
			i = len(wants)
			wants = append(wants, Want{List: list})
		}
		files, err := choose(wants[i].List, n, include)
		if err != nil {
			return nil, err
		}
		wants[i].Names = append(wants[i].Names, n)
		for _, f := range files {
			if !slices.Contains(wants[i].Files, f) {
				wants[i].Files = append(wants[i].Files, f)
			}
		}
	}
	return wants, nil
}

// Pull is a Want on its way into a folder, and the only one of its repository until Close.
type Pull struct {
	Want
	Missing []File // that are not in their place yet
	Present []File // that are, and were compared

	stage  *stage
	record record
}

// Begin locks the repository's staging folder and looks which of the files are there. What is there and was not compared
// with its checksum before is read, which takes a while.
func (f *Folder) Begin(ctx context.Context, want Want, w Watcher) (*Pull, error) {
	s, err := f.stage(want.List.Repo)
	if err != nil {
		return nil, err
	}
	p := &Pull{Want: want, stage: s, record: s.readRecord()}
	if err := p.look(ctx, w); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return p, nil
}

func (p *Pull) look(ctx context.Context, w Watcher) error {
	gone, err := p.stage.tidy(p.List.Files)
	if err != nil {
		return err
	}
	if gone > 0 {
		w.Note(fmt.Sprintf("%s: what was fetched in part of another revision is dropped", p.List.Repo))
	}
	for _, f := range p.Files {
		there, err := p.isPresent(ctx, f, w)
		if err != nil {
			return err
		}
		if there {
			p.Present = append(p.Present, f)
		} else {
			p.Missing = append(p.Missing, f)
		}
	}
	return p.stage.writeRecord(p.record)
}

// isPresent tells whether a file is in its place with its content.
func (p *Pull) isPresent(ctx context.Context, f File, w Watcher) (bool, error) {
	at := p.stage.final(f)
	if p.stage.size(at) != f.Size {
		return false, nil
	}
	is, err := p.stage.of(at, f)
	if err != nil {
		return false, err
	}
	if p.record[f.Path] != is {
		if f.Size > progress {
			w.Note(fmt.Sprintf("%s/%s is there; its checksum is compared", p.List.Repo, f.Path))
		}
		same, err := p.stage.folder.equals(at, f, func(r io.Reader) io.Reader { return &stoppable{ctx, r} })
		if err != nil || !same {
			return false, err
		}
		p.record[f.Path] = is
	}
	return true, p.stage.folder.readable(at)
}

// readable lets other users read a file that somebody else put there. Who may not do that has it checked by tierd.
func (f *Folder) readable(at string) error {
	info, err := f.root.Stat(at)
	if err == nil && info.Mode().Perm()&0o044 != 0o044 {
		if err = f.root.Chmod(at, info.Mode().Perm()|0o444); errors.Is(err, fs.ErrPermission) {
			return nil
		}
	}
	return err
}

// Sizes are those of all files, of the missing ones, and what of these is here already from an earlier run.
func (p *Pull) Sizes() (all, missing, here int64) {
	for _, f := range p.Files {
		all += f.Size
	}
	for _, f := range p.Missing {
		missing += f.Size
		if p.stage.size(p.stage.whole(f)) == f.Size {
			here += f.Size
		} else if n := p.stage.size(p.stage.part(f)); n > 0 && n <= f.Size {
			here += n
		}
	}
	return all, missing, here
}

// Transfer brings the missing files of a Pull into its staging folder.
type Transfer interface {
	transfer(ctx context.Context, p *Pull, w Watcher) error
}

// Run brings the missing files and puts them into their place. After an error nothing that is not whole has its final name,
// and what came is kept for the next Pull.
func (p *Pull) Run(ctx context.Context, t Transfer, w Watcher) error {
	if len(p.Missing) == 0 {
		return nil
	}
	if err := t.transfer(ctx, p, w); err != nil {
		return err
	}
	if err := p.stage.install(p.Missing, p.Present, p.List, p.record); err != nil {
		return fmt.Errorf("cannot put %s into its place: %w", p.List.Repo, err)
	}
	return p.stage.folder.root.RemoveAll(path.Join(p.stage.dir, clientDir))
}

// Close ends it for others to begin.
func (p *Pull) Close() error { return p.stage.close() }

// atOnce is how many files of a repository are fetched at the same time: a single connection seldom fills the line.
const atOnce = 4

// transfer by HTTP: the first file that fails for good ends the others, whose parts stay.
func (h *Hub) transfer(ctx context.Context, p *Pull, w Watcher) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	files := make(chan File)
	var workers sync.WaitGroup
	for range atOnce {
		workers.Go(func() {
			for f := range files {
				if err := h.fetch(ctx, p, f, w); err != nil {
					end(err)
				}
			}
		})
	}
	begun := map[string]bool{}
	for _, f := range p.Missing {
		if !begun[f.Sum.key()] && ctx.Err() == nil {
			files <- f
		}
		begun[f.Sum.key()] = true
	}
	close(files)
	workers.Wait()
	return context.Cause(ctx)
}

// fetch brings one file into the staging folder, unless it is there.
func (h *Hub) fetch(ctx context.Context, p *Pull, f File, w Watcher) error {
	s := p.stage
	if ctx.Err() != nil || s.size(s.whole(f)) == f.Size {
		return context.Cause(ctx)
	}
	part, err := s.folder.root.OpenFile(s.part(f), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer part.Close()
	d := &download{hub: h, list: p.List, file: f, part: part}
	if err = d.take(ctx); err == nil {
		err = d.run(ctx, w)
	}
	switch {
	case errors.Is(err, ErrWrongSum):
		err = errors.Join(err, s.folder.root.Remove(s.part(f)))
		return fmt.Errorf("%s of %s was fetched whole and removed again: %w", f.Path, p.List.Repo, err)
	case err != nil && ctx.Err() == nil:
		return fmt.Errorf("cannot fetch %s of %s: %w", f.Path, p.List.Repo, err)
	case err != nil:
		return err
	}
	return s.folder.root.Rename(s.part(f), s.whole(f))
}

package hub

import (
	"encoding/json"
	"os"
	"path"
)

// recordFile notes which files of a repository were compared with their checksum, so that the next pull need not read 57
// GiB to find that nothing is missing.
const recordFile = "record.json"

// record is by the file's path in the repository. A file that was touched since counts as not compared.
type record map[string]recorded

type recorded struct {
	Sum     string `json:"sum"`
	Size    int64  `json:"size"`
	ModTime int64  `json:"mtime"` // nanoseconds since 1970
}

// readRecord is empty when there is none that can be read: then files are compared again.
func (s *stage) readRecord() record {
	r := record{}
	text, err := s.folder.root.ReadFile(path.Join(s.dir, recordFile))
	if err != nil || json.Unmarshal(text, &r) != nil || r == nil {
		return record{}
	}
	return r
}

func (s *stage) writeRecord(r record) error {
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	at := path.Join(s.dir, recordFile)
	if err := s.folder.root.WriteFile(at+".new", text, 0o644); err != nil {
		return err
	}
	return s.folder.root.Rename(at+".new", at)
}

// of is what the record should say of a file that is at a path of the folder now.
func (s *stage) of(at string, f File) (recorded, error) {
	info, err := s.folder.root.Lstat(at)
	if err != nil {
		return recorded{}, err
	}
	if !info.Mode().IsRegular() {
		return recorded{}, &os.PathError{Op: "stat", Path: at, Err: os.ErrInvalid}
	}
	return recorded{Sum: f.Sum.key(), Size: info.Size(), ModTime: info.ModTime().UnixNano()}, nil
}

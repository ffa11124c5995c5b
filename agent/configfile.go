package agent

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"time"
)

// configFile tells whether tiers.toml has been edited since it was read. Its fields belong to the loop.
type configFile struct {
	read string // the hash of what was read last, good or not; "": it could not be read
	seen string // the hash of the file when it had these:
	size int64
	time time.Time
}

// edited looks at the file's size and time, and at its text only when these are new: a file that was merely touched, or
// edited and back, is the one that was read.
func (f *configFile) edited(path string) bool {
	info, err := os.Stat(path)
	if err != nil {
		return f.read != ""
	}
	if f.seen == "" || info.Size() != f.size || !info.ModTime().Equal(f.time) {
		src, err := os.ReadFile(path)
		if err != nil {
			return f.read != ""
		}
		f.seen, f.size, f.time = hashConfig(src), info.Size(), info.ModTime()
	}
	return f.seen != f.read
}

func hashConfig(src []byte) string {
	sum := sha256.Sum256(src)
	return hex.EncodeToString(sum[:8])
}

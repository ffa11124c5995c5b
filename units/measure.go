package units

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// MeasureKey is a text under which the memory that a run of this unit took can be kept: the unit's name and a number made of
// all that decides its size. It stays the same over restarts of tierd and of the machine, and changes with the model's
// files, the engine's kind and version, the context and what else tiers.toml says of the size. "" for a unit whose model was
// not found.
func (u Unit) MeasureKey() string { return u.measureKey }

// measureKey makes the key of a unit whose model's files are known. Names of models and arguments are not repeated in it: it
// is written to disk as it is.
func (s *spec) measureKey() string {
	v, layers := s.variant, "all"
	if v.GPULayers != nil {
		layers = number(*v.GPULayers)
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "%s %q %q gpu=%v layers=%s\n", s.engine.Kind, s.engine.Command, s.unit.EngineVersion, s.unit.GPU, layers)
	fmt.Fprintf(sum, "context=%d parallel=%d batch=%d kv=%d %q utilization=%v prefix=%v\n",
		v.Context, v.Parallel, v.BatchTokens, v.KVMemory, s.sizeArgs().env[vllmKVEnv], v.Utilization, v.PrefixCaching)
	fmt.Fprintf(sum, "load=%s flash=%s args=%q\n", v.LoadMode, v.FlashAttention, v.ExtraArgs)
	for _, f := range s.unit.ModelFiles {
		fmt.Fprintf(sum, "%q %d %d\n", f.Path, f.Size, f.ModTime.UnixNano()) // not the inode: a copy back is the same model
	}
	return s.unit.Name + "/" + hex.EncodeToString(sum.Sum(nil))[:16]
}
